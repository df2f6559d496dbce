"""Landing files: which there are, whether they can be read, and what columns they hold."""

import csv
import gzip
import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.errors import DataError
from lakehouse.sources import SourceMapping

DATE_PATTERN = r"(\d{4}-\d{2}-\d{2})"
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a file in order, and for Parquet their Arrow types.

    Both are empty for JSON lines, whose rows may differ.
    """

    columns: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    def unknown_columns(self, mapping: SourceMapping) -> tuple[str, ...]:
        """Columns that the mapping doesn't know of."""
        known = {*mapping.mapped_source_columns, *mapping.other_columns}
        return tuple(column for column in self.columns if column not in known)


@dataclass(frozen=True, slots=True)
class LandingFile:
    """One readable file; ``name`` is its path below the landing folder."""

    path: Path
    name: str
    layout: Layout
    is_empty: bool


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
        if match is None or path.name.startswith((".", "_")) or not path.is_file():
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
        if mapping.format == "parquet":
            layout, is_empty = _inspect_parquet(path)
        elif mapping.format == "csv":
            layout, is_empty = _inspect_csv(mapping, path)
        else:
            layout, is_empty = Layout(), _inspect_lines(path)
    except (pa.ArrowException, OSError, EOFError, ValueError, csv.Error) as error:
        raise DataError(
            f"source {mapping.name}: file {name} cannot be read as {mapping.format}: {error}. "
            "Deliver it again, or take it out of the landing folder."
        ) from error
    missing = [c for c in mapping.mapped_source_columns if c not in layout.columns]
    if missing and layout.columns:
        raise DataError(
            f"source {mapping.name}: file {name} has no column {missing}; it has "
            f"{list(layout.columns)}. Mend the file, or the source's `columns` in the "
            "configuration."
        )
    return LandingFile(path=path, name=name, layout=layout, is_empty=is_empty)


def _inspect_parquet(path: Path) -> tuple[Layout, bool]:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        schema = file.schema_arrow
        for _ in file.iter_batches():
            pass
        is_empty = file.metadata.num_rows == 0
    _check_names(schema.names)
    return Layout(tuple(schema.names), tuple(str(field.type) for field in schema)), is_empty


def _inspect_csv(mapping: SourceMapping, path: Path) -> tuple[Layout, bool]:
    with _open(path) as binary:
        text = io.TextIOWrapper(binary, encoding=mapping.encoding, errors="replace", newline="")
        if mapping.header is None:
            header = next(csv.reader(text, delimiter=mapping.delimiter), [])
            columns = tuple(name.lstrip("\ufeff") for name in header)
        else:
            columns = mapping.header
        is_empty = not _holds_text(text)
    _check_names(columns)
    return Layout(columns), is_empty


def _inspect_lines(path: Path) -> bool:
    with _open(path) as binary:
        return not _holds_text(io.TextIOWrapper(binary, encoding="UTF-8", errors="replace"))


def _holds_text(text: io.TextIOWrapper) -> bool:
    """Whether anything but white space is left, having read to the end (a cut gzip raises)."""
    found = False
    # A reader that took lines off the stream has set it to line mode: read on by lines until text
    # is found, then in chunks.
    for line in text:
        if line.strip():
            found = True
            break
    for _ in chain(iter(lambda: text.read(CHUNK), "")):
        pass
    return found


def _check_names(columns: tuple[str, ...] | list[str]) -> None:
    """Spark tells columns apart without regard to case."""
    folded = [column.casefold() for column in columns]
    if len(set(folded)) != len(folded):
        raise ValueError(f"a column name stands twice in {list(columns)}")


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    if path.suffix == ".gz":
        with gzip.open(path, "rb") as zipped:
            yield cast("BinaryIO", zipped)
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
