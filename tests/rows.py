"""Rows for tests, from the tables' declarations: a test names only the values it is about."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from lakehouse.io import arrow
from lakehouse.io.schemas import spark_schema
from lakehouse.tables import ColumnType, Table

DEFAULTS: dict[ColumnType, Any] = {
    "string": "x",
    "int": 1,
    "long": 1,
    "double": 1.0,
    "boolean": True,
    "date": date(2024, 1, 1),
    "timestamp": datetime(2024, 1, 1, tzinfo=UTC),
    "array<string>": [],
    "map<string,string>": {},
}


def row(table: Table, **values: Any) -> dict[str, Any]:
    """A valid row of ``table``: null where it may be, a default elsewhere, ``values`` over both."""
    unknown = sorted(set(values) - set(table.column_names))
    assert not unknown, f"{table.full_name} has no columns {unknown}"
    defaults = {
        column.name: None
        if column.nullable
        else column.allowed[0]
        if column.allowed
        else DEFAULTS[column.type]
        for column in table.columns
    }
    return defaults | values


def frame(spark: SparkSession, table: Table, rows: Sequence[dict[str, Any]]) -> DataFrame:
    """``rows`` as a Spark frame with the table's schema, defaults filled in."""
    full = [row(table, **values) for values in rows]
    return spark.createDataFrame(
        [tuple(values[name] for name in table.column_names) for values in full],
        spark_schema(table),
    )


def rows_of(frame: DataFrame) -> list[dict[str, Any]]:
    """The frame's rows as dictionaries, sorted, so that two frames compare with ``==``."""
    return sorted((r.asDict(recursive=True) for r in frame.collect()), key=repr)


def put(
    root: Path, table: Table, rows: Sequence[dict[str, Any]], partition: Mapping[str, date | str]
) -> None:
    """Replace a partition by ``rows``, the partition and defaults filled in, without Spark."""
    full = [row(table, **{**partition, **values}) for values in rows]
    schema = arrow.arrow_schema(table)
    arrow.replace(root, table, pa.Table.from_pylist(full, schema=schema), partition)


def stored(root: Path, table: Table) -> list[dict[str, Any]]:
    """What ``rows_of`` gives for a table of the lake, read without Spark; none if not there."""
    if not arrow.exists(root, table):
        return []
    return sorted(arrow.read(root, table).to_pylist(maps_as_pydicts="strict"), key=repr)
