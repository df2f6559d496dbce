"""Hits by tenth of the score, to the number."""

import numpy as np
import pandas as pd
from scipy import sparse

from models.core.lists import NO_RULE, Lists
from models.evaluation.reliability import Places, by_score, places_of

RELEVANT = sparse.csr_array([[1, 0, 0]])


def lists(source: list[int]) -> Lists:
    """One user's items 0 and 1, each by ``lightfm`` (0) or by popularity (1)."""
    return Lists(
        item=np.array([[0, 1]], dtype=np.int32),
        score=np.array([[9, 4]], dtype=np.float32),
        source=np.array([source], dtype=np.int8),
        source_names=("lightfm", "popularity"),
        rule=np.full((1, 2), NO_RULE, dtype=np.int16),
    )


def test_places_are_those_that_the_method_filled_itself() -> None:
    both, first = (places_of(lists(source), RELEVANT) for source in ([0, 0], [0, 1]))
    assert (both.score.tolist(), both.hit.tolist()) == ([9, 4], [True, False])
    assert (first.score.tolist(), first.hit.tolist()) == ([9], [True])


def test_places_fall_into_ten_groups_by_score() -> None:
    score = np.arange(20, dtype=np.float32)[::-1].copy()
    hit = score >= 17
    rows = by_score(Places(score, hit))
    expected = pd.DataFrame(
        {
            "tenth": range(1, 11),
            "places": [2] * 10,
            "score": [0.5 + 2 * tenth for tenth in range(10)],
            "hit_rate": [0.0] * 8 + [0.5, 1.0],
        }
    )
    pd.testing.assert_frame_equal(rows, expected)


def test_without_places_of_the_method_s_own_there_is_no_row() -> None:
    rows = by_score(places_of(lists([1, 1]), RELEVANT))
    assert rows.to_dict("list") == {"tenth": [], "places": [], "score": [], "hit_rate": []}
    assert [kind.kind for kind in rows.dtypes] == ["i", "i", "f", "f"]


def test_fewer_places_than_tenths() -> None:
    rows = by_score(Places(np.array([3, 1], dtype=np.float32), np.array([True, False])))
    assert rows.to_dict("list") == {
        "tenth": [1, 2],
        "places": [1, 1],
        "score": [1.0, 3.0],
        "hit_rate": [0.0, 1.0],
    }
