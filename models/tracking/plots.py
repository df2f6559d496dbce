"""Figures of a training run, drawn without a display."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import TypeAlias, TypeVar

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lakehouse.colours import EMPHASIS, PLAIN

# By list and method, one number of each measure.
Measures: TypeAlias = Mapping[str, Mapping[str, Mapping[str, float]]]

T = TypeVar("T")

WIDTH = 9.0
FEATURES = 20
NO_OWN_PLACES = "popularity filled every place"


def learning_curve(ndcg: Sequence[float], title: str, first: int = 1) -> Figure:
    """NDCG@10 on the validation window after each epoch from ``first`` on.

    The best one, which is kept, is marked.
    """
    figure = _figure()
    axes = figure.subplots()
    epochs = range(first, first + len(ndcg))
    best = max(epochs, key=lambda epoch: ndcg[epoch - first])
    axes.plot(epochs, ndcg, marker="o", color=EMPHASIS)
    axes.axvline(best, color="0.6", linestyle=":", label=f"kept: epoch {best}")
    axes.set(title=title, xlabel="Epoch", ylabel="NDCG@10, validation window")
    axes.set_xticks(list(epochs))
    axes.legend(frameon=False)
    return _finished(figure)


def methods(measures: Measures, choice: Mapping[str, str], title: str) -> Figure:
    """A panel per list: NDCG@10 on the test window by method, the published one highlighted."""
    figure = _figure()
    for axes, (list_name, by_method) in _panels(figure, measures):
        ndcg = {name: values["ndcg@10"] for name, values in by_method.items()}
        names = sorted(ndcg, key=lambda name: ndcg[name])
        colours = [EMPHASIS if name == choice[list_name] else PLAIN for name in names]
        bars = axes.barh(names, [ndcg[name] for name in names], color=colours)
        axes.bar_label(bars, fmt="%.3f", padding=3)
        axes.margins(x=0.2)
        axes.set(title=f"List {list_name!r}", xlabel="NDCG@10, test window")
    figure.suptitle(title)
    return _finished(figure)


def recall_against_coverage(measures: Measures, choice: Mapping[str, str], title: str) -> Figure:
    """A panel per list: each method at (coverage@10, recall@10) of the test window."""
    figure = _figure()
    for axes, (list_name, by_method) in _panels(figure, measures):
        for marker, (name, values) in zip(cycle("osD^vP"), by_method.items(), strict=False):
            point = values["coverage@10"], values["recall@10"]
            colour = EMPHASIS if name == choice[list_name] else PLAIN
            axes.scatter(*point, color=colour, marker=marker, s=60, label=name)
        axes.margins(0.15)
        axes.legend(frameon=False, fontsize="small")
        axes.set(title=f"List {list_name!r}", xlabel="Coverage@10", ylabel="Recall@10, test window")
    figure.suptitle(title)
    return _finished(figure)


def segments(ndcg: Mapping[str, pd.DataFrame], choice: Mapping[str, str], title: str) -> Figure:
    """A panel per list: NDCG@10 by users' segment (rows) for each method (columns)."""
    figure = _figure()
    for axes, (list_name, by_segment) in _panels(figure, ndcg):
        for marker, name in zip(cycle("osD^vP"), by_segment.columns, strict=False):
            chosen = name == choice[list_name]
            axes.plot(
                by_segment.index,
                by_segment[name],
                marker=marker,
                color=EMPHASIS if chosen else PLAIN,
                zorder=2 if chosen else 1,
                label=name,
            )
        axes.legend(frameon=False, fontsize="small")
        axes.set_ylim(bottom=0)
        for label in axes.get_xticklabels():
            label.set(rotation=20, ha="right", rotation_mode="anchor", fontsize="small")
        axes.set(title=f"List {list_name!r}", xlabel="Users by days with an event")
        axes.set_ylabel("NDCG@10, test window")
    figure.suptitle(title)
    return _finished(figure)


