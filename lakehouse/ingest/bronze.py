"""Landing files as bronze frames: renamed and traced to their file and row, otherwise untouched."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial, reduce
from itertools import chain, islice, repeat
from pathlib import Path

import pyarrow as pa
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lakehouse.ingest.landing import LandingFile, Layout, open_records
from lakehouse.ingest.parquet_types import NANOSECONDS, WALL_NANOSECONDS
from lakehouse.ingest.records import Record
from lakehouse.ingest.sources import SourceMapping
from lakehouse.tables import LINEAGE_COLUMNS

TASKS_PER_CORE = 4
BATCH_ROWS = 8192


def read_bronze(
    spark: SparkSession,
    mapping: SourceMapping,
    files: Sequence[LandingFile],
    *,
    landing: Path,
    ingest_date: date,
    ingest_batch: str,
    mapped_elsewhere: frozenset[str] = frozenset(),
) -> DataFrame:
    """The rows of ``files`` with the columns of the mapping's bronze table, all values as text.

    Files whose columns or types differ are read apart and matched by column name. A line that
    cannot be read keeps its text in ``corrupt_record`` and the reason in ``corrupt_rule``. Columns
    that the mapping does not name go to ``extra``, except those ``mapped_elsewhere``, by another
    source of the same files. ``row_number`` counts the data rows of a file from 1.
    """
    by_layout: dict[Layout, list[LandingFile]] = defaultdict(list)
    for file in files:
        by_layout[file.layout].append(file)
    read = _read_parquet if mapping.format == "parquet" else _read_text
    parts = [read(spark, mapping, layout, same, landing) for layout, same in by_layout.items()]
    rows = reduce(DataFrame.unionByName, parts)
    if mapped_elsewhere:
        kept = F.map_filter("extra", lambda key, _: ~key.isin(*mapped_elsewhere))
        rows = rows.withColumn("extra", kept)
    return rows.withColumns(
        {
            "source": F.lit(mapping.name),
            "ingest_batch": F.lit(ingest_batch),
            "ingest_date": F.lit(ingest_date),
        }
    ).select(*mapping.table.column_names)


def _read_parquet(
    spark: SparkSession,
    mapping: SourceMapping,
    layout: Layout,
    files: Sequence[LandingFile],
    landing: Path,
) -> DataFrame:
    root = landing.resolve()
    types = {WALL_NANOSECONDS: "bigint", NANOSECONDS: "bigint"}
    kinds = dict(zip(layout.columns, layout.types, strict=True))
    # Spark's schema names what is read: a column without a type of Spark's would stop it.
    schema = ", ".join(f"{_quoted(name)} {types.get(kind, kind)}" for name, kind in kinds.items())
    frame = spark.read.schema(schema).parquet(*[_escape_glob(f"{root}/{f.name}") for f in files])
    return _with_canonical(
        frame,
        mapping,
        {name: _text_of(name, kind) for name, kind in kinds.items()},
        {
            "corrupt_record": F.lit(None).cast("string"),
            "corrupt_rule": F.lit(None).cast("string"),
            "source_file": _name_below(root),
            "row_number": F.col("_metadata.row_index") + 1,
        },
    )


def _read_text(
    spark: SparkSession,
    mapping: SourceMapping,
    layout: Layout,
    files: Sequence[LandingFile],
    landing: Path,
) -> DataFrame:
    """CSV or JSON lines; a file is read by one task, as only from its start are records known."""
    names = spark.createDataFrame([(file.name,) for file in files], "name string")
    tasks = min(len(files), spark.sparkContext.defaultParallelism * TASKS_PER_CORE)
    is_json = mapping.format == "jsonl"
    # Values go by place: a file may name its columns as it likes.
    places = [] if is_json else [f"value_{place}" for place in range(len(layout.columns))]
    columns = {"fields": "map<string,string>"} if is_json else dict.fromkeys(places, "string")
    columns |= dict.fromkeys(("corrupt_record", "corrupt_rule", "source_file"), "string")
    columns |= {"row_number": "long"}
    frame = names.repartition(tasks).mapInArrow(
        partial(_read_files, mapping=mapping, landing=landing.resolve(), columns=tuple(columns)),
        ", ".join(f"{name} {kind}" for name, kind in columns.items()),
    )
    trace = {name: F.col(name) for name in list(columns)[-4:]}
    if is_json:
        fields = F.col("fields")
        mapped = list(mapping.mapped_source_columns)
        trace["extra"] = F.map_filter(fields, lambda key, _: ~key.isin(mapped))
        values = {name: fields.getItem(name) for name in mapped}
    else:
        values = {name: F.col(place) for name, place in zip(layout.columns, places, strict=True)}
    return _with_canonical(frame, mapping, values, trace)


def _read_files(
    names: Iterator[pa.RecordBatch],
    *,
    mapping: SourceMapping,
    landing: Path,
    columns: tuple[str, ...],
) -> Iterator[pa.RecordBatch]:
    """Runs in Spark's Python workers: the rows of the named files, in batches."""
    to_arrow = _fields if mapping.format == "jsonl" else _values
    for name in chain.from_iterable(batch["name"].to_pylist() for batch in names):
        with open_records(mapping, landing / name) as file:
            rows = (record for record in file.records if not record.is_blank)
            first = 1
            while records := list(islice(rows, BATCH_ROWS)):
                count = len(records)
                yield pa.RecordBatch.from_arrays(
                    [
                        *to_arrow(records, len(file.columns)),
                        _texts([record.text if record.rule else None for record in records]),
                        _texts([record.rule for record in records]),
                        _texts([name] * count),
                        pa.array(range(first, first + count), pa.int64()),
                    ],
                    names=columns,
                )
                first += count


