import subprocess
import sys
from collections import Counter

import pytest

from lakehouse import tables
from lakehouse.tables import ALL_TABLES, Column, Table


def test_every_declared_table_is_listed_once() -> None:
    declared = [value for value in vars(tables).values() if isinstance(value, Table)]
    assert sorted(t.full_name for t in declared) == sorted(t.full_name for t in ALL_TABLES)
    assert max(Counter(table.path for table in ALL_TABLES).values()) == 1


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda table: table.full_name)
def test_tables_explain_themselves(table: Table) -> None:
    for text in (table.doc, *(column.doc for column in table.columns)):
        assert text.endswith(".")


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda table: table.full_name)
def test_keys_and_partitions_are_never_null(table: Table) -> None:
    nullable = {column.name for column in table.columns if column.nullable}
    assert nullable.isdisjoint({*table.grain, *table.partition_by})


def test_every_table_is_partitioned_by_its_night_first() -> None:
    assert {table.partition_by[0] for table in ALL_TABLES} == {"ingest_date", "run_date"}


def test_personal_columns() -> None:
    assert [
        f"{table.full_name}.{column.name}"
        for table in ALL_TABLES
        for column in table.columns
        if column.personal
    ] == [
        "bronze.events.user_id",
        "bronze.events.extra",
        "bronze.events.corrupt_record",
        "bronze.items.extra",
        "bronze.items.corrupt_record",
        "bronze.users.user_id",
        "bronze.users.attributes",
        "bronze.users.extra",
        "bronze.users.corrupt_record",
        "bronze.feedback.user_id",
        "bronze.feedback.extra",
        "bronze.feedback.corrupt_record",
        "silver.interactions.user_id",
        "silver.users.user_id",
        "silver.users.attributes",
        "silver.feedback.user_id",
        "silver.quarantine.record",
        "gold.user_item_features.user_id",
        "gold.user_features.user_id",
        "gold.recommendations.user_id",
        "gold.recommendations.reason",
    ]


def test_a_table_cannot_be_declared_wrongly() -> None:
    column = Column("a", "string", "A.")
    with pytest.raises(ValueError, match="declared twice"):
        Table("gold", "t", "T.", ("a",), ("a",), (column, column))
    with pytest.raises(ValueError, match=r"declared twice in \['a', 'a'\]"):
        Table("gold", "t", "T.", ("a",), ("a",), (column,), (("a", "string"),))
    with pytest.raises(ValueError, match=r"names no column: \['b', 'c'\]"):
        Table("gold", "t", "T.", ("b",), ("c",), (column,))


def test_an_unknown_column_is_named() -> None:
    assert tables.BRONZE_FILES.column("bytes").type == "long"
    with pytest.raises(KeyError, match=r"bronze\.files has no column 'size'"):
        tables.BRONZE_FILES.column("size")


def test_the_declarations_need_the_standard_library_alone() -> None:
    code = (
        "import sys; before = set(sys.modules); import lakehouse.tables; "
        "new = {m.split('.')[0] for m in set(sys.modules) - before} - {'lakehouse'}; "
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
