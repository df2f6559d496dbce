"""Delta tables read and written without a JVM, for the steps that don't need Spark."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Final
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

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

# A flipped bit in a page is met when the page is read, where the page was written with a checksum.
VERIFIED: Final = ds.ParquetFragmentScanOptions(pre_buffer=True, page_checksum_verification=True)

UNREADABLE: Final = (pa.ArrowException, OSError, ValueError)

_DECLARATIONS: Final = "lakehouse/tables.py"

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

    ``version`` pins a Delta version; without it the newest is read. A column that was declared
    after a row was written is null. Raises ``DataError`` where the table or version does not exist,
    where its columns cannot be read as declared, and where a file of it is missing or damaged.
    """
    delta = open_table(root, table, version)
    dataset = delta.to_pyarrow_dataset(schema=arrow_schema(table))
    wanted = None if filters is None else pq.filters_to_expression(list(filters))
    # Files of other partitions are not so much as opened: a table may have thousands.
    fragments = list(dataset.get_fragments(filter=wanted))
    try:
        for fragment in fragments:
            _check_columns(table, fragment)
        return dataset.scanner(
            columns=None if columns is None else list(columns),
            filter=wanted,
            fragment_scan_options=VERIFIED,
        ).to_table()
    except UNREADABLE as error:
        raise _damaged(table, fragments, error) from error


def dataset(root: Path, table: Table) -> ds.Dataset:
    """The table's newest version to be read in parts, each file as it is asked for.

    Raises ``DataError`` where the table does not exist or its log cannot be used.
    """
    return open_table(root, table).to_pyarrow_dataset(schema=arrow_schema(table))


def version(root: Path, table: Table) -> int:
    """The table's newest Delta version; raises ``DataError`` where it does not exist."""
    return open_table(root, table).version()


def check(root: Path, table: Table, *, version: int | None = None) -> None:
    """Raise ``DataError`` where the table, as of ``version`` if given, cannot be used."""
    open_table(root, table, version)


def exists(root: Path, table: Table) -> bool:
    """Whether anything was ever written to the table."""
    return DeltaTable.is_deltatable(str(root / table.path))


def partition_rows(
    root: Path, table: Table, *, version: int | None = None
) -> dict[tuple[str, ...], int]:
    """Rows by the values of the partition columns (as text, in declared order).

    Taken from Delta's log alone, as of ``version`` if given; empty where the table does not exist.
    """
    if not exists(root, table):
        return {}
    rows: dict[tuple[str, ...], int] = defaultdict(int)
    for action in pa.table(open_table(root, table, version).get_add_actions()).to_pylist():
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

    ``rows`` must have the declared columns, in order, and the declared types. A nullable column
    that the table lacks joins it in the same commit. Raises ``DataError`` where the rows or the
    table differ otherwise.
    """
    expected = arrow_schema(table)
    if not rows.schema.equals(expected, check_metadata=False):
        raise DataError(
            f"{table.full_name}: the rows' schema is not the declared one.\n"
            f"rows:\n{rows.schema.to_string(show_schema_metadata=False)}\n"
            f"declared:\n{expected.to_string(show_field_metadata=False)}"
        )
    stray = [name for name in partition if name not in table.partition_by]
    if stray or not partition:
        raise DataError(f"{table.full_name} is partitioned by {table.partition_by}, not by {stray}")
    for name, value in partition.items():
        is_its = pc.equal(rows[name], pa.scalar(value, expected.field(name).type))
        if not pc.all(is_its, min_count=0).as_py():
            raise DataError(
                f"{table.full_name}: a row for the partition {value} has another {name}"
            )
    create(root, table)
    delta = open_table(root, table)
    # Written by Arrow, as delta-rs has no checksums of pages; Delta's log then names the files.
    delta.create_write_transaction(
        _write_files(root / table.path, table, rows.cast(expected)),
        mode="overwrite",
        schema=_joined_schema(delta, table),
        partition_by=list(table.partition_by),
        partition_filters=[(name, "=", str(value)) for name, value in partition.items()],
    )
    return DeltaTable(root / table.path).version()


def _joined_schema(delta: DeltaTable, table: Table) -> Schema:
    """The table's columns as they are, then those declared since, as Spark merges them.

    A retired column stays: Delta drops none in the commit of one partition.
    """
    there, declared = (
        {field.name: field for field in schema.fields}
        for schema in (delta.schema(), Schema.from_arrow(arrow_schema(table)))
    )
    return Schema(list((there | declared).values()))


def _write_files(path: Path, table: Table, rows: pa.Table) -> list[AddAction | RemoveAction]:
    """Write the rows below their partitions' folders, for a commit that names the files."""
    keys = pa.schema([rows.schema.field(name) for name in table.partition_by])
    partitioning = ds.partitioning(keys, flavor="hive")
    written: list[ds.WrittenFile] = []
    ds.write_dataset(
        rows,
        path,
        format="parquet",
        partitioning=partitioning,
        basename_template=f"part-{uuid4()}-{{i}}.parquet",
        existing_data_behavior="overwrite_or_ignore",
        file_options=ds.ParquetFileFormat().make_write_options(write_page_checksum=True),
        file_visitor=written.append,
    )
    return [
        AddAction(
            path=name.as_posix(),
            size=file.size,
            partition_values={
                key: str(value)
                for key, value in ds.get_partition_keys(partitioning.parse(str(name))).items()
            },
            modification_time=Path(file.path).stat().st_mtime_ns // 1_000_000,
            data_change=True,
            stats=json.dumps({"numRecords": file.metadata.num_rows}),
        )
        for file in written
        for name in [Path(file.path).relative_to(path)]
    ]


