"""Take a night's rows out of the lake, as if it had never been run."""

from datetime import date
from pathlib import Path

from jobs.config.settings import Settings
from lakehouse.errors import DataError
from lakehouse.io import arrow
from lakehouse.tables import ALL_TABLES, BRONZE_FILES, Table


def undo_night(settings: Settings, run_date: date) -> dict[str, int]:
    """Remove the night from every table; return the rows removed by table.

    Its landing files are new again for the next ingest. The register of files goes last, so that a
    call that was killed can be repeated. Models and releases are left alone. Raises ``DataError``
    where the lake has nothing of that night.
    """
    lake = settings.paths.lake
    tables = _written_by_night(lake)
    with arrow.writing(lake, *tables):
        removed = {
            table: rows
            for table, column in tables.items()
            if (rows := _rows(lake, table, column, run_date))
        }
        if not removed:
            raise DataError(f"{lake} has nothing of the night of {run_date}.")
        for table in removed:
            nothing = arrow.arrow_schema(table).empty_table()
            arrow.replace(lake, table, nothing, {tables[table]: run_date})
    return {table.full_name: rows for table, rows in removed.items()}


def _written_by_night(lake: Path) -> dict[Table, str]:
    """The tables that there are, and the partition column that holds the night."""
    columns = {
        table: column
        for table in ALL_TABLES
        for column in table.partition_by
        if column in ("ingest_date", "run_date") and arrow.exists(lake, table)
    }
    return dict(sorted(columns.items(), key=lambda item: item[0] is BRONZE_FILES))


def _rows(lake: Path, table: Table, column: str, run_date: date) -> int:
    place = table.partition_by.index(column)
    partitions = arrow.partition_rows(lake, table)
    return sum(rows for values, rows in partitions.items() if values[place] == str(run_date))
