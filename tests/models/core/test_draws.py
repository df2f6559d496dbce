"""A user's random numbers are the user's own, whoever else is asked for beside them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.core.draws import uniforms

IDS = np.array(["ann", "bob", "", "\N{CAT}"], dtype=object)


def test_these_very_numbers_are_drawn() -> None:
    drawn = uniforms(IDS[:2], 2, (42, 738_000))
    np.testing.assert_allclose(drawn, [[0.642786, 0.345004], [0.567815, 0.787109]], atol=1e-6)


@given(st.lists(st.sampled_from(range(4)), max_size=6), st.integers(1, 9))
def test_neither_company_nor_number_changes_them(chosen: list[int], count: int) -> None:
    whole = uniforms(IDS, 10, (42, 738_000))
    part = uniforms(IDS[np.array(chosen, dtype=int)], count, (42, 738_000))
    np.testing.assert_array_equal(part, whole[chosen, :count].reshape(len(chosen), count))


def test_another_seed_or_night_draws_others() -> None:
    one = uniforms(IDS, 5, (42, 738_000))
    for seed in ((43, 738_000), (42, 738_001)):
        assert not np.isclose(one, uniforms(IDS, 5, seed)).any()


def test_they_are_spread_evenly_and_know_nothing_of_each_other() -> None:
    ids = np.array([f"user-{number}" for number in range(20_000)], dtype=object)
    drawn = uniforms(ids, 4, (1, 2))
    assert np.min(drawn) >= 0
    assert np.max(drawn) < 1
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    expected = drawn.size / 20
    # Chi-squared with 19 degrees of freedom: 43.8 is exceeded once in a thousand.
    assert ((counts - expected) ** 2 / expected).sum() < 43.8
    assert np.max(np.abs(np.corrcoef(drawn.T) - np.eye(4))) < 0.03
    assert abs(np.corrcoef(drawn[1:, 0], drawn[:-1, 0])[0, 1]) < 0.03
