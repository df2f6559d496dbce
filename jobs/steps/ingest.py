"""Take new landing files into bronze.

A batch is the set of files that one run finds new. It is registered in ``bronze.files`` before its
rows are written, one Delta commit a table. A run that was killed therefore leaves either nothing or
a registered batch whose partition is missing in a table: the next run finds and finishes it from
the same files.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, reduce

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException, PythonException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from expectations import checks
from expectations.validation import validate
from jobs.config.settings import Settings
from jobs.night.job_report import JobReport, JsonValue
from jobs.night.later_nights import later_files
from lakehouse.clean import silver
from lakehouse.clean.row_accounting import rows_of_night, usual_rows
from lakehouse.errors import DataError
from lakehouse.ingest.bronze import read_bronze
from lakehouse.ingest.feedback import FEEDBACK
from lakehouse.ingest.files import (
    DUPLICATE,
    LOADED,
    FoundFile,
    RegisteredFile,
    find_file,
    interrupted,
    new_files,
    read_register,
    register_batch,
    repeats,
    write_register,
)
from lakehouse.ingest.landing import MAX_NAMES_SHOWN, LandingFile, digest, find, inspect, shown
from lakehouse.ingest.sources import SourceMapping, mappable_columns
from lakehouse.io import arrow
from lakehouse.io.lake import Lakehouse
from lakehouse.tables import (
    BRONZE_EVENTS,
    BRONZE_FEEDBACK,
    BRONZE_FILES,
    BRONZE_ITEMS,
    BRONZE_USERS,
    Table,
)

STEP = "ingest"
TRIED_ROWS = 100
MINIMUM_TRIED_ROWS = 10
RULES_OF_SPELLING = frozenset(
    rule for rule in silver.RULES if rule.endswith(("_invalid", "_unknown"))
)
ROW_TABLES = (BRONZE_EVENTS, BRONZE_ITEMS, BRONZE_USERS, BRONZE_FEEDBACK)


@dataclass(frozen=True, slots=True)
class Batch:
    """Readable files of one batch, by source, to be written to the tables of their sources."""

    ingest_date: date
    ingest_batch: str
    files: Mapping[str, Sequence[LandingFile]]


def run(lake: Lakehouse, settings: Settings, *, run_date: date) -> JobReport:
    """Take in every file dated before ``run_date`` that bronze doesn't hold yet.

    A night without new files is a night of 0 rows with a warning. Raises ``DataError``, with
    nothing written, where the landing folder or every file of a source is missing, a file cannot be
    read or has changed since it was taken in, and ``DataQualityError`` where validation refuses.
    """
    with lake.writing(BRONZE_FILES, *ROW_TABLES):
        register = read_register(lake.root)
        found = _find_all(settings, register, run_date)
        new = new_files(found, register)
        readable = {(f.source, f.source_file): _inspect(settings, f) for f in new}
        warnings = _column_warnings(settings, readable)

        for batch in _interrupted_batches(lake, settings, register, found, run_date):
            for table, frame in _frames(lake, settings, batch).items():
                warnings += _account(settings, table, frame, batch)
                _write(lake, table, frame, batch)
            if batch.ingest_date != run_date:
                warnings.append(
                    f"the night of {batch.ingest_date} was interrupted; its batch is now whole. "
                    f"Run: topshelf clean --run-date {batch.ingest_date}"
                )

        if new:
            empty = [f for f in new if readable[f.source, f.source_file].is_empty]
            rows = register_batch(new, empty, register, run_date)
            warnings += [_repeat(row, before) for row, before in repeats(rows, register)]
            batch = Batch(run_date, rows[0].ingest_batch, _by_source(rows, readable))
            staged = {t: f.persist() for t, f in _frames(lake, settings, batch).items()}
            for table, frame in staged.items():  # the first to look at them all: fills the cache
                warnings += _account(settings, table, frame, batch)
            warnings += _try_first_rows(settings, batch, staged)
            warnings += _unknown_json_keys(settings, batch, staged)
            warnings += _check(lake, settings, staged, register, run_date)
            tonight = [row for row in register if row.ingest_date == run_date]
            write_register(lake.root, run_date, [*tonight, *rows])
            for table, frame in staged.items():
                _write(lake, table, frame, batch)
                frame.unpersist()
        else:
            rows = []

    night = [row for row in (*register, *rows) if row.ingest_date == run_date]
    warnings += [
        f"source {source.name}: no new file for the night of {run_date}"
        for source in settings.landing_sources
        if source.target == "events" and source.name not in {row.source for row in night}
    ]
    dated = {source.name for source in settings.landing_sources if "{date}" in source.path}
    warnings += later_files([f for f in found if f.source in dated], register, run_date)
    return JobReport(
        step=STEP,
        run_date=run_date,
        rows={table.full_name: rows_of_night(lake.root, table, run_date) for table in ROW_TABLES},
        facts={
            "files": _count_by_status(night),
            "new_files": _count_by_status(rows),
            "batches": sorted({row.ingest_batch for row in night}),
            "lines": _lines(readable),
        },
        warnings=tuple(warnings),
    )


def _find_all(
    settings: Settings, register: Sequence[RegisteredFile], run_date: date
) -> list[FoundFile]:
    """Every source's files before the run date; ``DataError`` where a source never had any."""
    landing = settings.paths.landing
    if not landing.is_dir():
        raise DataError(
            f"no landing folder at {landing}. Deliver files there, or change [paths] landing; "
            "`topshelf demo-data` lands a year of real retail."
        )
    digest_once = cache(digest)  # two sources may read one file
    ever = {row.source for row in register}
    known = {(row.source, row.source_file): row for row in register}
    found = []
    for source in settings.landing_sources:
        paths = find(source, landing, before=run_date)
        if not paths and source.name not in ever and source is not FEEDBACK:
            raise DataError(
                f"source {source.name}: no file {source.path} dated before {run_date} below "
                f"{landing}, and none was ever taken in. Deliver one, correct the source's "
                "`path`, or take the source out of the configuration."
            )
        found += [
            find_file(
                source.name,
                path,
                name := path.relative_to(landing).as_posix(),
                before=known.get((source.name, name)),
                night=run_date,
                digest=digest_once,
            )
            for path in paths
        ]
    return found