def _check_columns(table: Table, fragment: ds.Fragment) -> None:
    """Raise ``ArrowInvalid`` where a file has a column of another name, whose values are lost."""
    if stray := set(fragment.physical_schema.names) - set(_known_types(table)):
        raise pa.ArrowInvalid(f"columns {stray} are not declared")


def _damaged(table: Table, fragments: Sequence[ds.Fragment], error: Exception) -> DataError:
    """The error that names the files of a table which cannot be read."""
    names = [f.path for f in fragments if not _is_readable(table, f)]
    return DataError(
        f"table {table.full_name}: {', '.join(names) or 'a file'} below {table.path} is missing or "
        f"damaged ({str(error).splitlines()[0][:200]}). Restore it from a backup, or run the step "
        "that wrote the night of the file again."
    )


def _is_readable(table: Table, fragment: ds.Fragment) -> bool:
    try:
        _check_columns(table, fragment)
        fragment.scanner(fragment_scan_options=VERIFIED).to_table()
    except UNREADABLE:
        return False
    return True


def open_table(root: Path, table: Table, version: int | None = None) -> DeltaTable:
    """The table as delta-rs has it, its newest version or the one given.

    Raises ``DataError`` where it does not exist or its log cannot be used.
    """
    path = root / table.path
    try:
        delta = DeltaTable(path, version=version)
        problem = _problem_of_log(delta, table)
    except TableNotFoundError as error:
        raise DataError(
            f"table {table.full_name} does not exist below {root}. "
            "Run the step that builds it first."
        ) from error
    except BaseException as error:
        # A damaged checkpoint can make the Rust library panic, which is no Exception.
        if not isinstance(error, (DeltaError, *UNREADABLE)) and (
            type(error).__name__ != "PanicException"
        ):
            raise
        problem = str(error).splitlines()[0][:300]
    if problem is not None:
        raise DataError(
            f"table {table.full_name}: {path / '_delta_log'} cannot be used: {problem}. Restore "
            "the table's folder from a backup."
        )
    return delta


def _problem_of_log(delta: DeltaTable, table: Table) -> str | None:
    """What a table's log says that cannot be, as Delta itself has no checksums everywhere.

    What a changed declaration may have caused is told with the way out, in brackets.
    """
    known = _known_types(table)
    there = {field.name: field.type for field in pa.schema(delta.schema().to_arrow())}
    for name, type_ in there.items():
        if name not in known:
            return (
                f"it has a column {name} of type {type_}, which is neither declared nor retired "
                f"(if it was declared once, name it in the table's `retired` in {_DECLARATIONS})"
            )
        if type_ != known[name]:
            return (
                f"its column {name} is of type {type_}, declared {known[name]} (if the declaration "
                f"is new, declare another name and retire this one in {_DECLARATIONS})"
            )
    for column in table.columns:
        if column.name not in there and not column.nullable:
            return (
                f"it lacks the column {column.name}, which is declared without nulls (if the "
                f"declaration is new, make the column nullable in {_DECLARATIONS})"
            )
    for action in pa.table(delta.get_add_actions()).to_pylist():
        folders = [f"{name}={action['partition'].get(name)}" for name in table.partition_by]
        if action["path"].split("/")[:-1] != folders:
            return f"the file {action['path']} is not in the folder {'/'.join(folders)}"
    return None


def _known_types(table: Table) -> dict[str, pa.DataType]:
    """The types of the columns that a written table may have: declared and retired ones."""
    declared = ((column.name, column.type) for column in table.columns)
    return {name: ARROW_TYPES[type_] for name, type_ in (*declared, *table.retired)}
