"""Hits by tenth of the score, to the number."""

import numpy as np
import pandas as pd

from models.reliability import Places, by_score


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


def test_fewer_places_than_tenths() -> None:
    rows = by_score(Places(np.array([3, 1], dtype=np.float32), np.array([True, False])))
    assert rows.to_dict("list") == {
        "tenth": [1, 2],
        "places": [1, 1],
        "score": [1.0, 3.0],
        "hit_rate": [0.0, 1.0],
    }
