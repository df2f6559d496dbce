"""Landing files as bronze frames: renamed and traced to their file and row, otherwise untouched."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce
from pathlib import Path

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from lakehouse.landing import LandingFile, Layout
from lakehouse.sources import SourceMapping
from lakehouse.tables import LINEAGE_COLUMNS

CORRUPT = "__corrupt_record"


def read_bronze(
    spark: SparkSession,
    mapping: SourceMapping,
    files: Sequence[LandingFile],
    *,
    landing: Path,
    ingest_date: date,
    ingest_batch: str,
) -> DataFrame:
    """The rows of ``files`` with the columns of the mapping's bronze table, all values as text.

    Files whose columns or types differ are read apart and matched by column name. A line that
    cannot be parsed keeps its text in ``corrupt_record``; columns that the mapping does not name go
    to ``extra``. ``row_number`` counts the data rows of a file from 1.
    """
    by_layout: dict[Layout, list[Path]] = defaultdict(list)
    for file in files:
        by_layout[file.layout].append(file.path)
    parts = [_read_layout(spark, mapping, layout, paths) for layout, paths in by_layout.items()]
    return (
        reduce(DataFrame.unionByName, parts)
        .withColumns(
            {
                "source": F.lit(mapping.name),
                "source_file": _name_below(landing),
                "row_number": _row_number(mapping),
                "ingest_batch": F.lit(ingest_batch),
                "ingest_date": F.lit(ingest_date),
            }
        )
        .select(*mapping.table.column_names)
    )


def _read_layout(
    spark: SparkSession, mapping: SourceMapping, layout: Layout, paths: Sequence[Path]
) -> DataFrame:
    """The files of one layout with canonical columns and what is needed to trace each row."""
    literal_paths = [_escape_glob(str(path.resolve())) for path in paths]
    if mapping.format == "parquet":
        frame = spark.read.parquet(*literal_paths)
        values = {
            name: _text_of(name, kind)
            for name, kind in zip(layout.columns, layout.types, strict=True)
        }
        corrupt = F.lit(None).cast("string")
        trace = {"row_index": F.col("_metadata.row_index")}
    else:
        trace = {
            "block_start": F.col("_metadata.file_block_start"),
            "read_order": F.monotonically_increasing_id(),
        }
        if mapping.format == "csv":
            frame = _read_csv(spark, mapping, layout, literal_paths)
            values = {name: F.col(_quoted(name)) for name in layout.columns}
            corrupt = F.col(CORRUPT)
        else:
            frame = _read_json_lines(spark, literal_paths)
            values = {n: F.col("fields").getItem(n) for n in mapping.mapped_source_columns}
            corrupt = F.when(F.col("fields").isNull(), F.col("value"))

    if mapping.format == "jsonl":
        named = list(mapping.mapped_source_columns)
        extra = F.map_filter("fields", lambda key, _: ~key.isin(named))
    else:
        others = [name for name in layout.columns if name not in mapping.mapped_source_columns]
        extra = _string_map(values, others)
    canonical = _canonical(mapping, values) | {"extra": extra, "corrupt_record": corrupt}
    trace["file_path"] = F.col("_metadata.file_path")
    return frame.select(
        *[column.alias(name) for name, column in canonical.items()],
        *[column.alias(name) for name, column in trace.items()],
    )


def _read_csv(
    spark: SparkSession, mapping: SourceMapping, layout: Layout, paths: list[str]
) -> DataFrame:
    # Each file is read by one task (multiLine), so that a quoted value may hold a line break.
    return spark.read.csv(
        paths,
        schema=T.StructType(
            [T.StructField(name, T.StringType()) for name in (*layout.columns, CORRUPT)]
        ),
        sep=mapping.delimiter,
        encoding=mapping.encoding,
        header=mapping.header is None,
        escape='"',
        multiLine=True,
        mode="PERMISSIVE",
        columnNameOfCorruptRecord=CORRUPT,
    )


def _read_json_lines(spark: SparkSession, paths: list[str]) -> DataFrame:
    return (
        spark.read.text(paths)
        .where(F.trim("value") != "")
        .withColumn("fields", F.from_json("value", "map<string,string>"))
    )


def _canonical(mapping: SourceMapping, values: Mapping[str, SparkColumn]) -> dict[str, SparkColumn]:
    """The table's content columns from the file's columns."""
    columns: dict[str, SparkColumn] = {}
    for name in mapping.table.column_names:
        if name in mapping.columns:
            columns[name] = values[mapping.columns[name]]
        elif name in mapping.constants:
            columns[name] = F.lit(mapping.constants[name])
        elif name == "attributes":
            columns[name] = _string_map(values, mapping.attributes)
        elif name == "tags" and mapping.flags:
            columns[name] = F.concat_ws(
                mapping.tags_separator,
                *[F.when(values[flag] == "1", F.lit(flag)) for flag in mapping.flags],
            )
        elif name not in LINEAGE_COLUMNS:
            columns[name] = F.lit(None).cast("string")
    return columns


def _text_of(name: str, arrow_type: str) -> SparkColumn:
    """A Parquet column as text; an instant says that it is UTC, a wall time says nothing."""
    column = F.col(_quoted(name))
    if arrow_type.startswith("timestamp["):
        if arrow_type.startswith("timestamp[ns"):
            # Read as a long (spark.sql.legacy.parquet.nanosAsLong); Spark has microseconds.
            nanos = _quoted(name)
            column = F.timestamp_micros(F.expr(f"({nanos} - pmod({nanos}, 1000)) div 1000"))
        text = column.cast("string")
        return F.concat(text, F.lit("Z")) if "tz=" in arrow_type else text
    return column.cast("string")


def _row_number(mapping: SourceMapping) -> SparkColumn:
    if mapping.format == "parquet":
        return F.col("row_index") + 1
    in_file = Window.partitionBy("file_path").orderBy("block_start", "read_order")
    return F.row_number().over(in_file).cast("long")


def _name_below(landing: Path) -> SparkColumn:
    """The file's path below the landing folder, from Spark's URI of it."""
    uri = F.col("file_path")
    # url_decode takes "+" for a space, but in the path of a URI it is a plus sign.
    decoded = F.url_decode(F.replace(uri, F.lit("+"), F.lit("%2B")))
    path = F.when(F.contains(uri, F.lit("%")), decoded).otherwise(uri)
    below = f"{landing.resolve()}/"
    return F.substring(path, F.locate(below, path) + len(below), F.length(path))


def _string_map(values: Mapping[str, SparkColumn], names: Sequence[str]) -> SparkColumn:
    """A map of the named values, absent ones included."""
    if not names:
        return F.lit(None).cast("map<string,string>")
    return F.create_map(*[part for name in names for part in (F.lit(name), values[name])])


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _escape_glob(path: str) -> str:
    return re.sub(r"([\\\[\]{}*?])", r"\\\1", path)
