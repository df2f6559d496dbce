"""Delta tables read and written without a JVM, for the steps that don't need Spark."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import TableNotFoundError

from lakehouse.errors import DataError
from lakehouse.locks import lock_path, process_lock
from lakehouse.tables import ColumnType, Table

ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "array<string>": pa.list_(pa.string()),
    "map<string,string>": pa.map_(pa.string(), pa.string()),
}

Filter = tuple[str, str, object]


def arrow_schema(table: Table) -> pa.Schema:
    """The table's columns as an Arrow schema, comments included."""
    return pa.schema(
        [
            pa.field(column.name, ARROW_TYPES[column.type], metadata={"comment": column.doc})
            for column in table.columns
        ]
    )


def read(
    root: Path,
    table: Table,
    *,
    columns: Sequence[str] | None = None,
    filters: Sequence[Filter] | None = None,
    version: int | None = None,
) -> pa.Table:
    """Columns of the rows that pass every filter, e.g. ``("event_date", "<", date(2018, 1, 2))``.

    ``version`` pins a Delta version; without it the newest is read. Raises ``DataError`` where the
    table or version does not exist.
    """
    return _open(root, table, version).to_pyarrow_table(
        columns=None if columns is None else list(columns),
        filters=None if filters is None else list(filters),
    )


def version(root: Path, table: Table) -> int:
    """The table's newest Delta version; raises ``DataError`` where it does not exist."""
    return _open(root, table, None).version()


def exists(root: Path, table: Table) -> bool:
    """Whether anything was ever written to the table."""
    return DeltaTable.is_deltatable(str(root / table.path))


def partition_rows(root: Path, table: Table) -> dict[tuple[str, ...], int]:
    """Rows by the values of the partition columns (as text, in declared order).

    Taken from Delta's log alone; empty where the table does not exist.
    """
    if not exists(root, table):
        return {}
    rows: dict[tuple[str, ...], int] = defaultdict(int)
    for action in pa.table(_open(root, table, None).get_add_actions()).to_pylist():
        values = action["partition"]
        rows[tuple(str(values[name]) for name in table.partition_by)] += action["num_records"]
    return dict(rows)


@contextmanager
def writing(root: Path, *tables: Table) -> Iterator[None]:
    """Hold the write locks of ``tables`` in this process, always taken in the same order."""
    with ExitStack() as held:
        for table in sorted(tables, key=lambda table: table.full_name):
            held.enter_context(process_lock(lock_path(root, table)))
        yield


def create(root: Path, table: Table) -> None:
    """Create the table, without rows, where it does not exist."""
    path = root / table.path
    path.mkdir(parents=True, exist_ok=True)
    DeltaTable.create(
        path,
        arrow_schema(table),
        mode="ignore",
        partition_by=list(table.partition_by),
        description=table.doc,
        # Files are found by their partition; a minimum and maximum of each column would double the
        # work of a write. The rows of a file are counted all the same.
        configuration={"delta.dataSkippingNumIndexedCols": "0"},
    )


def replace(root: Path, table: Table, rows: pa.Table, partition: Mapping[str, date | str]) -> int:
    """Replace the rows of one partition by ``rows`` in one Delta commit; return the new version.

    ``rows`` must have the declared columns, in order, and the declared types. Raises ``DataError``
    where they differ.
    """
    expected = arrow_schema(table)
    if not rows.schema.equals(expected, check_metadata=False):
        raise DataError(
            f"{table.full_name}: the rows' schema is not the declared one.\n"
            f"rows:\n{rows.schema.to_string(show_schema_metadata=False)}\n"
            f"declared:\n{expected.to_string(show_field_metadata=False)}"
        )
    path = root / table.path
    path.mkdir(parents=True, exist_ok=True)
    write_deltalake(
        path,
        rows.cast(expected),
        partition_by=list(table.partition_by),
        mode="overwrite",
        predicate=" AND ".join(f"{name} = '{value}'" for name, value in partition.items()),
        description=table.doc,
    )
    return DeltaTable(path).version()


def _open(root: Path, table: Table, version: int | None) -> DeltaTable:
    path = root / table.path
    try:
        return DeltaTable(path, version=version)
    except TableNotFoundError as error:
        raise DataError(
            f"table {table.full_name} does not exist below {root}. "
            "Run the step that builds it first."
        ) from error