def _inspect(settings: Settings, file: FoundFile) -> LandingFile:
    return inspect(_source(settings, file.source), settings.paths.landing, file.path)


def _source(settings: Settings, name: str) -> SourceMapping:
    return next(source for source in settings.landing_sources if source.name == name)


def _mapped_elsewhere(settings: Settings, source: SourceMapping) -> frozenset[str]:
    """The columns that other sources take from the same files, e.g. the order file's user."""
    return frozenset(
        column
        for other in settings.landing_sources
        if other.path == source.path and other.name != source.name
        for column in other.mapped_source_columns
    )


def _interrupted_batches(
    lake: Lakehouse,
    settings: Settings,
    register: Sequence[RegisteredFile],
    found: Sequence[FoundFile],
    run_date: date,
) -> list[Batch]:
    """The batches, oldest first, of which a table has no rows, with the files for that table."""
    rows = interrupted(
        register,
        {source.name: source.table for source in settings.landing_sources},
        {table.full_name: arrow.partition_rows(lake.root, table) for table in ROW_TABLES},
        until=run_date,
    )
    by_name = {(file.source, file.source_file): file for file in found}
    if gone := [row.source_file for row in rows if (row.source, row.source_file) not in by_name]:
        raise DataError(
            f"the files {gone} were registered by a run that was interrupted before it wrote "
            "their rows, and are no longer in the landing folder. Put them back, then run ingest "
            "again."
        )
    readable = {
        (row.source, row.source_file): _inspect(settings, by_name[row.source, row.source_file])
        for row in rows
    }
    batches: dict[tuple[date, str], list[RegisteredFile]] = defaultdict(list)
    for row in rows:
        batches[row.ingest_date, row.ingest_batch].append(row)
    return [
        Batch(night, name, _by_source(members, readable))
        for (night, name), members in sorted(batches.items())
    ]


def _by_source(
    rows: Sequence[RegisteredFile], readable: Mapping[tuple[str, str], LandingFile]
) -> dict[str, list[LandingFile]]:
    """The files to load, by source."""
    files: dict[str, list[LandingFile]] = defaultdict(list)
    for row in rows:
        if row.status == LOADED:
            files[row.source].append(readable[row.source, row.source_file])
    return dict(files)


