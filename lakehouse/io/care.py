"""Table care without a JVM: what tables take, dropping old nights, deleting files nobody reads.

Whoever calls what changes a table holds its write lock (``arrow.writing``). Each change is one
Delta commit or the deletion of files that no readable version names, so that a call that is killed
can be repeated.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from lakehouse.errors import InfrastructureError
from lakehouse.io import arrow
from lakehouse.tables import Table

LOG: Final = "_delta_log"


@dataclass(frozen=True, slots=True)
class TableState:
    """What a table takes on disk.

    ``files`` and ``bytes`` are those of the newest version, ``former_files`` and ``former_bytes``
    those that only former versions or killed runs left there. ``commits`` counts the files of
    Delta's log that are read one by one: those since the last checkpoint.
    """

    table: Table
    rows: int
    files: int
    bytes: int
    former_files: int
    former_bytes: int
    version: int
    commits: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """Files deleted and their bytes."""

    files: int
    bytes: int


def state(root: Path, table: Table) -> TableState:
    """What the table takes; raises ``DataError`` where it does not exist or cannot be used."""
    path = root / table.path
    delta = arrow.open_table(root, table)
    actions = pa.table(delta.get_add_actions()).to_pylist()
    used = sum(action["size_bytes"] for action in actions)
    on_disk = _data_files(path)
    log = path / LOG
    checkpoints = [int(file.name[:20]) for file in log.glob("*.checkpoint*.parquet")]
    since = max(checkpoints, default=-1)
    return TableState(
        table=table,
        rows=sum(action["num_records"] or 0 for action in actions),
        files=len(actions),
        bytes=used,
        former_files=len(on_disk) - len(actions),
        former_bytes=sum(on_disk.values()) - used,
        version=delta.version(),
        commits=sum(int(file.stem) > since for file in log.glob("*.json")),
    )


def drop_nights(
    root: Path, table: Table, *, before: date, keep: Collection[date]
) -> tuple[date, ...]:
    """Take the rows of the nights before ``before``, but for those to keep, out of the table.

    The table is partitioned by ``run_date``. The nights go in one commit and are returned, the
    oldest first.
    """
    place = table.partition_by.index("run_date")
    nights = {date.fromisoformat(values[place]) for values in arrow.partition_rows(root, table)}
    dropped = tuple(sorted(night for night in nights if night < before and night not in keep))
    if dropped:
        listed = ", ".join(f"'{night}'" for night in dropped)
        arrow.open_table(root, table).delete(f"run_date IN ({listed})")
    return dropped


def vacuum(root: Path, table: Table, *, retention: timedelta, keep: Sequence[int]) -> Deleted:
    """Delete the files that no version of the last ``retention`` and none of ``keep`` names.

    What killed runs left is among them. The table gets no new version by it, so that a release's
    name, which holds the versions it was made from, stays what it is. A version to keep that
    Delta's log no longer tells of is lost already. Raises ``InfrastructureError``, with nothing
    deleted, where the table cannot tell which files it needs.
    """
    path = root / table.path
    delta = arrow.open_table(root, table)
    try:
        unused = delta.vacuum(
            retention_hours=int(retention / timedelta(hours=1)),
            dry_run=True,
            enforce_retention_duration=False,
            full=True,
            keep_versions=[version for version in sorted(set(keep)) if _is_readable(path, version)],
        )
    except DeltaError as error:
        raise InfrastructureError(
            f"{table.full_name}: cannot tell which files are needed "
            f"({str(error).splitlines()[0][:200]}). None was deleted; look at the table's folder."
        ) from error
    on_disk = _data_files(path)
    # Listed are also files deleted before, and Hadoop's checksums of files in use.
    sizes = {name: on_disk[name] for name in unused if name in on_disk}
    for name in sizes:
        file = path / name
        file.unlink()
        file.with_name(f".{file.name}.crc").unlink(missing_ok=True)
    return Deleted(len(sizes), sum(sizes.values()))


def checkpoint(root: Path, table: Table) -> None:
    """Write Delta's checkpoint of the newest version: who opens the table reads one file then."""
    arrow.open_table(root, table).create_checkpoint()


def _is_readable(path: Path, version: int) -> bool:
    try:
        DeltaTable(path, version=version)
    except DeltaError:
        return False
    return True


def _data_files(path: Path) -> dict[str, int]:
    """The sizes of the Parquet files of a table, whichever version they belong to."""
    return {
        str(file.relative_to(path)): file.stat().st_size
        for file in path.rglob("*.parquet")
        if LOG not in file.parts
    }
