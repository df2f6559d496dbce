"""``quality.md``: how it was measured, the targets, every method's figures, and segments."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from benchmarks.quality.results import CutResult, Run, overall, overall_gain
from models.evaluation.bootstrap import Difference
from models.evaluation.protocol import PROTOCOLS, Protocol
from models.selection.backtest import PUBLISHED, best_simple, ranking
from models.selection.choice import PRIMARY_METRIC

COLUMNS: Final = ("map@10", "recall@10", "coverage@10", "novelty@10")
# A mean over fewer users is mostly chance.
SEGMENT_USERS: Final = 30

PROTOCOL_TITLES: Final[dict[Protocol, str]] = {
    "all": "all items",
    "discover": "new to the user only",
    "cold_users": "cold users",
    "cold_items": "cold items",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A figure to reach, of the last cut; ``aim`` is the wish beyond."""

    protocol: Protocol
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
    lines = [
        "# How good the lists are",
        "",
        "Made by `make quality`; the figures are in `quality.json` too.",
        "",
        *_protocol(results, about),
        *_targets(results, about.seed),
        *_overall(results, about.seed),
    ]
    for result in reversed(results):
        lines += [f"## Cut {result.cut.start}", "", _choice(result), ""]
        for protocol in PROTOCOLS:
            lines += _methods(result, protocol, about.seed)
    lines += _segments(results[-1])
    lines += _recipes(about)
    return "\n".join(lines).rstrip() + "\n"


def _protocol(results: Sequence[CutResult], about: Run) -> Iterator[str]:
    yield "## Protocol"
    yield ""
    yield (
        f"* **Data**: Complete Journey as delivered, the {about.lines:,} lines with positive "
        f"quantity and sales, of {about.users:,} users and {about.items:,} items. Models see the "
        "catalogue and the households' demographics besides, as on a night; attributes that come "
        "from the lake's features (bands of activity and price) are left out."
    )
    for result in results:
        cut = result.cut
        yield (
            f"* **Cut {cut.start}**: learnt from the days before, judged on {cut.start} to "
            f"{cut.end - timedelta(days=1)}; methods that compete, and the number of LightFM's "
            f"passes, are decided on {cut.validation_start} to {cut.start - timedelta(days=1)}."
        )
    yield (
        "* **`all`**: whatever the user bought in the window counts. **`discover`**: lists of "
        "items that the user had not bought before, and only those count. Both: every item sold "
        "before the cut may be listed and counts; users with purchases before the cut and one "
        "that counts. **`cold_users`**: as `all`, for users with at most "
        f"{about.cold.user_days} active days before, or none. **`cold_items`**: as `discover`, "
        "among items without a sale until "
        f"{about.cold.item_days} days before the cut, those never sold included."
    )
    yield (
        "* **Measures**: binary relevance, the ideal list cut at 10; definitions in "
        "`models/evaluation/metrics.py`. Coverage is of the items that may be listed."
    )
    yield (
        "* **`published`** is what a night publishes: for each list the choice among "
        f"{_code(about.competing)} on the window before the cut (`models/selection/choice.py`); "
        "`cold_users` is judged with the list `all`, `cold_items` with `discover`. The places that "
        "a release keeps for new items lie in the lower half of its lists, beyond the ten that are "
        "measured."
    )
    yield (
        "* **Intervals**: 95 %, paired bootstrap over users, 1,000 draws. **Seed** "
        f"{about.seed}, for models and bootstrap."
    )
    yield (
        "* **Seconds** are all that a method took at the cut, fitting for the window before "
        "included where it competes or chooses its passes there; **peak** is the highest resident "
        "memory of the whole process meanwhile, the year's data included."
    )
    yield (
        f"* **Lists** behind each figure: `{about.lists}/CUT_PROTOCOL_METHOD.parquet` "
        "(`user_id, item_id, rank`)."
    )
    yield ""


