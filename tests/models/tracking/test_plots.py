"""What the plots of a training show: bars and points at the figures given, axes with names."""

from typing import cast

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from lakehouse.colours import EMPHASIS, PLAIN
from models.tracking import plots

CHOICE = {"all": "two_stage", "discover": "popularity"}
MEASURES = {
    name: {
        "popularity": {"ndcg@10": 0.2, "recall@10": 0.1, "coverage@10": 0.01},
        "two_stage": {"ndcg@10": 0.4, "recall@10": 0.3, "coverage@10": 0.05},
    }
    for name in CHOICE
}


def bars(axes: Axes) -> list[Rectangle]:
    return cast("list[Rectangle]", list(axes.patches))


def xdata(line: Line2D) -> list[float]:
    return list(np.asarray(line.get_xdata()))


def ydata(line: Line2D) -> list[float]:
    return list(np.asarray(line.get_ydata()))


def named(axes: Axes) -> tuple[str, str, str]:
    return axes.get_title(), axes.get_xlabel(), axes.get_ylabel()


def test_methods_by_ndcg_the_published_one_highlighted() -> None:
    every, discover = plots.methods(MEASURES, CHOICE, "t").axes
    for axes, colours in ((every, [PLAIN, EMPHASIS]), (discover, [EMPHASIS, PLAIN])):
        assert [bar.get_width() for bar in bars(axes)] == [0.2, 0.4]
        assert [to_hex(bar.get_facecolor()) for bar in bars(axes)] == colours


def test_recall_against_coverage() -> None:
    axes = plots.recall_against_coverage(MEASURES, CHOICE, "t").axes[0]
    assert named(axes) == ("List 'all'", "Coverage@10", "Recall@10, test window")
    points = [tuple(np.asarray(points.get_offsets())[0]) for points in axes.collections]
    assert points == [(0.01, 0.1), (0.05, 0.3)]


def test_segments_have_a_line_for_each_method() -> None:
    by_segment = pd.DataFrame(
        {"popularity": [0.1, 0.2], "two_stage": [0.3, 0.5]}, index=["1 (1 day)", "2 (5 days)"]
    )
    axes = plots.segments({"all": by_segment}, CHOICE, "t").axes[0]
    assert named(axes) == ("List 'all'", "Users by days with an event", "NDCG@10, test window")
    lines = {line.get_label(): ydata(line) for line in axes.lines}
    assert lines == {"popularity": [0.1, 0.2], "two_stage": [0.3, 0.5]}


def test_reliability_shows_hits_by_tenth_and_overall() -> None:
    tenths = pd.DataFrame({"tenth": [1, 2], "places": [30, 10], "hit_rate": [0.1, 0.5]})
    axes = plots.reliability({"all": tenths}, CHOICE, "t").axes[0]
    assert axes.get_title() == "List 'all': two_stage"
    assert [bar.get_height() for bar in bars(axes)] == [0.1, 0.5]
    assert ydata(axes.lines[0])[0] == pytest.approx((30 * 0.1 + 10 * 0.5) / 40)


def test_reliability_without_a_place_of_the_method_s_own_says_so() -> None:
    nothing = pd.DataFrame({"tenth": [], "places": [], "hit_rate": []})
    axes = plots.reliability({"all": nothing}, CHOICE, "t").axes[0]
    assert (len(axes.patches), len(axes.lines)) == (0, 0)
    assert [text.get_text() for text in axes.texts] == ["popularity filled every place"]


def test_importance_shows_the_first_twenty_features() -> None:
    shares = pd.Series(
        [0.5 - place / 100 for place in range(25)], index=[*"abcdefghijklmnopqrstuvwxy"]
    )
    axes = plots.importance({"all": shares}, "t").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [*"tsrqponmlkjihgfedcba"]
    assert bars(axes)[-1].get_width() == 0.5


def test_the_learning_curve_marks_the_epoch_kept() -> None:
    axes = plots.learning_curve([0.1, 0.3, 0.2], "t").axes[0]
    assert ydata(axes.lines[0]) == [0.1, 0.3, 0.2]
    assert xdata(axes.lines[1])[0] == 2
    warm = plots.learning_curve([0.3, 0.1], "t", first=0).axes[0]
    assert (xdata(warm.lines[0]), xdata(warm.lines[1])[0]) == ([0, 1], 0)
