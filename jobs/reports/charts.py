"""Charts of the run report, as SVG in data URIs so that the page needs no other file.

Text and axes turn light where the reader's page is dark.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from lakehouse.colours import EMPHASIS, PLAIN

INK = "#333333"
# Matplotlib writes the ink as a fixed colour; the picture itself must ask how the page looks.
INK_OF_PAGE = (
    "<style>:root{color:#333}@media (prefers-color-scheme:dark){:root{color:#d5d9de}}</style>"
)
WIDTH_INCHES = 7.5
BAR_INCHES = 0.34
NEAR_AN_END = 0.2
STYLE: dict[Any, object] = {
    # A fixed salt and no date: the same night gives the same bytes.
    "svg.hashsalt": "topshelf",
    # Outlines: the reader's fonts may be wider than those the layout was made for.
    "svg.fonttype": "path",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def bars(values: Mapping[str, float], *, number_format: str, unit: str = "") -> str:
    """Horizontal bars in the given order, each with its number."""
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, 0.3 + BAR_INCHES * len(values)))
        _draw_bars(
            figure.add_subplot(), values, dict.fromkeys(values, EMPHASIS), number_format, unit
        )
        return _data_uri(figure)


def comparison(
    panels: Mapping[str, Mapping[str, float]], chosen: Mapping[str, str], number_format: str
) -> str:
    """One panel of bars per list, in the given order; the method chosen for it stands out."""
    with rc_context(STYLE):
        longest = max(len(values) for values in panels.values())
        figure = Figure(figsize=(WIDTH_INCHES, 0.7 + BAR_INCHES * longest))
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for ax, (name, values) in zip(axes, panels.items(), strict=True):
            colours = {
                method: EMPHASIS if method == chosen.get(name) else PLAIN for method in values
            }
            _draw_bars(ax, values, colours, number_format, "")
            ax.set_title(name, loc="left", fontweight="bold", fontsize=10)
        return _data_uri(figure)


def curve(values: Sequence[float], *, first: int, x_label: str, y_label: str) -> str:
    """A line over ``first``, ``first + 1``, ... with its best point marked."""
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, 2.2))
        draw_curve(figure, values, first=first, x_label=x_label, y_label=y_label)
        return _data_uri(figure)


def draw_curve(
    figure: Figure, values: Sequence[float], *, first: int, x_label: str, y_label: str
) -> Text:
    """Draw the line and return the label of its best point, which stays within the axes."""
    ax = figure.add_subplot()
    steps = range(first, first + len(values))
    best = max(steps, key=lambda step: values[step - first])
    ax.plot(steps, values, color=EMPHASIS, marker="o", markersize=4)
    place = (best - first) / max(1, len(values) - 1)
    label = ax.annotate(
        f"best: {values[best - first]:.4f}",
        (best, values[best - first]),
        textcoords="offset points",
        xytext=(0, 8),
        ha="left" if place < NEAR_AN_END else "right" if place > 1 - NEAR_AN_END else "center",
    )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.margins(x=0.08, y=0.3)
    return label


def _draw_bars(
    ax: Axes, values: Mapping[str, float], colours: Mapping[str, str], number_format: str, unit: str
) -> None:
    drawn = ax.barh(
        list(values), list(values.values()), color=[colours[name] for name in values], height=0.62
    )
    labels = [f"{value:{number_format}}{unit}" for value in values.values()]
    ax.bar_label(drawn, labels=labels, padding=4)
    ax.invert_yaxis()
    ax.margins(x=0.18)
    ax.xaxis.set_visible(False)
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(axis="y", length=0)


def _data_uri(figure: Figure) -> str:
    figure.set_layout_engine("constrained")
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    picture = buffer.getvalue().replace(INK, "currentColor")
    picture = picture.replace("<defs>", f"{INK_OF_PAGE}<defs>", 1)
    return f"data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()}"
