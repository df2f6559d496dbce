"""What both kinds of frame that ``validate`` accepts have in common."""

from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame as SparkFrame

from lakehouse.tables import ColumnType

Frame: TypeAlias = SparkFrame | pd.DataFrame

_ARROW_NAMES: dict[pa.DataType, ColumnType] = {
    pa.string(): "string",
    pa.large_string(): "string",
    pa.int32(): "int",
    pa.int64(): "long",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    pa.timestamp("us", tz="UTC"): "timestamp",
    pa.list_(pa.string()): "array<string>",
    pa.list_(pa.null()): "array<string>",
    pa.map_(pa.string(), pa.string()): "map<string,string>",
}
_SPARK_NAMES: dict[str, ColumnType] = {"bigint": "long"}


def column_types(frame: Frame) -> list[tuple[str, str]]:
    """Name and type of every column in order; the declarations' type names where there is one.

    A pandas column without any value has the type ``null``, one with values of several types
    ``mixed``.
    """
    if isinstance(frame, pd.DataFrame):
        return [(str(name), _pandas_type(values)) for name, values in frame.items()]
    return [(name, _SPARK_NAMES.get(type_, type_)) for name, type_ in frame.dtypes]


def _pandas_type(values: "pd.Series[Any]") -> str:
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return "timestamp"
    try:
        found = pa.Array.from_pandas(values).type
    except pa.ArrowException:
        return "mixed"
    return _ARROW_NAMES.get(found, str(found))
