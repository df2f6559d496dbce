"""One self-contained HTML page about a night, and the Data Docs of its validations."""

from collections.abc import Mapping
from datetime import date
from importlib.resources import files
from os.path import relpath
from pathlib import Path
from typing import Final

from jinja2 import Environment, StrictUndefined

from expectations.data_docs import build_data_docs
from jobs import charts
from jobs.config import Settings
from jobs.job_report import JobReport
from jobs.overview import Overview, collect
from lakehouse.atomic import write_text

STEP: Final = "report"
PAGE: Final = "report.html"
METRIC: Final = "ndcg@10"
# What fits on a page; MLflow and the step's report have every measure.
SHOWN_METRICS: Final = (METRIC, "map@10", "recall@10", "hit_rate@10", "coverage@10", "novelty@10")
LAYER_TABLES: Final = (
    "bronze.events",
    "silver.interactions",
    "silver.quarantine",
    "gold.user_item_features",
    "gold.user_features",
    "gold.item_features",
    "gold.recommendations",
)


def run(settings: Settings, *, run_date: date) -> JobReport:
    """Build both; return where they lie.

    A night that stopped early gives a page about what it did.
    """
    data_docs = build_data_docs(settings.paths.data_quality, run_date)
    night = collect(settings, run_date)
    page = page_path(settings, run_date)
    write_text(page, render(night, relpath(data_docs, page.parent)))
    return JobReport(
        step=STEP,
        run_date=run_date,
        facts={"page": str(page), "data_docs": str(data_docs)},
    )


def page_path(settings: Settings, run_date: date) -> Path:
    """Where the page of a night lies."""
    return settings.paths.runs / run_date.isoformat() / PAGE


def render(night: Overview, data_docs: str) -> str:
    """The page; ``data_docs`` is the link to the Data Docs."""
    template = (files("jobs") / "templates" / "run_report.html.j2").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    seconds = {name: spent for name, spent in night.seconds.items() if name != STEP}
    rows = layer_rows(night)
    curve = {int(point["epoch"]): point[METRIC] for point in night.curve}
    return page.from_string(template).render(
        night=night,
        data_docs=data_docs,
        verdict={True: "passed", False: "refused", None: "not asked"}[night.accepted],
        seconds=seconds,
        findings=findings(night),
        metric_names=SHOWN_METRICS,
        rows_chart=charts.bars(rows, number_format=",.0f") if rows else None,
        metrics_chart=charts.comparison(by_method(night, METRIC), night.methods, ".4f")
        if night.metrics
        else None,
        curve_chart=charts.curve(
            [*curve.values()], first=min(curve), x_label="epoch", y_label=METRIC
        )
        if curve
        else None,
        seconds_chart=charts.bars(seconds, number_format=".1f", unit=" s"),
    )


def layer_rows(night: Overview) -> dict[str, int]:
    """Rows of the tables that tell the way of the events, in their order."""
    counted = {table: count for rows in night.rows.values() for table, count in rows.items()}
    return {table: counted[table] for table in LAYER_TABLES if table in counted}


def by_method(night: Overview, metric: str) -> dict[str, dict[str, float]]:
    """One metric by list and method."""
    return {
        name: {method: values[metric] for method, values in methods.items()}
        for name, methods in night.metrics.items()
    }


def findings(night: Overview) -> list[str]:
    """What the comparison says, in a sentence for each list."""
    return [
        _finding(name, values, night.methods[name])
        for name, values in by_method(night, METRIC).items()
    ]


def _finding(list_name: str, values: Mapping[str, float], chosen: str) -> str:
    best = max(values, key=lambda method: values[method])
    sentence = f"List {list_name}: {chosen} is published with {METRIC} {values[chosen]:.4f}"
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
