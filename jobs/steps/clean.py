"""Clean a night's bronze rows into silver; what cannot be used goes to the quarantine.

All rows of the night are replaced whole, and no other night is touched. Nothing is written before
every row is accounted for and every validation has passed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import reduce
from typing import Literal

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from expectations import checks
from expectations.validation import validate
from jobs.config.settings import Settings
from jobs.night.job_report import JobReport
from jobs.night.later_nights import later_events
from lakehouse.clean import silver
from lakehouse.clean.event_identity import check_identities, write_identities
from lakehouse.clean.feedback import judge_feedback
from lakehouse.clean.row_accounting import Tally, accounting_rows, rows_of_night, stale_nights
from lakehouse.clean.source_counts import SourceCounts, count_by_source
from lakehouse.errors import DataError, InfrastructureError, TopshelfError
from lakehouse.ingest.sources import SourceMapping
from lakehouse.io import arrow
from lakehouse.io.lake import Lakehouse
from lakehouse.tables import (
    BRONZE_EVENTS,
    BRONZE_FEEDBACK,
    BRONZE_ITEMS,
    BRONZE_USERS,
    EVENT_IDENTITY,
    FEEDBACK_TYPES,
    QUARANTINE,
    ROW_ACCOUNTING,
    SILVER_FEEDBACK,
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
    BRONZE_FEEDBACK: SILVER_FEEDBACK,
}


@dataclass(frozen=True, slots=True)
class Night:
    """The night's rows of one bronze table, judged and cached, and where they go."""

    cached: tuple[DataFrame, ...]
    kept: DataFrame
    rejected: DataFrame
    tally: Tally
    sources: Mapping[str, SourceCounts]


def run(lake: Lakehouse, settings: Settings, *, run_date: date) -> JobReport:
    """Clean the bronze rows taken in on ``run_date``.

    Raises ``ConfigurationError`` where events would get other ids than in earlier nights,
    ``DataError`` where a row is unaccounted for or a mapping cannot be applied to the rows, and
    ``DataQualityError`` where validation refuses; silver is then as it was.
    """
    by_table = _sources_by_table(lake, settings, run_date)
    with lake.writing(*SILVER_OF.values(), QUARANTINE, ROW_ACCOUNTING, EVENT_IDENTITY):
        check_identities(lake.root, by_table[BRONZE_EVENTS], run_date)
        nights = {
            table: _judge(lake, settings, table, sources, run_date)
            for table, sources in by_table.items()
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
        warnings = [
            sentence
            for night in nights.values()
            for counts in night.sources.values()
            for sentence in counts.warnings(settings.features.event_types)
        ]
        warnings += _check(lake, settings, nights, run_date)
        warnings += _check_outcome(settings, tallies, quarantine, run_date)

        for table, target in SILVER_OF.items():
            if table in nights:
                rows = nights[table].tally.silver_rows
                _replace(lake, target, nights[table].kept, rows, run_date)
            else:
                lake.create(target)
        rejected_rows = sum(tally.quarantine_rows for tally in tallies.values())
        _replace(lake, QUARANTINE, quarantine, rejected_rows, run_date)
        events = nights[BRONZE_EVENTS].sources
        with_events = [s for s in by_table[BRONZE_EVENTS] if events[s.name].silver_rows]
        write_identities(lake.root, with_events, run_date)
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
            "repeated events": tallies[BRONZE_EVENTS.full_name].duplicate_rows,
            "repeated feedback": tallies[BRONZE_FEEDBACK.full_name].duplicate_rows,
            "superseded items": tallies[BRONZE_ITEMS.full_name].duplicate_rows,
            "superseded users": tallies[BRONZE_USERS.full_name].duplicate_rows,
        },
        facts={
            "row_accounting": {name: dict(asdict(tally)) for name, tally in tallies.items()},
            "quarantine_by_rule": dict(rules),
            "repeated_in_file": {name: n.repeated_in_file for name, n in sorted(events.items())},
        },
        warnings=(
            *warnings,
            *_waiting_nights(lake, run_date),
            *later_events(lake.root, run_date),
        ),
    )


def _sources_by_table(
    lake: Lakehouse, settings: Settings, run_date: date
) -> dict[Table, list[SourceMapping]]:
    """The sources of each bronze table that has any; of feedback only where the night has rows."""
    by_table: dict[Table, list[SourceMapping]] = {}
    for source in settings.landing_sources:
        by_table.setdefault(source.table, []).append(source)
    if not rows_of_night(lake.root, BRONZE_FEEDBACK, run_date):
        del by_table[BRONZE_FEEDBACK]
    return by_table


