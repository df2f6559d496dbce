"""The register of landing files: which are new, and which batches were interrupted."""

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Final

import pyarrow as pa

from lakehouse.errors import DataError
from lakehouse.io import arrow
from lakehouse.tables import BRONZE_FILES, Table

LOADED, EMPTY, DUPLICATE = "loaded", "empty", "duplicate"
HASHED_EVERY_NIGHTS: Final = 28


@dataclass(frozen=True, slots=True)
class RegisteredFile:
    """A row of ``bronze.files``."""

    source: str
    source_file: str
    file_digest: str
    bytes: int
    status: str
    ingest_batch: str
    ingest_date: date
    modified_ns: int | None = None


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file in the landing folder, known by its name and bytes alone."""

    source: str
    path: Path
    source_file: str
    file_digest: str
    bytes: int
    modified_ns: int | None = None


def find_file(
    source: str,
    path: Path,
    source_file: str,
    *,
    before: RegisteredFile | None,
    night: date,
    digest: Callable[[Path], str],
) -> FoundFile:
    """Describe a landing file, whose row in the register is ``before`` if it has one.

    A file of the same size and time of writing has the bytes it had. Still a part of them is hashed
    each night, by name and date, so that none goes unchecked for ``HASHED_EVERY_NIGHTS``.
    """
    stat = path.stat()
    turn = (night.toordinal() + zlib.crc32(source_file.encode())) % HASHED_EVERY_NIGHTS
    unchanged = before is not None and (before.bytes, before.modified_ns) == (
        stat.st_size,
        stat.st_mtime_ns,
    )
    return FoundFile(
        source=source,
        path=path,
        source_file=source_file,
        file_digest=before.file_digest if before and unchanged and turn else digest(path),
        bytes=stat.st_size,
        modified_ns=stat.st_mtime_ns,
    )


def read_register(root: Path) -> list[RegisteredFile]:
    """Every file ever taken in, in the order of nights and names."""
    if not arrow.exists(root, BRONZE_FILES):
        return []
    rows = [RegisteredFile(**row) for row in arrow.read(root, BRONZE_FILES).to_pylist()]
    return sorted(rows, key=lambda row: (row.ingest_date, row.source, row.source_file))


def write_register(root: Path, night: date, rows: Sequence[RegisteredFile]) -> None:
    """Make ``rows`` the register of the night, in one commit."""
    table = pa.Table.from_pylist([asdict(row) for row in rows], arrow.arrow_schema(BRONZE_FILES))
    arrow.replace(root, BRONZE_FILES, table, {"ingest_date": night})


def new_files(found: Sequence[FoundFile], register: Sequence[RegisteredFile]) -> list[FoundFile]:
    """The found files that were never taken in.

    Raises ``DataError`` where a file was taken in with other content under the same name.
    """
    known = {(row.source, row.source_file): row for row in register}
    new = []
    for file in found:
        before = known.get((file.source, file.source_file))
        if before is None:
            new.append(file)
        elif before.file_digest != file.file_digest:
            raise DataError(
                f"source {file.source}: file {file.source_file} has other content than when it was "
                f"taken in for {before.ingest_date} (SHA-256 {before.file_digest} then, "
                f"{file.file_digest} now). Put the first file back, and deliver the new content "
                "under a new name that the source's `path` matches, e.g. products-2018-01-03.csv "
                "for products*.csv."
            )
    return new


def register_batch(
    files: Sequence[FoundFile],
    empty: Sequence[FoundFile],
    register: Sequence[RegisteredFile],
    night: date,
) -> list[RegisteredFile]:
    """The rows of ``bronze.files`` for a batch of new files, in the order given.

    A file is a duplicate if it has the bytes of its source's newest loaded file. Bytes that came
    before that one are loaded again: a catalogue that was corrected back has to be in force.
    """
    text = "\n".join(sorted(f"{f.source}\t{f.source_file}\t{f.file_digest}" for f in files))
    batch = f"{night}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    newest = {row.source: row for row in _loaded(register, until=night)}
    rows = []
    for file in files:
        status = EMPTY if file in empty else LOADED
        if file.source in newest and newest[file.source].file_digest == file.file_digest:
            status = DUPLICATE
        row = RegisteredFile(
            source=file.source,
            source_file=file.source_file,
            file_digest=file.file_digest,
            bytes=file.bytes,
            status=status,
            ingest_batch=batch,
            ingest_date=night,
            modified_ns=file.modified_ns,
        )
        if status == LOADED:
            newest[file.source] = row
        rows.append(row)
    return rows


def repeats(
    rows: Sequence[RegisteredFile], register: Sequence[RegisteredFile]
) -> list[tuple[RegisteredFile, RegisteredFile]]:
    """The files of a batch whose bytes were loaded before, each with the newest that has them."""
    newest = {(row.source, row.file_digest): row for row in _loaded(register, until=date.max)}
    found = []
    for row in rows:
        content = (row.source, row.file_digest)
        if content in newest and row.status != EMPTY:
            found.append((row, newest[content]))
        if row.status == LOADED:
            newest[content] = row
    return found


def _loaded(register: Sequence[RegisteredFile], *, until: date) -> list[RegisteredFile]:
    """The loaded files of nights up to ``until``, the newest last."""
    loaded = [row for row in register if row.status == LOADED and row.ingest_date <= until]
    return sorted(loaded, key=lambda row: (row.ingest_date, row.source, row.source_file))


def interrupted(
    register: Sequence[RegisteredFile],
    tables: Mapping[str, Table],
    written: Mapping[str, Mapping[tuple[str, ...], int]],
    *,
    until: date,
) -> list[RegisteredFile]:
    """The loaded files of nights up to ``until`` whose batch has no rows in their table.

    ``tables`` gives the bronze table of a source, ``written`` the partitions (ingest date, batch)
    of a table by its full name. Raises ``DataError`` for a file whose source is not configured.
    """
    rows = []
    for row in register:
        if row.status != LOADED or row.ingest_date > until:
            continue
        if row.source not in tables:
            if any((str(row.ingest_date), row.ingest_batch) in parts for parts in written.values()):
                continue
            raise DataError(
                f"source {row.source} has files in bronze.files whose rows were never written, but "
                "the configuration has no such source. Put it back, then run ingest again."
            )
        partition = (str(row.ingest_date), row.ingest_batch)
        if partition not in written[tables[row.source].full_name]:
            rows.append(row)
    return rows
