"""One self-contained HTML page about a night."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from expectations.data_docs import STYLE
from jobs.config.settings import Settings
from jobs.night.job_report import JsonValue, StepFailure
from jobs.reports import charts
from jobs.reports.differences import Change
from jobs.reports.overview import REPORT, Overview
from jobs.reports.responses import NIGHTS
from lakehouse.clean.quarantine import AGES, OLDER
from models.evaluation.measures import MEASURES
from models.evaluation.primary import PLACES, PRIMARY_METRIC

PAGE: Final = "report.html"
# What fits on a page; MLflow and the step's report have every measure.
SHOWN_METRICS: Final = tuple(f"{one.name}@{PLACES}" for one in MEASURES if one.reported)
LAYER_TABLES: Final = (
    "bronze.events",
    "silver.interactions",
    "silver.quarantine",
    "gold.user_item_features",
    "gold.user_features",
    "gold.item_features",
    "gold.recommendations",
)


@dataclass(frozen=True, slots=True)
class Headline:
    """What became of the night: the verdict as *pass*, *warn* or *fail*, and what to know of it."""

    verdict: Literal["pass", "warn", "fail"]
    title: str
    sentences: tuple[str, ...] = ()
    details: tuple[str, ...] = ()


def page_path(settings: Settings, run_date: date) -> Path:
    """Where the page of a night lies."""
    return settings.paths.runs / run_date.isoformat() / PAGE


def headline(night: Overview) -> Headline:
    """What became of the night, and where it did not go well: why, and what is served meanwhile."""
    if night.failures:
        return _failed(night, night.failures[0])
    missing = [step for step, state in night.progress.items() if state == "not reached"]
    if missing:
        return _unfinished(night, missing)
    if night.damaged:
        return Headline("warn", "The night ended, but files of it are damaged", (_served(night),))
    if night.release is not None and night.release == night.serving.candidate:
        share = f"{night.serving.share:g} % of the users"
        return Headline(
            "pass", f"Published {night.release}, which serves {share}", (_served(night),)
        )
    if night.release != night.serving.release:
        return Headline(
            "warn", f"Published {night.release}, which does not serve", (_served(night),)
        )
    return Headline("pass", f"Published {night.release}, which serves")


def _failed(night: Overview, failure: StepFailure) -> Headline:
    return Headline(
        "fail",
        f"{failure.step} failed (exit code {failure.exit_code})",
        (
            failure.reason,
            f"Nothing was published. {_served(night)} Once the cause is mended, run {failure.step} "
            "and what follows again: clear the task in Airflow, or "
            f"`topshelf {failure.step} --run-date {night.run_date}`.",
        ),
        failure.details,
    )


def _unfinished(night: Overview, missing: Sequence[str]) -> Headline:
    if night.accepted is False:
        return Headline(
            "warn",
            "The gate refused the night's model",
            (f"Nothing was published. {_served(night)}", *night.steps["gate"].warnings),
        )
    if len(missing) == len(night.progress):
        return Headline("warn", "Nothing of this night has run", (_served(night),))
    return Headline(
        "warn",
        f"The night ended before {missing[0]}",
        (
            f"{missing[0]} left neither a report nor a failure: it was not started, is still "
            f"running, or was killed; its log knows. {_served(night)}",
        ),
    )


def _served(night: Overview) -> str:
    if night.serving.problem is not None:
        return f"What is served is not known: {night.serving.problem}"
    if night.serving.release is None:
        return "Nothing is served yet."
    if night.serving.candidate is not None:
        share = f"{night.serving.share:g} % of the users"
        return (
            f"Release {night.serving.release} is served; {share} get {night.serving.candidate} "
            "instead, a rollout that is on."
        )
    return f"Release {night.serving.release} is served."


def render(night: Overview, data_docs: str) -> str:
    """The page; ``data_docs`` is the link to the Data Docs."""
    templates = Environment(
        loader=PackageLoader("jobs.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"figure": figure, "change": relative_change, "per_cent": per_cent}
    seconds = {name: spent for name, spent in night.seconds.items() if name != REPORT}
    rows = layer_rows(night)
    measures = by_method(night, PRIMARY_METRIC)
    curve = {int(point["epoch"]): point[PRIMARY_METRIC] for point in night.curve}
    return templates.get_template("run_report.html.j2").render(
        night=night,
        style=STYLE,
        headline=headline(night),
        data_docs=data_docs,
        verdict={True: "passed", False: "refused", None: "not asked"}[night.accepted],
        seconds=seconds,
        response_nights=NIGHTS,
        findings=findings(night),
        measures=measures,
        metric_names=SHOWN_METRICS,
        ages=[*(name for _, name in AGES), OLDER],
        rows_chart=charts.bars(rows, number_format=",.0f") if rows else None,
        metrics_chart=charts.comparison(measures, night.methods, ".4f") if measures else None,
        curve_chart=charts.curve(
            [*curve.values()], first=min(curve), x_label="epoch", y_label=PRIMARY_METRIC
        )
        if curve
        else None,
        seconds_chart=charts.bars(seconds, number_format=".1f", unit=" s") if seconds else None,
    )


def figure(value: JsonValue) -> str:
    """A figure or setting as a cell shows it: whole numbers grouped, others to four places."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(figure(part) for part in value) or "none"
    return str(value)


def per_cent(value: float | None) -> str:
    """A share of places in per cent."""
    return "-" if value is None else f"{100 * value:.2f} %"


def relative_change(change: Change) -> str:
    """By how much a figure grew, in per cent; empty where that says nothing."""
    before, now = change.before, change.now
    if not isinstance(before, (int, float)) or not isinstance(now, (int, float)) or not before:
        return ""
    return "same" if now == before else f"{100 * (now / before - 1):+.1f} %"


def layer_rows(night: Overview) -> dict[str, int]:
    """Rows of the tables that tell the way of the events, in their order."""
    counted = {table: count for rows in night.rows.values() for table, count in rows.items()}
    return {table: counted[table] for table in LAYER_TABLES if table in counted}


def by_method(night: Overview, metric: str) -> dict[str, dict[str, float]]:
    """One metric by list and method, the best method first, as charts and tables show them."""
    return {
        name: {
            method: methods[method][metric]
            for method in sorted(methods, key=lambda method: -methods[method][metric])
        }
        for name, methods in night.metrics.items()
    }


def findings(night: Overview) -> list[str]:
    """What the comparison says, in a sentence for each list."""
    return [
        _finding(name, values, night.methods[name])
        for name, values in by_method(night, PRIMARY_METRIC).items()
    ]


def _finding(list_name: str, values: Mapping[str, float], chosen: str) -> str:
    best = max(values, key=lambda method: values[method])
    sentence = f"List {list_name}: {chosen} is published with {PRIMARY_METRIC} {values[chosen]:.4f}"
    if best == chosen:
        others = {method: value for method, value in values.items() if method != chosen}
        if not others:
            return f"{sentence}; nothing else was tried."
        second = max(others, key=lambda method: others[method])
        return f"{sentence}, ahead of {second} with {others[second]:.4f}."
    return (
        f"{sentence}; on the test window {best} would have done better with {values[best]:.4f}, "
        "which nobody could know when choosing."
    )