def _values(records: Sequence[Record], width: int) -> list[pa.Array]:
    """The values of CSV rows by column; an empty value is an absent one."""
    rows = [
        record.values if record.rule is None else islice(chain(record.values, repeat(None)), width)
        for record in records
    ]
    return [_texts([value or None for value in column]) for column in zip(*rows, strict=True)]


def _fields(records: Sequence[Record], _: int) -> list[pa.Array]:
    """The values of JSON lines by key."""
    kind = pa.map_(pa.string(), pa.string())
    return [
        pa.array([None if r.rule else list(r.values.items()) for r in records], kind)  # type: ignore[union-attr]
    ]


def _texts(values: list[str | None]) -> pa.Array:
    return pa.array(values, pa.string())


def _with_canonical(
    frame: DataFrame,
    mapping: SourceMapping,
    values: Mapping[str, SparkColumn],
    given: Mapping[str, SparkColumn],
) -> DataFrame:
    """The table's content columns from the file's columns, and the ``given`` ones as they are."""
    others = [name for name in values if name not in mapping.mapped_source_columns]
    columns = _canonical(mapping, values) | {"extra": _string_map(values, others), **given}
    return frame.select(*[column.alias(name) for name, column in columns.items()])


def _canonical(mapping: SourceMapping, values: Mapping[str, SparkColumn]) -> dict[str, SparkColumn]:
    """The table's content columns from the file's columns."""
    columns: dict[str, SparkColumn] = {}
    for name in mapping.table.column_names:
        if name in mapping.columns:
            parts = [values[column] for column in mapping.file_columns(name)]
            columns[name] = F.concat_ws(" ", *parts) if len(parts) > 1 else parts[0]
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


def _text_of(name: str, kind: str) -> SparkColumn:
    """A Parquet column as text; an instant says that it is UTC, a wall time says nothing."""
    column = F.col(_quoted(name))
    if kind in {NANOSECONDS, WALL_NANOSECONDS}:
        # Read as a long (spark.sql.legacy.parquet.nanosAsLong); Spark has microseconds.
        nanos = _quoted(name)
        column = F.timestamp_micros(F.expr(f"({nanos} - pmod({nanos}, 1000)) div 1000"))
    if kind in {NANOSECONDS, "timestamp"}:
        return F.concat(column.cast("string"), F.lit("Z"))
    if kind.startswith(("array<", "map<", "struct<")):
        return F.to_json(column)
    if kind == "binary":
        return F.make_valid_utf8(column.cast("string"))
    return column.cast("string")


def _name_below(root: Path) -> SparkColumn:
    """The file's path below ``root``, from Spark's URI of it."""
    uri = F.col("_metadata.file_path")
    # url_decode takes "+" for a space, but in the path of a URI it is a plus sign.
    decoded = F.url_decode(F.replace(uri, F.lit("+"), F.lit("%2B")))
    path = F.when(F.contains(uri, F.lit("%")), decoded).otherwise(uri)
    below = f"{root}/"
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
