"""What a configuration makes of the files in the landing folder, before a night takes them in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jobs.config.settings import Settings
from lakehouse.errors import DataError
from lakehouse.ingest.files import read_register
from lakehouse.ingest.landing import LandingFile, find, inspect, open_records, shown
from lakehouse.ingest.sources import SourceMapping
from lakehouse.windows import LAST_DAY

SHOWN_ROWS: Final = 3
SHOWN_FILES: Final = 10
SHOWN_WIDTH: Final = 40


@dataclass(frozen=True, slots=True)
class SourceCheck:
    """A source's files, how many were never taken in, and the first rows of the newest file.

    Of rows, columns are canonical, and values are as delivered, before rewrites and rules.
    """

    source: SourceMapping
    files: int
    new: int
    file: LandingFile | None
    rows: Sequence[Mapping[str, str]]
    unknown_columns: tuple[str, ...]
    problem: str | None


@dataclass(frozen=True, slots=True)
class Check:
    """The sources, and the files of the landing folder that none of them matches."""

    landing: Path
    sources: tuple[SourceCheck, ...]
    unmatched: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Why a night would stop."""
        return tuple(check.problem for check in self.sources if check.problem is not None)


def check(settings: Settings) -> Check:
    """Match the sources with the landing folder and read the newest file of each.

    Raises ``DataError`` where there is no landing folder.
    """
    landing = settings.paths.landing
    if not landing.is_dir():
        raise DataError(f"no landing folder at {landing}. Make it, or change `[paths] landing`.")
    taken_in = {(row.source, row.source_file) for row in read_register(settings.paths.lake)}
    matched: set[Path] = set()
    checks = []
    for source in settings.sources:
        try:
            files = find(source, landing, before=LAST_DAY)
        except DataError as error:
            checks.append(SourceCheck(source, 0, 0, None, (), (), str(error)))
            continue
        matched.update(files)
        names = [(source.name, path.relative_to(landing).as_posix()) for path in files]
        checks.append(_check(source, landing, files, sum(name not in taken_in for name in names)))
    return Check(landing, tuple(checks), tuple(_unmatched(landing, matched)))


def _check(source: SourceMapping, landing: Path, files: Sequence[Path], new: int) -> SourceCheck:
    if not files:
        problem = f"source {source.name}: no file {source.path} below {landing}."
        return SourceCheck(source, 0, 0, None, (), (), problem)
    try:
        file = inspect(source, landing, files[-1])
    except DataError as error:
        return SourceCheck(source, len(files), new, None, (), (), str(error))
    rows = tuple(islice(_rows(source, file), SHOWN_ROWS))
    unknown = file.layout.unknown_columns(source)
    return SourceCheck(source, len(files), new, file, rows, unknown, None)


def _rows(source: SourceMapping, file: LandingFile) -> Iterator[Mapping[str, str]]:
    """The file's rows by canonical column; what may tell who a person is, is masked."""
    for values in _raw_rows(source, file):
        row = {}
        for name in source.table.column_names:
            if name in source.constants:
                row[name] = source.constants[name]
            elif name in source.columns:
                value = " ".join(values.get(column) or "" for column in source.file_columns(name))
                row[name] = masked(value) if source.table.column(name).personal else value
        row |= {name: masked(values.get(name) or "") for name in source.attributes}
        row |= {name: values.get(name) or "" for name in source.flags}
        yield row


def _raw_rows(source: SourceMapping, file: LandingFile) -> Iterator[Mapping[str, str | None]]:
    if source.format == "parquet":
        columns = list(source.mapped_source_columns)
        with pq.ParquetFile(file.path) as parquet:
            for batch in parquet.iter_batches(batch_size=SHOWN_ROWS, columns=columns):
                for values in batch.to_pylist():
                    yield {k: None if v is None else str(v) for k, v in values.items()}
    else:
        with open_records(source, file.path) as text:
            for record in text.records:
                if record.rule is None and not record.is_blank:
                    values = record.values
                    yield (
                        values
                        if isinstance(values, dict)
                        else dict(zip(text.columns, values, strict=False))
                    )


def masked(text: str) -> str:
    """The first half of a text, at most four characters; the rest as dots."""
    kept = min(4, len(text) // 2)
    return text[:kept] + "…" * (len(text) > kept)


def _unmatched(landing: Path, matched: set[Path]) -> Iterator[str]:
    for path in sorted(landing.rglob("*")):
        name = path.relative_to(landing)
        if path.is_file() and path not in matched and not name.name.startswith((".", "_")):
            yield name.as_posix()


def show(checked: Check) -> RenderableType:
    """The check for a person at a terminal."""
    parts: list[RenderableType] = []
    for one in checked.sources:
        source = one.source
        parts.append(
            Text(
                f"source {source.name} ({source.target}, {source.path}): {one.files:,} file(s), "
                f"{one.new:,} new",
                style="bold",
            )
        )
        if one.problem is not None:
            parts.append(Text(f"  wrong: {one.problem}"))
        elif one.file is not None:
            parts += _newest(one, one.file)
    if checked.unmatched:
        more = len(checked.unmatched) - SHOWN_FILES
        names = ", ".join(checked.unmatched[:SHOWN_FILES]) + (
            f" and {more} more" if more > 0 else ""
        )
        parts.append(Text(f"matched by no source in {checked.landing}: {names}"))
    return Group(*parts)


def _newest(one: SourceCheck, file: LandingFile) -> Iterator[RenderableType]:
    yield Text(f"  newest {file.name}: {file.rows:,} row(s), the first as delivered:")
    if one.rows:
        table = Table(*one.rows[0], box=None, header_style="bold", pad_edge=True)
        for row in one.rows:
            table.add_row(*(Text(value[:SHOWN_WIDTH]) for value in row.values()))
        yield table
    if one.unknown_columns:
        yield Text(f"  kept in `extra`, as no setting names them: {shown(one.unknown_columns)}")
