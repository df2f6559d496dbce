"""``quality.md``: how it was measured, the targets, every method's figures, and segments."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.quality.results import CutResult, Run, overall, overall_gain
from models.evaluation.bootstrap import Difference
from models.evaluation.protocol import PROTOCOLS
from models.selection.backtest import PUBLISHED, best_simple, ranking

COLUMNS: Final = ("map@10", "recall@10", "coverage@10", "novelty@10")
# A mean over fewer users is mostly chance.
SEGMENT_USERS: Final = 30

PROTOCOL_TITLES: Final[dict[str, str]] = {
    "all": "all items",
    "discover": "new to the user only",
    "cold_users": "cold users",
    "cold_items": "cold items",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A figure to reach, of the last cut; ``aim`` is the wish beyond."""

    protocol: str
    method: str
    metric: str
    asked: float
    aim: float


TARGETS: Final = (
    Target("all", PUBLISHED, "ndcg@10", 0.450, 0.470),
    Target("discover", PUBLISHED, "ndcg@10", 0.052, 0.060),
    Target("all", PUBLISHED, "coverage@10", 0.08, 0.10),
    Target("discover", "hybrid_lightfm", "ndcg@10", 0.047, 0.055),
)


def page(results: Sequence[CutResult], about: Run) -> str:
    """The whole page as Markdown; ``results`` by cut, the last one being the test."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701 (Markdown of our own names and figures)
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return templates.get_template("quality.md.j2").render(
        results=results,
        about=about,
        cuts=[result.cut for result in results],
        day=timedelta(days=1),
        titles=PROTOCOL_TITLES,
        targets=[_reached(results, target) for target in TARGETS],
        over_simple=[_over_simple(results, protocol, about.seed) for protocol in PROTOCOLS],
        over_all_cuts=_over_all_cuts(results, about.seed),
        ranking=ranking,
        columns=COLUMNS,
        segment_users=SEGMENT_USERS,
        dumps=partial(json.dumps, sort_keys=True),
    )


def _reached(
    results: Sequence[CutResult], target: Target
) -> tuple[Target, list[float | None], str]:
    """A target with its figure at each cut, and whether the last one meets it."""
    values = [_value(result, target) for result in results]
    return target, values, _outcome(values[-1], target)


def _over_simple(
    results: Sequence[CutResult], protocol: str, seed: int
) -> tuple[str, list[tuple[Difference | None, str | None]], str]:
    """How much better than the best simple method at each cut, and whether that is sure."""
    rivals = [best_simple(result.outcomes, protocol) for result in results]
    gains = [
        None if rival is None else result.gain(protocol, rival, seed)
        for result, rival in zip(results, rivals, strict=True)
    ]
    return protocol, list(zip(gains, rivals, strict=True)), _sureness(gains[-1])


def _over_all_cuts(
    results: Sequence[CutResult], seed: int
) -> list[tuple[str, list[tuple[Difference, int]]]]:
    """Each method with what is gained over it and the users judged, by protocol."""
    chosen = {method for result in results for method in result.choice.values()}
    return [
        (method, [overall_gain(results, protocol, method, seed) for protocol in PROTOCOLS])
        for method in overall(results, "all")
        if method != PUBLISHED and chosen != {method}
    ]


def _value(result: CutResult, target: Target) -> float | None:
    if target.method not in result.outcomes:
        return None
    return result.metric(target.protocol, target.method, target.metric)


def _outcome(value: float | None, target: Target) -> str:
    if value is None:
        return "not measured"
    if value >= target.aim:
        return "met, and the aim"
    return "met" if value >= target.asked else f"**missed** by {target.asked - value:.4f}"


def _sureness(gain: Difference | None) -> str:
    if gain is None:
        return "not measured"
    if gain.low > 0:
        return "met"
    return "**missed**: worse" if gain.high < 0 else "**missed**: the interval holds 0"
