"""Figures of a training run, drawn without a display."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TypeAlias

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# By list and method: coverage@10 and NDCG@10.
Points: TypeAlias = Mapping[str, Mapping[str, tuple[float, float]]]

SIZE_INCHES = (7.0, 4.2)
CHOSEN = "#1b6ca8"
OTHER = "#b8c4ce"


def learning_curve(ndcg: Sequence[float], title: str) -> Figure:
    """NDCG@10 on the validation window after each epoch; the best one, which is kept, is marked."""
    figure = _figure()
    axes = figure.subplots()
    epochs = range(1, len(ndcg) + 1)
    best = max(epochs, key=lambda epoch: ndcg[epoch - 1])
    axes.plot(epochs, ndcg, marker="o", color=CHOSEN)
    axes.axvline(best, color="0.6", linestyle=":", label=f"kept: epoch {best}")
    axes.set(title=title, xlabel="Epoch", ylabel="NDCG@10, validation window")
    axes.set_xticks(list(epochs))
    axes.legend(frameon=False)
    return _finished(figure)


def methods(points: Points, choice: Mapping[str, str], title: str) -> Figure:
    """A panel per list: NDCG@10 on the test window by method, the published one highlighted."""
    figure = _figure()
    panels = figure.subplots(1, len(points), squeeze=False)[0]
    for axes, (list_name, by_method) in zip(panels, points.items(), strict=True):
        ndcg = {name: value for name, (_, value) in by_method.items()}
        names = sorted(ndcg, key=lambda name: ndcg[name])
        colours = [CHOSEN if name == choice[list_name] else OTHER for name in names]
        bars = axes.barh(names, [ndcg[name] for name in names], color=colours)
        axes.bar_label(bars, fmt="%.3f", padding=3)
        axes.margins(x=0.2)
        axes.set(title=f"List {list_name!r}", xlabel="NDCG@10, test window")
    figure.suptitle(title)
    return _finished(figure)


def coverage_against_ndcg(points: Points, choice: Mapping[str, str], title: str) -> Figure:
    """A panel per list: each method at (coverage@10, NDCG@10) of the test window."""
    figure = _figure()
    panels = figure.subplots(1, len(points), squeeze=False)[0]
    for axes, (list_name, by_method) in zip(panels, points.items(), strict=True):
        for marker, (name, point) in zip(cycle("osD^vP"), by_method.items(), strict=False):
            colour = CHOSEN if name == choice[list_name] else OTHER
            axes.scatter(*point, color=colour, marker=marker, s=60, alpha=0.8, label=name)
        axes.margins(0.15)
        axes.legend(frameon=False)
        axes.set(title=f"List {list_name!r}", xlabel="Coverage@10", ylabel="NDCG@10, test window")
    figure.suptitle(title)
    return _finished(figure)


def _figure() -> Figure:
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _finished(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure
