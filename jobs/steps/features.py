"""Silver events and catalogue → gold features, for the nights that training and publishing need."""

from contextlib import ExitStack
from datetime import date
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from expectations import checks
from expectations.validation import validate
from features.item_features import catalogue_in_force, item_features
from features.user_features import user_features
from features.user_item_features import user_item_features
from jobs.config.settings import Settings
from jobs.night.feedback_daily import build_feedback_daily
from jobs.night.job_report import JobReport
from jobs.night.later_nights import later_events
from lakehouse.io.lake import Lakehouse
from lakehouse.tables import (
    FEEDBACK_DAILY,
    ITEM_FEATURES,
    SILVER_INTERACTIONS,
    SILVER_ITEMS,
    USER_FEATURES,
    USER_ITEM_FEATURES,
)
from lakehouse.windows import Windows

STEP = "features"
TABLES = (USER_ITEM_FEATURES, ITEM_FEATURES, USER_FEATURES)


def run(lake: Lakehouse, settings: Settings, *, run_date: date) -> JobReport:
    """Build the features that the night ``run_date`` knows, and replace its gold partitions.

    The night knows what silver had taken in by then, and events dated before it. Raises
    ``DataQualityError`` where validation refuses; gold is then as it was.
    """
    with ExitStack() as cached:

        def cache(frame: DataFrame) -> DataFrame:
            cached.callback(frame.unpersist)
            return frame.persist()

        nights = Windows(
            run_date, settings.train.test_days, settings.train.validation_days
        ).as_of_dates
        events = cache(_known_events(lake, settings, run_date))
        catalogue = catalogue_in_force(
            lake.read(SILVER_ITEMS).where(F.col("ingest_date") <= F.lit(run_date))
        )
        pairs = cache(user_item_features(events, nights))
        items = cache(
            item_features(
                events,
                pairs,
                catalogue,
                nights,
                sellable_days=settings.features.sellable_days,
                excluded_departments=settings.features.excluded_departments,
            )
        )
        users = cache(user_features(events, pairs, items, nights))

        known_events = events.count()
        # Of pairs only the run date's are read: models look at the events themselves.
        written = (pairs.where(F.col("as_of") == F.lit(run_date)), items, users)
        frames = {
            table: frame.select(F.lit(run_date).alias("run_date"), "*")
            for table, frame in zip(TABLES, written, strict=True)
        }
        measured = {table: _measure(frame, run_date) for table, frame in frames.items()}
        sold = _measure_items(items, run_date)
        rules = {
            USER_ITEM_FEATURES: (_some_events(known_events, run_date),),
            ITEM_FEATURES: _item_rules(sold, settings),
            USER_FEATURES: (),
        }
        verdicts = [
            validate(
                frame,
                table,
                run_date=run_date,
                results=settings.paths.data_quality,
                checks=(*rules[table], _all_counted(measured[table]["events"], known_events)),
            )
            for table, frame in frames.items()
        ]
        with lake.writing(*TABLES):
            for table, frame in frames.items():
                lake.replace(table, frame, {"run_date": run_date})
    feedback = build_feedback_daily(lake, settings, run_date)

    return JobReport(
        step=STEP,
        run_date=run_date,
        rows={
            SILVER_INTERACTIONS.full_name: known_events,
            **{table.full_name: measured[table]["rows"] for table in TABLES},
            FEEDBACK_DAILY.full_name: feedback.rows,
        },
        facts={
            "as_of": [night.isoformat() for night in nights],
            "events_of_unknown_items": sold["unknown_events"],
            "sellable_items": sold["sellable"],
            "feedback_of_no_list": feedback.of_no_list,
            "checks": sum(verdict.checks for verdict in verdicts),
        },
        warnings=(
            *(warning for verdict in verdicts for warning in verdict.warnings),
            *feedback.warnings,
            *later_events(lake.root, run_date),
        ),
    )


def _known_events(lake: Lakehouse, settings: Settings, run_date: date) -> DataFrame:
    """The events that the night knows, of the kinds that count as a sign of interest."""
    return (
        lake.read(SILVER_INTERACTIONS)
        .where(
            (F.col("ingest_date") <= F.lit(run_date))
            & (F.col("event_date") < F.lit(run_date))
            & F.col("event_type").isin(list(settings.features.event_types))
        )
        .select("user_id", "item_id", "event_date", "quantity", "value", "discount", "order_id")
    )


def _measure(frame: DataFrame, run_date: date) -> dict[str, int]:
    """Rows, and the events that those of the run date count."""
    on_run_date = F.when(F.col("as_of") == F.lit(run_date), F.col("events_total"))
    return _only_row(
        frame.agg(
            F.count(F.lit(1)).alias("rows"),
            F.coalesce(F.sum(on_run_date), F.lit(0)).alias("events"),
        )
    )


def _measure_items(items: DataFrame, run_date: date) -> dict[str, int]:
    """Events of items outside the catalogue, all events, and sellable items on the run date."""
    unknown = F.when(~F.col("in_catalogue"), F.col("events_total"))
    return _only_row(
        items.where(F.col("as_of") == F.lit(run_date)).agg(
            F.coalesce(F.sum(unknown), F.lit(0)).alias("unknown_events"),
            F.coalesce(F.sum("events_total"), F.lit(0)).alias("events"),
            F.count_if("sellable").alias("sellable"),
        )
    )


def _only_row(frame: DataFrame) -> dict[str, Any]:
    return frame.collect()[0].asDict()


def _some_events(known_events: int, run_date: date) -> checks.Check:
    return checks.measure(
        "the number of events known on the run date",
        known_events,
        minimum=1,
        advice=f"Ingest and clean the nights before {run_date}, or change [features] event_types.",
    )


def _all_counted(counted: int, known_events: int) -> checks.Check:
    return checks.measure(
        "the number of events counted for the run date",
        counted,
        minimum=known_events,
        maximum=known_events,
        advice="A join loses or repeats rows. This is a defect of Topshelf: report it.",
    )


def _item_rules(sold: dict[str, int], settings: Settings) -> tuple[checks.Check, ...]:
    return (
        checks.share(
            "the share of events whose item the catalogue lacks",
            sold["unknown_events"],
            sold["events"],
            maximum=settings.quality.unknown_item_warn_share,
            advice="Deliver the catalogue rows of these items; they are never recommended.",
            severity="warn",
        ),
        checks.measure(
            "the number of sellable items",
            sold["sellable"],
            minimum=1,
            advice="Nothing could be recommended. Deliver the catalogue, or change [features] "
            f"sellable_days ({settings.features.sellable_days}) or excluded_departments.",
        ),
    )
