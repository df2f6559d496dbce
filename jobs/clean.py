"""Clean a night's bronze rows into silver; what cannot be used goes to the quarantine.

All rows of the night are replaced whole, and no other night is touched. Nothing is written before
every row is accounted for and every gate has passed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import reduce
from typing import Literal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from expectations import checks
from expectations.gate import validate
from jobs.config import Settings
from jobs.job_report import JobReport
from jobs.later_nights import later_events
from lakehouse import arrow, silver
from lakehouse.lake import Lakehouse
from lakehouse.row_accounting import Tally, accounting_rows, rows_of_night
from lakehouse.sources import SourceMapping
from lakehouse.tables import (
    BRONZE_EVENTS,
    BRONZE_ITEMS,
    BRONZE_USERS,
    QUARANTINE,
    ROW_ACCOUNTING,
    SILVER_INTERACTIONS,
    SILVER_ITEMS,
    SILVER_USERS,
    Table,
)

STEP = "clean"
SILVER_OF = {
    BRONZE_EVENTS: SILVER_INTERACTIONS,
    BRONZE_ITEMS: SILVER_ITEMS,
    BRONZE_USERS: SILVER_USERS,
}


@dataclass(frozen=True, slots=True)
class Night:
    """The night's rows of one bronze table, judged and cached, and where they go."""

    cached: tuple[DataFrame, ...]
    kept: DataFrame
    rejected: DataFrame
    tally: Tally


def run(lake: Lakehouse, settings: Settings, *, run_date: date) -> JobReport:
    """Clean the bronze rows taken in on ``run_date``.

    Raises ``DataError`` where a row is unaccounted for and ``DataQualityError`` where a gate
    refuses; silver is then as it was.
    """
    with lake.writing(*SILVER_OF.values(), QUARANTINE, ROW_ACCOUNTING):
        nights = {
            table: _judge(lake, table, sources, run_date)
            for table, sources in _sources_by_table(settings).items()
        }
        tallies = {
            table.full_name: nights[table].tally
            if table in nights
            else Tally(bronze_rows=rows_of_night(lake.root, table, run_date))
            for table in SILVER_OF
        }
        for name, tally in tallies.items():
            tally.check(name, run_date)
        accounting = accounting_rows(tallies, run_date)
        quarantine = reduce(DataFrame.unionByName, [night.rejected for night in nights.values()])
        warnings = _check(lake, settings, nights, run_date)
        warnings += _check_outcome(settings, tallies, quarantine, run_date)

        for table, target in SILVER_OF.items():
            if table in nights:
                rows = nights[table].tally.silver_rows
                _replace(lake, target, nights[table].kept, rows, run_date)
            else:
                lake.create(target)
        rejected_rows = sum(tally.quarantine_rows for tally in tallies.values())
        _replace(lake, QUARANTINE, quarantine, rejected_rows, run_date)
        arrow.replace(lake.root, ROW_ACCOUNTING, accounting, {"ingest_date": run_date})
        rules = _rejected_by_rule(quarantine) if rejected_rows else {}
        for night in nights.values():
            for frame in night.cached:
                frame.unpersist()
    return JobReport(
        step=STEP,
        run_date=run_date,
        rows={
            **{name: tally.bronze_rows for name, tally in tallies.items()},
            **{SILVER_OF[t].full_name: n.tally.silver_rows for t, n in nights.items()},
            QUARANTINE.full_name: rejected_rows,
            "duplicates": sum(tally.duplicate_rows for tally in tallies.values()),
        },
        facts={
            "row_accounting": {name: dict(asdict(tally)) for name, tally in tallies.items()},
            "quarantine_by_rule": dict(rules),
        },
        warnings=(
            *warnings,
            *_waiting_nights(lake, run_date),
            *later_events(lake.root, run_date),
        ),
    )


def _sources_by_table(settings: Settings) -> dict[Table, list[SourceMapping]]:
    """The configured sources of each bronze table that has any."""
    by_table: dict[Table, list[SourceMapping]] = {}
    for source in settings.sources:
        by_table.setdefault(source.table, []).append(source)
    return by_table


def _judge(
    lake: Lakehouse, table: Table, sources: Sequence[SourceMapping], run_date: date
) -> Night:
    """Judge the night's rows of one bronze table and count where they go.

    The bronze rows are counted in Delta's log, apart from the frame whose rows they must match.
    """
    bronze = lake.read(table).where(F.col("ingest_date") == F.lit(run_date))
    judged = reduce(
        DataFrame.unionByName,
        [
            silver.judge(bronze.where(F.col("source") == source.name), source, night=run_date)
            for source in sources
        ],
    ).persist()
    if table is BRONZE_EVENTS:
        others = lake.read(SILVER_INTERACTIONS).where(F.col("ingest_date") != F.lit(run_date))
        duplicates = silver.repeated_events(judged, others)
    elif table is BRONZE_ITEMS:
        duplicates = silver.superseded_rows(judged, "item_id", prefer="title")
    else:
        duplicates = silver.superseded_rows(judged, "user_id")
    # Spark knows the size of a filled cache: it broadcasts a few duplicates and shuffles many.
    duplicates.persist().count()
    marked = silver.mark_duplicates(judged, duplicates)
    counts = marked.agg(
        F.count_if(F.col("rules").isNull() & ~F.col("is_duplicate")),
        F.count_if(F.col("rules").isNotNull()),
        F.count_if("is_duplicate"),
    ).collect()[0]
    return Night(
        cached=(judged, duplicates),
        kept=silver.kept(marked, SILVER_OF[table]),
        rejected=silver.rejected(marked, table),
        tally=Tally(rows_of_night(lake.root, table, run_date), *counts),
    )


