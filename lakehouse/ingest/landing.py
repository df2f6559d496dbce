"""Landing files: which there are, whether they can be read, and what columns they hold."""

import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import BinaryIO, Final, cast

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.errors import DataError
from lakehouse.ingest.parquet_types import spark_types
from lakehouse.ingest.records import TextFile, csv_table, json_records, physical_lines
from lakehouse.ingest.sources import SourceMapping

DATE_PATTERN = r"(\d{4}-\d{2}-\d{2})"
CODECS: Final = {".gz": "gzip", ".zst": "zstd"}
MAX_NAMES_SHOWN: Final = 30
_NAME: Final = re.compile(r"(?!.*\d{5})[^\W\d][\w .:/()%#&+*-]{0,39}")


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a file in order, and for Parquet the types by which Spark reads them.

    Both are empty for JSON lines, whose rows may differ. ``unreadable`` are the columns of a
    Parquet file that Spark has no type for.
    """

    columns: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    def unknown_columns(self, mapping: SourceMapping) -> tuple[str, ...]:
        """Columns that the mapping doesn't know of."""
        known = {*mapping.mapped_source_columns, *mapping.other_columns}
        return tuple(column for column in self.columns if column not in known)


@dataclass(frozen=True, slots=True)
class LandingFile:
    """One readable file; ``name`` is its path below the landing folder.

    Every one of its physical ``lines`` (0 for Parquet) is in one of its ``rows``, belongs to the
    header, or is blank.
    """

    path: Path
    name: str
    layout: Layout
    rows: int
    lines: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether the file has no row."""
        return self.rows == 0


def find(mapping: SourceMapping, landing: Path, *, before: date) -> list[Path]:
    """The source's files, by name; dated ones only if their date is before ``before``.

    Hidden names (``.`` or ``_`` in front) are left alone, as Spark does: they are uploads under
    way. Raises ``DataError`` where a file's date does not exist, e.g. 2017-02-30.
    """
    pattern = re.compile(
        DATE_PATTERN.join(_glob_to_regex(part) for part in mapping.path.split("{date}"))
    )
    files = []
    for path in sorted(landing.glob(mapping.path.replace("{date}", "*"))):
        match = pattern.fullmatch(path.relative_to(landing).as_posix())
        if match is None or path.name.startswith((".", "_")):
            continue
        if path.is_symlink() and not path.exists():
            raise DataError(
                f"landing file {path.name} is a link to a file that does not exist. Deliver that "
                "file, or take the link away."
            )
        if not path.is_file():
            continue
        if all(_parse_date(path, text) < before for text in match.groups()):
            files.append(path)
    return files


def digest(path: Path) -> str:
    """SHA-256 of the file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def inspect(mapping: SourceMapping, landing: Path, path: Path) -> LandingFile:
    """Read the file to its end and learn what Spark has to know before it reads it.

    Raises ``DataError`` naming the file and the reason where it cannot be read or lacks a column
    that the mapping names.
    """
    name = path.relative_to(landing).as_posix()
    try:
        file = (
            _inspect_parquet(path, name)
            if mapping.format == "parquet"
            else _inspect_text(mapping, path, name)
        )
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        raise DataError(
            f"source {mapping.name}: file {name} cannot be read as {mapping.format}: {error}. "
            "Deliver it again, or take it out of the landing folder."
        ) from error
    layout = file.layout
    missing = [c for c in mapping.mapped_source_columns if c not in layout.columns]
    if unreadable := [column for column in missing if column in layout.unreadable]:
        raise DataError(
            f"source {mapping.name}: file {name}: the type of column {shown(unreadable)} cannot be "
            "read. Write it as text, a number or a timestamp, or map another column."
        )
    if missing and layout.columns:
        raise DataError(
            f"source {mapping.name}: file {name} has no column {', '.join(missing)}; "
            f"{_columns_it_has(layout.columns)}. Mend the file, or the source's `columns` in the "
            "configuration."
        )
    return file


@contextmanager
def open_records(mapping: SourceMapping, path: Path) -> Iterator[TextFile]:
    """The columns and records of a CSV or JSON lines file, blank lines among them.

    Raises ``ValueError`` or ``OSError`` where the file cannot be read.
    """
    with _open(path) as binary:
        lines = physical_lines(
            io.TextIOWrapper(binary, encoding=mapping.encoding, errors="replace", newline="")
        )
        if mapping.format == "jsonl":
            scalars = {column for name in mapping.columns for column in mapping.file_columns(name)}
            yield TextFile((), 0, json_records(lines, scalars=frozenset(scalars)))
        else:
            yield csv_table(
                lines,
                mapping.delimiter,
                header=mapping.header,
                max_lines=mapping.max_lines_per_row,
            )


def shown(names: Iterable[str]) -> str:
    """Names of columns as a message may show them: a long or odd one may be a person's data."""
    listed = list(names)
    parts = [
        name if _NAME.fullmatch(name) else f"(number {place}, not shown)"
        for place, name in enumerate(listed[:MAX_NAMES_SHOWN], 1)
    ]
    more = len(listed) - len(parts)
    return ", ".join(parts) + (f" and {more} more" if more else "")


def _columns_it_has(columns: tuple[str, ...]) -> str:
    if all(_NAME.fullmatch(column) for column in columns):
        return f"it has {shown(columns)}"
    return (
        f"the {len(columns)} names that it has look like data and are not shown (a file without a "
        "header line needs the source's `header`)"
    )


def _inspect_parquet(path: Path, name: str) -> LandingFile:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        columns = dict(zip(file.schema_arrow.names, spark_types(file), strict=True))
        _check_names(file.schema_arrow.names)
        for _ in file.iter_batches():
            pass
        rows = file.metadata.num_rows
    readable = {column: kind for column, kind in columns.items() if kind is not None}
    layout = Layout(
        tuple(readable), tuple(readable.values()), tuple(c for c in columns if c not in readable)
    )
    return LandingFile(path, name, layout, rows)


def _inspect_text(mapping: SourceMapping, path: Path, name: str) -> LandingFile:
    with open_records(mapping, path) as file:
        _check_names(file.columns)
        rows, lines = 0, file.head_lines
        for record in file.records:
            rows += not record.is_blank
            lines += record.lines
    return LandingFile(path, name, Layout(file.columns), rows, lines)


def _check_names(columns: Sequence[str]) -> None:
    """Spark tells columns apart without regard to case."""
    folded = [column.casefold() for column in columns]
    if twice := [name for name in columns if folded.count(name.casefold()) > 1]:
        raise ValueError(f"a column name stands twice: {shown(twice)}")


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    if codec := CODECS.get(path.suffix):
        with pa.input_stream(str(path), compression=codec) as unpacked:
            yield cast("BinaryIO", unpacked)
    else:
        with path.open("rb") as plain:
            yield plain


def _glob_to_regex(part: str) -> str:
    return re.escape(part).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")


def _parse_date(path: Path, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise DataError(
            f"landing file {path.name}: {text} is no date. Rename it to YYYY-MM-DD."
        ) from error
