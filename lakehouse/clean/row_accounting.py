"""Where a night's rows went, and how many a usual night has."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa

from lakehouse.errors import DataError
from lakehouse.io import arrow
from lakehouse.tables import ROW_ACCOUNTING, Table

USUAL_NIGHTS = 28
MINIMUM_NIGHTS = 7


@dataclass(frozen=True, slots=True)
class Tally:
    """The rows of one bronze table and night."""

    bronze_rows: int = 0
    silver_rows: int = 0
    quarantine_rows: int = 0
    duplicate_rows: int = 0

    def check(self, table_name: str, night: date) -> None:
        """Raise ``DataError`` unless every bronze row is in exactly one of the other three."""
        found = self.silver_rows + self.quarantine_rows + self.duplicate_rows
        if found != self.bronze_rows:
            raise DataError(
                f"{table_name}, ingest_date {night}: {self.bronze_rows} rows, but "
                f"{self.silver_rows} in silver + {self.quarantine_rows} in quarantine + "
                f"{self.duplicate_rows} duplicates = {found}. Nothing was written. Check that "
                "every source of the night is in the configuration."
            )


def accounting_rows(tallies: Mapping[str, Tally], night: date) -> pa.Table:
    """The night's rows of ``silver.row_accounting`` from tallies by bronze table."""
    return pa.Table.from_pylist(
        [
            {
                "ingest_date": night,
                "table_name": name,
                "bronze_rows": tally.bronze_rows,
                "silver_rows": tally.silver_rows,
                "quarantine_rows": tally.quarantine_rows,
                "duplicate_rows": tally.duplicate_rows,
            }
            for name, tally in sorted(tallies.items())
        ],
        arrow.arrow_schema(ROW_ACCOUNTING),
    )


def rows_of_night(root: Path, table: Table, night: date, *, version: int | None = None) -> int:
    """The rows of a table whose first partition column is the ingest date, by Delta's log.

    ``version`` pins a Delta version; without it the newest is counted.
    """
    counts = arrow.partition_rows(root, table, version=version)
    return sum(rows for partition, rows in counts.items() if partition[0] == str(night))


def stale_nights(root: Path, tables: Sequence[Table], *, until: date) -> dict[date, bool]:
    """The nights up to ``until`` whose bronze rows are not those that were accounted for.

    By night, whether it was cleaned before; it has then been given further rows since.
    """
    taken_in: Counter[tuple[str, str]] = Counter()
    for table in tables:
        for partition, rows in arrow.partition_rows(root, table).items():
            taken_in[partition[0], table.full_name] += rows
    accounted: Counter[tuple[str, str]] = Counter()
    if arrow.exists(root, ROW_ACCOUNTING):
        for row in arrow.read(root, ROW_ACCOUNTING).to_pylist():
            accounted[str(row["ingest_date"]), row["table_name"]] = row["bronze_rows"]
    cleaned = {night for night, _ in accounted}
    stale = {place[0] for place, rows in taken_in.items() if rows != accounted[place]}
    due = [night for night in sorted(stale) if night <= str(until)]
    return {date.fromisoformat(night): night in cleaned for night in due}


def usual_rows(root: Path, table: Table, *, before: date) -> float | None:
    """The median rows of the table's last nights that had any; ``None`` until there are enough."""
    if not arrow.exists(root, ROW_ACCOUNTING):
        return None
    rows = arrow.read(
        root,
        ROW_ACCOUNTING,
        columns=["ingest_date", "bronze_rows"],
        filters=[("table_name", "=", table.full_name), ("ingest_date", "<", before)],
    ).to_pylist()
    nights = {row["ingest_date"]: row["bronze_rows"] for row in rows if row["bronze_rows"]}
    return usual(nights)


def usual(rows_by_night: Mapping[date, int]) -> float | None:
    """The median over the newest nights; ``None`` for fewer than ``MINIMUM_NIGHTS``."""
    newest: Sequence[date] = sorted(rows_by_night)[-USUAL_NIGHTS:]
    if len(newest) < MINIMUM_NIGHTS:
        return None
    return float(statistics.median(rows_by_night[night] for night in newest))