def _judge(
    lake: Lakehouse,
    settings: Settings,
    table: Table,
    sources: Sequence[SourceMapping],
    run_date: date,
) -> Night:
    """Judge the night's rows of one bronze table and count where they go."""
    bronze, bronze_rows = _bronze_of_night(lake, table, run_date)
    judge = judge_feedback if table is BRONZE_FEEDBACK else silver.judge
    parts = {
        source.name: judge(bronze.where(F.col("source") == source.name), source, night=run_date)
        for source in sources
    }
    judged = reduce(DataFrame.unionByName, parts.values()).persist()
    if table in (BRONZE_EVENTS, BRONZE_FEEDBACK):
        others = lake.read(SILVER_OF[table]).where(F.col("ingest_date") != F.lit(run_date))
        duplicates = silver.repeated_events(judged, others)
    elif table is BRONZE_ITEMS:
        duplicates = silver.superseded_rows(judged, "item_id", prefer="title")
    else:
        duplicates = silver.superseded_rows(judged, "user_id")
    try:
        # Spark knows the size of a filled cache: it broadcasts a few duplicates, shuffles many.
        duplicates.persist().count()
        marked = silver.mark_duplicates(judged, duplicates)
        kinds = FEEDBACK_TYPES if table is BRONZE_FEEDBACK else settings.features.event_types
        counts = count_by_source(marked, parts.keys(), event_types=kinds)
    except (PySparkException, Py4JJavaError) as error:
        if "java.lang.OutOfMemoryError" in str(error):
            raise
        raise _cannot_judge(parts, error) from error
    tally = Tally(
        bronze_rows,
        sum(count.silver_rows for count in counts.values()),
        sum(count.quarantine_rows for count in counts.values()),
        sum(count.duplicate_rows for count in counts.values()),
    )
    return Night(
        cached=(judged, duplicates),
        kept=silver.kept(marked, SILVER_OF[table]),
        rejected=silver.rejected(marked, table),
        tally=tally,
        sources=counts,
    )


def _bronze_of_night(lake: Lakehouse, table: Table, run_date: date) -> tuple[DataFrame, int]:
    """The night's rows and their number by Delta's log, at one version of the table.

    An ingest may commit more rows meanwhile; they wait until the night is cleaned again.
    """
    version = lake.version(table)
    if version is None:
        return lake.read(table), 0
    rows = lake.read(table, version=version).where(F.col("ingest_date") == F.lit(run_date))
    return rows, rows_of_night(lake.root, table, run_date, version=version)


def _cannot_judge(parts: Mapping[str, DataFrame], error: Exception) -> TopshelfError:
    """Say which source's rows Spark cannot judge; its own text may quote the data."""
    # Spark's own names of errors come before the classes of Java's, of which the last is the cause.
    conditions = re.findall(r"\[[A-Z0-9_.]{4,}\]", str(error))
    classes = re.findall(r"\b[a-z][\w.]*\.\w+(?:Exception|Error)\b", str(error))
    reason = [type(error).__name__, *classes, *conditions[:1]][-1]
    sources = [name for name, part in parts.items() if not _can_be_computed(part)]
    if not sources:
        return InfrastructureError(
            f"Spark could not clean the night ({reason}), though each source alone goes. Nothing "
            "was written. Look at Spark's log for memory and disk, then run it again."
        )
    return DataError(
        f"source {', '.join(sources)}: Spark cannot clean its rows ({reason}). Nothing was "
        "written. Look at the source's `replacements` and `reject` in the configuration: patterns "
        "are in Java's dialect, and in a replacement `$1` is the first group and `\\$` a dollar "
        "sign. If they are right, Spark's log above names the cause."
    )


def _can_be_computed(frame: DataFrame) -> bool:
    try:
        frame.write.format("noop").mode("overwrite").save()
    except (PySparkException, Py4JJavaError):
        return False
    return True


def _check(
    lake: Lakehouse, settings: Settings, nights: Mapping[Table, Night], run_date: date
) -> list[str]:
    """Validate the rows for silver; return its warnings."""
    warnings: list[str] = []
    for table, night in nights.items():
        if not night.tally.silver_rows:
            continue
        rules: list[checks.Check] = []
        if table is BRONZE_EVENTS:
            rules += [
                checks.share(
                    f"the share of {name} rows that repeat an earlier row of their file",
                    counts.repeated_in_file,
                    counts.rows,
                    maximum=settings.quality.duplicate_warn_share,
                    advice="Each of these events counts once. If they are several, let the source "
                    "say what tells them apart: map order_id or the time of day, and name them in "
                    "duplicate_key if there is one. If its files do repeat rows, raise [quality] "
                    "duplicate_warn_share.",
                    severity="warn",
                )
                for name, counts in night.sources.items()
            ]
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
    """Validate the quarantine and the row accounting; return its warnings."""
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
        # A client whose clock is wrong does not stop the shop's night.
        if severity == "warn" or name != BRONZE_FEEDBACK.full_name
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
    """A sentence for every night up to this one whose rows are not, or not all, in silver."""
    return [
        f"the night of {night} "
        + ("was given rows after it was cleaned" if cleaned else "was taken in but never cleaned")
        + f": topshelf clean --run-date {night}"
        for night, cleaned in stale_nights(lake.root, tuple(SILVER_OF), until=run_date).items()
    ]
