"""The types by which Spark reads a Parquet file's columns."""

from collections.abc import Callable
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

NANOSECONDS: Final = "nanoseconds"
WALL_NANOSECONDS: Final = "nanoseconds without zone"

_SCALARS: Final[tuple[tuple[Callable[[pa.DataType], bool], str], ...]] = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_int8, "tinyint"),
    (pa.types.is_int16, "smallint"),
    (pa.types.is_int32, "int"),
    (pa.types.is_int64, "bigint"),
    (pa.types.is_uint8, "smallint"),
    (pa.types.is_uint16, "int"),
    (pa.types.is_uint32, "bigint"),
    (pa.types.is_uint64, "decimal(20,0)"),
    (pa.types.is_float32, "float"),
    (pa.types.is_float64, "double"),
    (pa.types.is_date32, "date"),
    (pa.types.is_duration, "bigint"),
    (pa.types.is_string, "string"),
    (pa.types.is_large_string, "string"),
    (pa.types.is_string_view, "string"),
    (pa.types.is_binary, "binary"),
    (pa.types.is_large_binary, "binary"),
    (pa.types.is_fixed_size_binary, "binary"),
)


def spark_types(file: pq.ParquetFile) -> tuple[str | None, ...]:
    """Spark's type of each column (DDL), ``None`` for a column that Spark has no type for.

    A time in nanoseconds, which Spark reads as a long, is ``NANOSECONDS`` (an instant) or
    ``WALL_NANOSECONDS``. INT96, the kind of time that Spark itself writes, is an instant.
    """
    leaves = [file.schema.column(place) for place in range(len(file.schema.names))]
    int96 = {leaf.path.split(".")[0] for leaf in leaves if leaf.physical_type == "INT96"}
    return tuple(_top_type(field.type, is_int96=field.name in int96) for field in file.schema_arrow)


def _top_type(kind: pa.DataType, *, is_int96: bool) -> str | None:
    if pa.types.is_timestamp(kind) and kind.unit == "ns" and not is_int96:
        return WALL_NANOSECONDS if kind.tz is None else NANOSECONDS
    return _spark_type(kind, is_int96=is_int96)


def _spark_type(kind: pa.DataType, *, is_int96: bool) -> str | None:
    if pa.types.is_dictionary(kind):
        return _spark_type(kind.value_type, is_int96=is_int96)
    if pa.types.is_decimal128(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        if kind.unit == "ns":
            return "timestamp" if is_int96 else "bigint"
        return "timestamp_ntz" if kind.tz is None else "timestamp"
    if pa.types.is_nested(kind):
        return _nested_type(kind, is_int96=is_int96)
    return next((name for is_kind, name in _SCALARS if is_kind(kind)), None)


def _nested_type(kind: pa.DataType, *, is_int96: bool) -> str | None:
    inner = [kind.field(place) for place in range(kind.num_fields)]
    if pa.types.is_map(kind):
        inner = [kind.key_field, kind.item_field]
    types = [_spark_type(field.type, is_int96=is_int96) for field in inner]
    known = [name for name in types if name is not None]
    if not types or len(known) < len(types):
        return None
    if pa.types.is_struct(kind):
        names = [field.name.replace("`", "``") for field in inner]
        parts = [f"`{name}`:{part}" for name, part in zip(names, known, strict=True)]
        return f"struct<{','.join(parts)}>"
    return f"{'map' if pa.types.is_map(kind) else 'array'}<{','.join(known)}>"