def _frames(lake: Lakehouse, settings: Settings, batch: Batch) -> dict[Table, DataFrame]:
    """The batch's rows by bronze table."""
    parts: dict[Table, list[DataFrame]] = defaultdict(list)
    for name, files in batch.files.items():
        source = _source(settings, name)
        try:
            rows = read_bronze(
                lake.spark,
                source,
                files,
                landing=settings.paths.landing,
                ingest_date=batch.ingest_date,
                ingest_batch=batch.ingest_batch,
                mapped_elsewhere=_mapped_elsewhere(settings, source),
            )
        except PySparkException as error:
            raise _unreadable([name], error) from error
        parts[source.table].append(rows)
    return {table: reduce(DataFrame.unionByName, frames) for table, frames in parts.items()}


def _account(settings: Settings, table: Table, frame: DataFrame, batch: Batch) -> list[str]:
    """Compare the rows read with those counted in the files' lines; name the unreadable ones.

    Raises ``DataError`` where a file has other rows than were counted, or cannot be read by Spark.
    """
    try:
        counts = (
            frame.groupBy("source", "source_file", "corrupt_rule")
            .agg(F.count("*").alias("rows"), F.min("row_number").alias("first"))
            .orderBy("source", "source_file", "corrupt_rule")
            .collect()
        )
    except (PySparkException, Py4JJavaError) as error:
        if not isinstance(error, PythonException) and "FAILED_READ_FILE" not in str(error):
            raise
        raise _unreadable(_sources_of(settings, table), error) from error
    read: Counter[tuple[str, str]] = Counter()
    for row in counts:
        read[row["source"], row["source_file"]] += row["rows"]
    for name in set(batch.files) & set(_sources_of(settings, table)):
        for file in batch.files[name]:
            if read[name, file.name] != file.rows:
                raise DataError(
                    f"source {name}: file {file.name}: {read[name, file.name]} rows were read, but "
                    f"{file.rows} were counted before. Nothing was written. If the file was "
                    "changed meanwhile, deliver it whole and run ingest again."
                )
    return [
        f"source {row['source']}: {row['rows']} row(s) of file {row['source_file']}, the first "
        f"number {row['first']}, cannot be read ({row['corrupt_rule']}) and go to the quarantine"
        for row in counts
        if row["corrupt_rule"] is not None
    ]


def _try_first_rows(
    settings: Settings, batch: Batch, staged: Mapping[Table, DataFrame]
) -> list[str]:
    """Judge the first rows of each new file; return a sentence where one rule rejects them all.

    Raises ``DataError`` where that is a rule about how values are written: the mapping, not the
    data, is wrong then.
    """
    judged = [
        silver.judge(
            staged[source.table].where(
                (F.col("source") == name) & (F.col("row_number") <= TRIED_ROWS)
            ),
            source,
            night=batch.ingest_date,
        ).select("source", "source_file", "record", F.explode("rules").alias("rule"))
        for name in batch.files
        for source in [_source(settings, name)]
        # Its writer has checked it, and clients' mistakes say nothing about a mapping.
        if source.target != "feedback"
    ]
    if not judged:
        return []
    rejections = (
        reduce(DataFrame.union, judged)
        .groupBy("source", "source_file", "rule")
        .agg(F.count("*").alias("rows"), F.min("record").alias("record"))
        .orderBy("source", "source_file", "rule")
        .collect()
    )
    tried = {
        (name, file.name): min(file.rows, TRIED_ROWS)
        for name, files in batch.files.items()
        for file in files
    }
    warnings = []
    for row in rejections:
        rows = tried[row["source"], row["source_file"]]
        if not MINIMUM_TRIED_ROWS <= rows == row["rows"]:
            continue
        sentence = (
            f"source {row['source']}: the rule {row['rule']} rejects each of the first {rows} rows "
            f"of file {row['source_file']}{_example(row['rule'], row['record'])}"
        )
        if row["rule"] in RULES_OF_SPELLING:
            raise DataError(
                f"{sentence}. Nothing was written. Correct the source's mapping in the "
                "configuration, or take the file out of the landing folder."
            )
        warnings.append(sentence)
    return warnings


def _example(rule: str, record: str) -> str:
    """A value that broke the rule, as a pattern that tells nobody's data."""
    column = next((name for name in mappable_columns("events") if rule.startswith(name)), None)
    value = None if column is None else json.loads(record).get(column)
    if value is None:
        return ""
    pattern = re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", value[:40]))
    return f"; {column} is written like {pattern!r} (9: a digit, a: a letter)"