def _check(
    lake: Lakehouse, settings: Settings, nights: Mapping[Table, Night], run_date: date
) -> list[str]:
    """Pass the rows for silver through the gate; return its warnings."""
    warnings: list[str] = []
    for table, night in nights.items():
        if not night.tally.silver_rows:
            continue
        rules: list[checks.Check] = []
        if table is BRONZE_EVENTS and BRONZE_ITEMS in nights:
            unknown = _events_without_item(lake, night.kept, nights[BRONZE_ITEMS].kept, run_date)
            rules.append(
                checks.share(
                    "the share of events whose item is in no catalogue row",
                    unknown,
                    night.tally.silver_rows,
                    maximum=settings.quality.unknown_item_warn_share,
                    advice="Deliver the catalogue rows of these items; they are not recommended.",
                    severity="warn",
                )
            )
        warnings += validate(
            night.kept,
            SILVER_OF[table],
            run_date=run_date,
            results=settings.paths.data_quality,
            checks=rules,
        ).warnings
    return warnings


def _check_outcome(
    settings: Settings, tallies: Mapping[str, Tally], quarantine: DataFrame, run_date: date
) -> list[str]:
    """Pass the quarantine and the row accounting through the gate; return its warnings."""
    rejected = validate(
        quarantine,
        QUARANTINE,
        run_date=run_date,
        results=settings.paths.data_quality,
        checks=_quarantine_shares(settings, tallies),
    )
    accounted = validate(
        accounting_rows(tallies, run_date).to_pandas(),
        ROW_ACCOUNTING,
        run_date=run_date,
        results=settings.paths.data_quality,
        checks=[
            checks.sums_to(
                "bronze_rows",
                ["silver_rows", "quarantine_rows", "duplicate_rows"],
                advice="This is a defect of Topshelf: report it.",
            )
        ],
    )
    return [*rejected.warnings, *accounted.warnings]


def _quarantine_shares(settings: Settings, tallies: Mapping[str, Tally]) -> list[checks.Check]:
    """The rejected share of each bronze table against both bounds."""
    advice = (
        "Look at silver.quarantine for the rules and rows; mend the source or its mapping. If the "
        "source really is like this, change [quality] in the configuration."
    )
    bounds: tuple[tuple[Literal["fail", "warn"], float], ...] = (
        ("fail", settings.quality.quarantine_fail_share),
        ("warn", settings.quality.quarantine_warn_share),
    )
    return [
        checks.share(
            f"the share of {name} rows rejected",
            tally.quarantine_rows,
            tally.bronze_rows,
            maximum=maximum,
            advice=advice,
            severity=severity,
        )
        for name, tally in tallies.items()
        for severity, maximum in bounds
    ]


def _events_without_item(
    lake: Lakehouse, events: DataFrame, items: DataFrame, run_date: date
) -> int:
    """Events whose item is neither in tonight's catalogue rows nor in another night's."""
    others = lake.read(SILVER_ITEMS).where(F.col("ingest_date") != F.lit(run_date))
    known = others.select("item_id").union(items.select("item_id"))
    return events.join(known, "item_id", how="left_anti").count()


def _replace(lake: Lakehouse, table: Table, frame: DataFrame, rows: int, run_date: date) -> None:
    """Replace the night's rows, without a commit where there are none and were none."""
    if rows or rows_of_night(lake.root, table, run_date):
        lake.replace(table, frame, {"ingest_date": run_date})
    else:
        lake.create(table)


def _rejected_by_rule(quarantine: DataFrame) -> dict[str, int]:
    """How many rows broke each rule; a row counts once for every rule that it broke."""
    counts = (
        quarantine.select(F.explode("rules").alias("rule"))
        .groupBy("rule")
        .agg(F.count("*").alias("rows"))
        .collect()
    )
    return {row["rule"]: row["rows"] for row in sorted(counts)}


def _waiting_nights(lake: Lakehouse, run_date: date) -> list[str]:
    """A sentence for every earlier night that was taken in but never cleaned."""
    taken_in = {
        partition[0] for table in SILVER_OF for partition in arrow.partition_rows(lake.root, table)
    }
    cleaned = {day for (day,) in arrow.partition_rows(lake.root, ROW_ACCOUNTING)}
    return [
        f"the night of {night} was taken in but never cleaned: topshelf clean --run-date {night}"
        for night in sorted(taken_in - cleaned)
        if night < str(run_date)
    ]
