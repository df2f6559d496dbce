"""TIFUKNN and UP-CF against their formulas, written out basket by basket."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

from models.core.context import Context
from models.core.interactions import Interactions
from models.recommenders import neighbours
from models.recommenders.baskets import Baskets
from models.recommenders.neighbours import nearest_by_cosine, nearest_by_distance
from models.recommenders.tifuknn import TifuKnn
from models.recommenders.up_cf import UpCf

FIRST_DAY = date(2024, 1, 1)


def context_of(*rows: tuple[str, str, int]) -> Context:
    """A context on the day after the last of the rows (user, item, day from 0)."""
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "day"])
    frame["event_date"] = pd.Timestamp(FIRST_DAY) + pd.to_timedelta(frame["day"], unit="D")
    frame = frame.assign(quantity=1.0, value=1.0)
    return Context.build(
        Interactions.from_frame(frame),
        as_of=FIRST_DAY + timedelta(days=int(frame["day"].max()) + 1),
    )


def test_without_orders_a_basket_is_all_of_a_day() -> None:
    context = context_of(
        ("a", "x", 3), ("b", "y", 3), ("a", "y", 0), ("a", "x", 0), ("a", "x", 3), ("b", "x", 1)
    )
    baskets = Baskets.of(context.interactions)
    day = np.array([0, 0, 3, 1, 3]) + (FIRST_DAY - date(1970, 1, 1)).days
    assert baskets.user.tolist() == [0, 0, 0, 1, 1]
    assert baskets.item.tolist() == [0, 1, 0, 0, 1]
    assert baskets.day.tolist() == day.tolist()
    assert baskets.position.tolist() == [0, 0, 1, 0, 1]
    assert baskets.count.tolist() == [2, 2]


def test_tifuknn_deals_baskets_into_groups() -> None:
    """Five baskets in two groups: the later group has three of them."""
    rows = [("a", item, day) for day, item in enumerate("vwxyz")]
    model = TifuKnn(groups=2, group_decay=0.5, within_decay=0.8, own_share=1.0)
    model.fit(context_of(*rows))
    ranked = model.rank(np.array([0], np.int32), 5, filter_seen=False)
    expected = {
        "z": 1 / 3 / 2,
        "y": 0.8 / 3 / 2,
        "x": 0.8**2 / 3 / 2,
        "w": 0.5 * 1 / 2 / 2,
        "v": 0.5 * 0.8 / 2 / 2,
    }
    assert [model.item_ids[item] for item in ranked.item[0]] == sorted(
        expected, key=lambda name: -expected[name]
    )
    np.testing.assert_allclose(ranked.score[0], sorted(expected.values(), reverse=True), rtol=1e-6)


def test_tifuknn_blends_in_the_nearest_users() -> None:
    context = context_of(
        ("a", "x", 0), ("a", "y", 0), ("b", "x", 0), ("b", "y", 0), ("b", "z", 0), ("c", "v", 0)
    )
    model = TifuKnn(neighbours=1, own_share=0.25).fit(context)
    ranked = model.rank(np.array([0], np.int32), 4, filter_seen=False)
    # Items v, x, y, z are 0 to 3; b is nearest to a.
    assert ranked.item.tolist() == [[1, 2, 3, -1]]
    np.testing.assert_allclose(ranked.score, [[1.0, 1.0, 0.75, 0.0]])


def test_up_cf_sums_shares_of_lately_over_similar_users() -> None:
    context = context_of(
        ("a", "x", 0), ("a", "x", 8), ("a", "y", 9), ("b", "x", 9), ("b", "z", 9), ("c", "v", 9)
    )
    model = UpCf(window_days=5, asymmetry=0.5, locality=2.0, neighbours=2).fit(context)
    ranked = model.rank(np.array([0], np.int32), 4, filter_seen=False)
    # Of the last five days: a has x and y half the time each, b has x and z each time.
    similarity = 0.5 / np.sqrt(0.5 * 2)
    scores = {"x": 0.5 + similarity**2, "y": 0.5, "z": similarity**2}
    best = sorted(scores, key=lambda name: -scores[name])
    assert [model.item_ids[item] for item in ranked.item[0, :3]] == best
    assert ranked.item[0, 3] == -1
    np.testing.assert_allclose(ranked.score[0, :3], [scores[name] for name in best], rtol=1e-6)


def test_who_has_not_been_here_lately_is_not_ranked_by_up_cf() -> None:
    context = context_of(("a", "x", 0), ("b", "x", 9))
    ranked = UpCf(window_days=5).fit(context).rank(np.array([0], np.int32), 1, filter_seen=False)
    assert ranked.item.tolist() == [[-1]]


def test_items_outside_the_users_baskets_are_ranked_as_new() -> None:
    context = context_of(("a", "x", 0), ("b", "x", 0), ("b", "z", 0))
    for model in (TifuKnn(), UpCf()):
        ranked = model.fit(context).rank(np.array([0, 1], np.int32), 2, filter_seen=True)
        assert ranked.item.tolist() == [[1, -1], [-1, -1]]


weights = st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=9).map(
    lambda rows: np.array(rows, dtype=np.float64)
)


@settings(max_examples=60, deadline=None)
@given(dense=weights, count=st.integers(1, 10), cells=st.integers(1, 40))
def test_the_nearest_by_distance_are_those_of_all_pairs(
    dense: NDArray[np.float64], count: int, cells: int
) -> None:
    known = dense.any(axis=1)
    expected = np.zeros((len(dense), len(dense)))
    for user in np.flatnonzero(known):
        others = [other for other in np.flatnonzero(known) if other != user]
        others.sort(key=lambda other: (((dense[user] - dense[other]) ** 2).sum(), other))
        expected[user, others[:count]] = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "BLOCK_CELLS", cells)
        found = nearest_by_distance(sparse.csr_array(dense), count)
    np.testing.assert_array_equal(found.toarray(), expected)


@settings(max_examples=60, deadline=None)
@given(dense=weights, cells=st.integers(1, 40))
def test_the_asymmetric_cosine_is_that_of_all_pairs(dense: NDArray[np.float64], cells: int) -> None:
    square = (dense**2).sum(axis=1)
    length = np.where(square > 0, square, 1)
    expected = dense @ dense.T / np.outer(length**0.75, length**0.25)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "BLOCK_CELLS", cells)
        found = nearest_by_cosine(sparse.csr_array(dense), len(dense), 0.75)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)