def _check(
    lake: Lakehouse,
    settings: Settings,
    staged: Mapping[Table, DataFrame],
    register: Sequence[RegisteredFile],
    run_date: date,
) -> list[str]:
    """Validate the staged rows; return its warnings."""
    warnings: list[str] = []
    taken_in_before = {row.source for row in register if row.ingest_date == run_date}
    for table, frame in staged.items():
        # A usual night's rows say nothing about a late file of a night taken in before.
        is_whole_night = not taken_in_before & set(_sources_of(settings, table))
        volume = checks.usual_volume(
            usual_rows(lake.root, table, before=run_date)
            if table is BRONZE_EVENTS and is_whole_night
            else None,
            fail_below=settings.quality.volume_fail_ratio,
            warn_below=settings.quality.volume_warn_ratio,
            warn_above=settings.quality.volume_max_ratio,
        )
        warnings += validate(
            frame, table, run_date=run_date, results=settings.paths.data_quality, checks=volume
        ).warnings
    return warnings


def _sources_of(settings: Settings, table: Table) -> list[str]:
    return [source.name for source in settings.landing_sources if source.table is table]


def _unreadable(sources: Sequence[str], error: Exception) -> DataError:
    reason = str(error).splitlines()[0][:500]
    return DataError(
        f"source {', '.join(sources)}: Spark cannot read the files: {reason}. Nothing was written. "
        "Deliver the file again, or take it out of the landing folder."
    )


def _write(lake: Lakehouse, table: Table, frame: DataFrame, batch: Batch) -> None:
    lake.replace(
        table,
        frame,
        {"ingest_date": batch.ingest_date, "ingest_batch": batch.ingest_batch},
    )


def _repeat(row: RegisteredFile, before: RegisteredFile) -> str:
    """A sentence about a file that has the bytes of another."""
    outcome = (
        "it is left out"
        if row.status == DUPLICATE
        else "other files of the source came since, so it is taken in once more"
    )
    return (
        f"source {row.source}: file {row.source_file} has the bytes of {before.source_file}, taken "
        f"in for {before.ingest_date}; {outcome}"
    )


def _lines(readable: Mapping[tuple[str, str], LandingFile]) -> dict[str, JsonValue]:
    """The physical lines of each new text file by source, and the rows made of them."""
    lines: dict[str, dict[str, JsonValue]] = defaultdict(dict)
    for (source, name), file in readable.items():
        if file.lines:
            lines[source][name] = {"lines": file.lines, "rows": file.rows}
    return dict(lines)


def _column_warnings(
    settings: Settings, readable: Mapping[tuple[str, str], LandingFile]
) -> list[str]:
    """One sentence a source about columns that the mapping doesn't know of."""
    kept: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for (name, source_file), file in readable.items():
        source = _source(settings, name)
        elsewhere = _mapped_elsewhere(settings, source)
        for column in file.layout.unknown_columns(source):
            if column in elsewhere:
                continue
            kept[name, column, "is not in the mapping; it is kept in `extra`"].append(source_file)
        for column in file.layout.unreadable:
            kept[name, column, "has a type that cannot be read; it is left out"].append(source_file)
    return [
        f"source {name}: column {shown([column])} of {len(names)} file(s), the first {names[0]}, "
        f"{outcome}"
        for (name, column, outcome), names in kept.items()
    ]


def _unknown_json_keys(
    settings: Settings, batch: Batch, staged: Mapping[Table, DataFrame]
) -> list[str]:
    """The same for JSON lines, whose keys are known once they are read."""
    warnings = []
    for name in batch.files:
        source = _source(settings, name)
        if source.format != "jsonl":
            continue
        keys = (
            staged[source.table]
            .where(F.col("source") == name)
            .select(F.explode(F.map_keys("extra")).alias("key"))
            .distinct()
            .collect()
        )
        warnings += [
            f"source {name}: key {shown([key])} is not in the mapping; it is kept in `extra`"
            for key in sorted({row["key"] for row in keys} - set(source.other_columns))[
                :MAX_NAMES_SHOWN
            ]
        ]
    return warnings


def _count_by_status(rows: Iterable[RegisteredFile]) -> dict[str, int]:
    return dict(Counter(row.status for row in rows))