def reliability(
    tenths: Mapping[str, pd.DataFrame], choice: Mapping[str, str], title: str
) -> Figure:
    """A panel per list: share of hits among the places by tenth of the published method's score.

    A score that orders well rises; it is no probability, so there is no diagonal to meet. Where
    popularity filled every place there are no bars, and the panel says so.
    """
    figure = _figure()
    for axes, (list_name, rows) in _panels(figure, tenths):
        axes.bar(rows["tenth"], rows["hit_rate"], color=EMPHASIS)
        axes.set_xticks(list(rows["tenth"]))
        if len(rows):
            axes.axhline(
                np.average(rows["hit_rate"], weights=rows["places"]),
                color="0.4",
                linestyle=":",
                label="all places",
            )
            axes.legend(frameon=False, loc="upper left")
        else:
            axes.text(0.5, 0.5, NO_OWN_PLACES, ha="center", transform=axes.transAxes)
        axes.set(
            title=f"List {list_name!r}: {choice[list_name]}",
            xlabel="Listed places by score, tenth 1 the lowest",
            ylabel="Share of hits, test window",
        )
    figure.suptitle(title)
    return _finished(figure)


def calibration(curve: pd.DataFrame, error: float, title: str) -> Figure:
    """What was said to be due within a week, and how much of it was bought, by tenths.

    ``curve`` is that of ``models.evaluation.calibration``, ``error`` its expected calibration
    error; what is foretold rightly lies on the diagonal.
    """
    figure = _figure()
    axes = figure.add_subplot()
    most = float(max(curve["predicted"].max(), curve["happened"].max(), 0.01)) * 1.05
    axes.plot([0, most], [0, most], color="0.4", linestyle=":", label="foretold rightly")
    axes.plot(curve["predicted"], curve["happened"], color=EMPHASIS, marker="o", label="found")
    axes.set(
        xlim=(0, most),
        ylim=(0, most),
        xlabel="Chance that it is bought within 7 days",
        ylabel="Share that was bought",
        title=f"{title}: buy it again, expected calibration error {error:.3f}",
    )
    axes.legend(frameon=False, loc="upper left")
    return _finished(figure)


def importance(shares: Mapping[str, "pd.Series[float]"], title: str) -> Figure:
    """A panel per list: the most important features' shares of the ranker's gain."""
    figure = _figure(height=6.0)
    for axes, (list_name, by_feature) in _panels(figure, shares):
        shown = by_feature.head(FEATURES)[::-1]
        axes.barh([str(name) for name in shown.index], shown, color=EMPHASIS)
        axes.tick_params(axis="y", labelsize="small")
        axes.set(title=f"List {list_name!r}", xlabel="Share of the gain")
    figure.suptitle(title)
    return _finished(figure)


def feature_values(values: pd.DataFrame, title: str) -> Figure:
    """A panel per list: NDCG@10 lost without each group of features (``feature_value``)."""
    figure = _figure()
    by_list = {str(name): rows[::-1] for name, rows in values.groupby("list", sort=True)}
    for axes, (list_name, rows) in _panels(figure, by_list):
        place = np.arange(len(rows))
        for shift, what, colour in ((0.2, "shuffled", EMPHASIS), (-0.2, "off", PLAIN)):
            reach = [rows[what] - rows[f"{what}_low"], rows[f"{what}_high"] - rows[what]]
            axes.barh(place + shift, rows[what], 0.36, xerr=reach, color=colour, label=what)
        axes.set_yticks(place, [str(name) for name in rows["group"]])
        axes.axvline(0, color="0.4", linewidth=0.8)
        axes.set(title=f"List {list_name!r}", xlabel="NDCG@10 lost, test window")
    # Below the panels, as bars may reach every corner of one.
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.suptitle(title)
    return _finished(figure)


def _panels(figure: Figure, content: Mapping[str, T]) -> Iterator[tuple[Axes, tuple[str, T]]]:
    """Axes side by side, one for each entry."""
    axes = figure.subplots(1, len(content), squeeze=False)[0]
    return zip(axes, content.items(), strict=True)


def _figure(height: float = 4.5) -> Figure:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _finished(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure
