"""Spark schemas and frame checks derived from the tables' declarations."""

from pyspark.sql import DataFrame
from pyspark.sql import types as T

from lakehouse.errors import DataError
from lakehouse.tables import ColumnType, Table

SPARK_TYPES: dict[ColumnType, T.DataType] = {
    "string": T.StringType(),
    "int": T.IntegerType(),
    "long": T.LongType(),
    "double": T.DoubleType(),
    "boolean": T.BooleanType(),
    "date": T.DateType(),
    "timestamp": T.TimestampType(),
    "array<string>": T.ArrayType(T.StringType()),
    "map<string,string>": T.MapType(T.StringType(), T.StringType()),
}


def spark_schema(table: Table) -> T.StructType:
    """The table's columns as a Spark schema, comments included.

    Every field is nullable: Delta would enforce nullability by a constraint, but validation reports
    nulls by name and share instead of by a failed job.
    """
    return T.StructType(
        [
            T.StructField(column.name, SPARK_TYPES[column.type], True, {"comment": column.doc})
            for column in table.columns
        ]
    )


def conform(frame: DataFrame, table: Table) -> DataFrame:
    """Select the table's columns in order, after checking that names and types are as declared.

    Raises ``DataError`` naming each missing, unexpected and mistyped column.
    """
    found = {field.name: field.dataType for field in frame.schema.fields}
    expected = {column.name: SPARK_TYPES[column.type] for column in table.columns}
    problems = [f"column {name} is missing" for name in expected if name not in found]
    problems += [f"column {name} is not declared" for name in found if name not in expected]
    problems += [
        f"column {name} is {found[name].simpleString()}, declared {kind.simpleString()}"
        for name, kind in expected.items()
        if name in found and found[name].simpleString() != kind.simpleString()
    ]
    if problems:
        raise DataError(
            f"{table.full_name}: {'; '.join(problems)}. "
            "Change the step that builds it, or its declaration in lakehouse/tables.py."
        )
    return frame.select(*table.column_names)
