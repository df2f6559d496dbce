from datetime import date

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import functions as F

from lakehouse.errors import DataError
from lakehouse.io.lake import Lakehouse
from lakehouse.io.schemas import conform, spark_schema
from lakehouse.io.session import naming_unreadable_files
from lakehouse.tables import ALL_TABLES, BRONZE_EVENTS, SILVER_ITEMS
from tests.rows import frame, rows_of

FIRST, SECOND = date(2024, 1, 1), date(2024, 1, 2)


def test_an_unwritten_table_is_empty_and_has_no_version(lake: Lakehouse) -> None:
    assert lake.version(SILVER_ITEMS) is None
    assert lake.read(SILVER_ITEMS).schema == spark_schema(SILVER_ITEMS)
    assert rows_of(lake.read(SILVER_ITEMS)) == []


def test_a_partition_is_replaced_whole_in_one_commit(lake: Lakehouse) -> None:
    first = frame(lake.spark, SILVER_ITEMS, [{"item_id": "a"}, {"item_id": "b"}])
    second = frame(lake.spark, SILVER_ITEMS, [{"item_id": "c", "ingest_date": SECOND}])
    lake.replace(SILVER_ITEMS, first, {"ingest_date": FIRST})
    lake.replace(SILVER_ITEMS, second, {"ingest_date": SECOND})
    before = lake.version(SILVER_ITEMS)
    lake.replace(SILVER_ITEMS, first.where("item_id = 'a'"), {"ingest_date": FIRST})
    assert before is not None
    assert lake.version(SILVER_ITEMS) == before + 1
    assert [row["item_id"] for row in rows_of(lake.read(SILVER_ITEMS))] == ["a", "c"]


def test_part_of_a_night_can_be_replaced(lake: Lakehouse) -> None:
    for batch in ("one", "two", "two"):
        rows = frame(lake.spark, BRONZE_EVENTS, [{"item_id": batch, "ingest_batch": batch}])
        lake.replace(BRONZE_EVENTS, rows, {"ingest_date": FIRST, "ingest_batch": batch})
    assert [row["item_id"] for row in rows_of(lake.read(BRONZE_EVENTS))] == ["one", "two"]


def test_rows_outside_the_partition_are_refused(lake: Lakehouse) -> None:
    rows = frame(lake.spark, SILVER_ITEMS, [{"ingest_date": SECOND}])
    with pytest.raises(Exception, match="DELTA_REPLACE_WHERE_MISMATCH"):
        lake.replace(SILVER_ITEMS, rows, {"ingest_date": FIRST})
    assert rows_of(lake.read(SILVER_ITEMS)) == []


def test_only_partition_columns_select_what_to_replace(lake: Lakehouse) -> None:
    rows = frame(lake.spark, SILVER_ITEMS, [{}])
    with pytest.raises(DataError, match=r"partitioned by \('ingest_date',\), not by \['item_id'\]"):
        lake.replace(SILVER_ITEMS, rows, {"item_id": "x"})
    with pytest.raises(DataError, match="partitioned by"):
        lake.replace(SILVER_ITEMS, rows, {})


def test_every_wrong_column_is_named(lake: Lakehouse) -> None:
    rows = frame(lake.spark, SILVER_ITEMS, [{}])
    wrong = rows.drop("title").withColumns(
        {"colour": F.lit("red"), "row_number": F.lit("1"), "tags": F.array(F.lit(1))}
    )
    with pytest.raises(DataError) as raised:
        conform(wrong, SILVER_ITEMS)
    assert str(raised.value) == (
        "silver.items: column title is missing; column colour is not declared; column tags is "
        "array<int>, declared array<string>; column row_number is string, declared bigint. Change "
        "the step that builds it, or its declaration in lakehouse/tables.py."
    )


def test_columns_are_brought_into_the_declared_order(lake: Lakehouse) -> None:
    rows = frame(lake.spark, SILVER_ITEMS, [{}])
    turned = rows.select(*reversed(SILVER_ITEMS.column_names))
    assert conform(turned, SILVER_ITEMS).columns == list(SILVER_ITEMS.column_names)


def test_a_created_table_carries_its_documentation(lake: Lakehouse) -> None:
    lake.create(SILVER_ITEMS)
    fields = lake.read(SILVER_ITEMS).schema.fields
    assert [field.metadata["comment"] for field in fields] == [
        column.doc for column in SILVER_ITEMS.columns
    ]
    lake.create(SILVER_ITEMS)
    assert lake.version(SILVER_ITEMS) == 0


def test_a_written_file_is_counted_without_statistics_of_its_columns(lake: Lakehouse) -> None:
    rows = frame(lake.spark, SILVER_ITEMS, [{"item_id": "a"}, {"item_id": "b"}])
    lake.replace(SILVER_ITEMS, rows, {"ingest_date": FIRST})
    files = pa.table(DeltaTable(lake.root / SILVER_ITEMS.path).get_add_actions(flatten=True))
    assert sum(files["num_records"].to_pylist()) == 2
    assert [name for name in files.column_names if name.startswith(("min.", "max."))] == []


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda table: table.full_name)
def test_every_table_has_a_spark_schema(table: object) -> None:
    schema = spark_schema(table)  # type: ignore[arg-type]
    assert schema.names == list(table.column_names)  # type: ignore[attr-defined]
    assert all(field.nullable for field in schema.fields)


def test_a_file_that_spark_cannot_read_is_named(lake: Lakehouse) -> None:
    lake.replace(SILVER_ITEMS, frame(lake.spark, SILVER_ITEMS, [{}]), {"ingest_date": FIRST})
    [path] = (lake.root / SILVER_ITEMS.path).rglob("*.parquet")
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)
    # Hadoop's own checksum, of files that Spark wrote, is checked first; Parquet's of pages then.
    for _ in range(2):
        with pytest.raises(DataError) as raised, naming_unreadable_files():
            lake.read(SILVER_ITEMS).collect()
        assert str(raised.value).endswith(
            f"{path.relative_to(lake.root)} is missing or damaged. Restore it from a backup, or "
            "run the step that wrote it again for the same night."
        )
        path.with_name(f".{path.name}.crc").unlink(missing_ok=True)