def _targets(results: Sequence[CutResult], seed: int) -> Iterator[str]:
    cuts = [result.cut.start for result in results]
    yield "## Targets"
    yield ""
    yield f"The targets are those of the last cut, {cuts[-1]}; the configuration was fixed before."
    yield ""
    yield from _head("figure", "asked", "aim", *(str(cut) for cut in cuts), "outcome", left=1)
    for target in TARGETS:
        values = [_value(result, target) for result in results]
        yield _row(
            f"{target.metric.replace('ndcg', 'NDCG')}, {PROTOCOL_TITLES[target.protocol]}, "
            f"`{target.method}`",
            f"≥ {target.asked:.3f}",
            f"{target.aim:.3f}",
            *("-" if value is None else f"{value:.4f}" for value in values),
            _outcome(values[-1], target),
        )
    for protocol in PROTOCOLS:
        rivals = [best_simple(result.outcomes, protocol) for result in results]
        gains = [
            None if rival is None else result.gain(protocol, rival, seed)
            for result, rival in zip(results, rivals, strict=True)
        ]
        yield _row(
            f"`published` less the best simple method, {PROTOCOL_TITLES[protocol]}",
            "> 0",
            "",
            *(
                "-" if gain is None else f"{_difference(gain)} ({rival})"
                for gain, rival in zip(gains, rivals, strict=True)
            ),
            _sureness(gains[-1]),
        )
    yield ""
    yield (
        "The best simple method is the best of all but LightFM and two stages, chosen in hindsight "
        "on the very window."
    )
    yield ""


def _overall(results: Sequence[CutResult], seed: int) -> Iterator[str]:
    yield "## All cuts together"
    yield ""
    yield (
        "NDCG@10 of `published` less that of a method. A user judged at several cuts counts once, "
        "with the mean of their differences, so that few cold users at each cut are more together; "
        "the means over all users differ a little from the means of the cuts."
    )
    yield ""
    yield from _head("method", *(PROTOCOL_TITLES[protocol] for protocol in PROTOCOLS), left=1)
    chosen = {method for result in results for method in result.choice.values()}
    for method in overall(results, "all"):
        if method == PUBLISHED or chosen == {method}:
            continue
        gains = [overall_gain(results, protocol, method, seed) for protocol in PROTOCOLS]
        yield _row(method, *(f"{_difference(gain)} ({users:,} users)" for gain, users in gains))
    yield ""


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


def _choice(result: CutResult) -> str:
    chosen = ", ".join(f"`{name}` by `{method}`" for name, method in result.choice.items())
    return f"Published: {chosen}."


def _methods(result: CutResult, protocol: Protocol, seed: int) -> Iterator[str]:
    users = len(result.outcomes[PUBLISHED].test[protocol].users)
    yield f"### {result.cut.start}, {PROTOCOL_TITLES[protocol]} (`{protocol}`, {users:,} users)"
    yield ""
    yield from _head(
        "method", "NDCG@10", "`published` less this", *COLUMNS, "seconds", "peak MiB", left=1
    )
    for method in ranking(result.outcomes, protocol):
        metrics = result.outcomes[method].test[protocol].metrics
        cost = result.cost(protocol, method)
        gain = "" if method == PUBLISHED else _difference(result.gain(protocol, method, seed))
        yield _row(
            f"**{method}**" if method == PUBLISHED else method,
            f"{metrics[PRIMARY_METRIC]:.4f}",
            gain,
            *(f"{metrics[name]:.4f}" for name in COLUMNS),
            f"{cost.seconds:.1f}",
            "-" if cost.peak_mib is None else f"{cost.peak_mib:.0f}",
        )
    yield ""


def _segments(result: CutResult) -> Iterator[str]:
    yield f"## Segments, `published`, cut {result.cut.start}"
    yield ""
    yield f"Segments of at least {SEGMENT_USERS} users; demographics are known of some only."
    yield ""
    yield from _head("list", "by", "segment", "users", "NDCG@10", "recall@10", left=3)
    for list_name, kinds in result.segments.items():
        for kind, figures in kinds.items():
            for segment, row in figures[figures["users"] >= SEGMENT_USERS].iterrows():
                yield _row(
                    list_name,
                    kind,
                    str(segment),
                    f"{row['users']:.0f}",
                    f"{row[PRIMARY_METRIC]:.4f}",
                    f"{row['recall@10']:.4f}",
                )
    yield ""


def _recipes(about: Run) -> Iterator[str]:
    yield "## Parameters"
    yield ""
    yield "What the configuration says; everything else is the method's default."
    yield ""
    yield from _head("method", "parameters", left=2)
    for name, recipe in about.recipes.items():
        yield _row(name, f"`{json.dumps(dict(recipe.parameters), sort_keys=True)}`")


def _difference(gain: Difference) -> str:
    return f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _head(*titles: str, left: int) -> Iterator[str]:
    """The first ``left`` columns align to the left, the others, numbers, to the right."""
    yield _row(*titles)
    yield "|" + "---|" * left + "---:|" * (len(titles) - left)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
