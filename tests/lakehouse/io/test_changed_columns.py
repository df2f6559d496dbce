"""A table whose declaration changed after it was written, by Arrow and by Spark."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from lakehouse.errors import DataError
from lakehouse.io import arrow
from lakehouse.io.lake import Lakehouse
from lakehouse.io.session import spark_session
from lakehouse.tables import Column, Table
from tests.killing import forked, kill
from tests.project import ROOT
from tests.rows import frame, rows_of

Engine = Literal["arrow", "spark"]

NIGHT = Column("run_date", "date", "Night.")
ID = Column("id", "string", "Which.")
GONE = Column("gone", "double", "Nobody reads it.")
COUNT = Column("count", "long", "How many.")
LABELS = Column("labels", "array<string>", "New.", nullable=True)

OLD = Table("gold", "things", "Things.", ("id",), ("run_date",), (NIGHT, ID, GONE, COUNT))
NEW = replace(OLD, columns=(NIGHT, ID, LABELS, COUNT), retired=(("gone", "double"),))

FIRST, SECOND = date(2024, 1, 1), date(2024, 1, 2)
OLD_ROWS = [{"run_date": FIRST, "id": name, "gone": 0.5, "count": 2} for name in "ab"]
OLD_READ = [{"run_date": FIRST, "id": name, "labels": None, "count": 2} for name in "ab"]
NEW_ROWS = [{"run_date": SECOND, "id": "c", "labels": ["x", "y"], "count": 3}]


def write(
    lake: Lakehouse, engine: Engine, table: Table, night: date, rows: list[dict[str, Any]]
) -> None:
    if engine == "spark":
        with lake.writing(table):
            lake.replace(table, frame(lake.spark, table, rows), {"run_date": night})
    else:
        with arrow.writing(lake.root, table):
            built = pa.Table.from_pylist(rows, arrow.arrow_schema(table))
            arrow.replace(lake.root, table, built, {"run_date": night})


def read(lake: Lakehouse, table: Table, version: int | None = None) -> list[dict[str, Any]]:
    """The rows by Spark, after a check that Arrow reads the same columns and rows."""
    by_spark = lake.read(table, version=version)
    by_arrow = arrow.read(lake.root, table, version=version)
    assert by_spark.columns == by_arrow.column_names == list(table.column_names)
    rows = rows_of(by_spark)
    assert sorted(by_arrow.to_pylist(), key=repr) == rows
    return rows


@pytest.mark.parametrize("then", ["arrow", "spark"])
@pytest.mark.parametrize("first", ["arrow", "spark"])
def test_a_retired_column_is_left_out_and_a_new_one_joins(
    lake: Lakehouse, first: Engine, then: Engine
) -> None:
    write(lake, first, OLD, FIRST, OLD_ROWS)
    version = arrow.version(lake.root, OLD)
    assert read(lake, NEW) == OLD_READ
    write(lake, then, NEW, SECOND, NEW_ROWS)
    assert arrow.version(lake.root, NEW) == version + 1
    assert read(lake, NEW) == OLD_READ + NEW_ROWS
    assert read(lake, NEW, version) == OLD_READ
    assert arrow.partition_rows(lake.root, NEW) == {("2024-01-01",): 2, ("2024-01-02",): 1}
    labelled = arrow.read(lake.root, NEW, columns=["id"], filters=[("count", ">", 2)])
    assert labelled.to_pylist() == [{"id": "c"}]

    # What the table itself has, as anybody else's reader sees it.
    everything = DeltaTable(lake.root / NEW.path).to_pyarrow_dataset().to_table()
    assert everything.column_names == ["run_date", "id", "gone", "count", "labels"]
    assert sorted(everything.select(["id", "gone", "labels"]).to_pylist(), key=repr) == [
        {"id": "a", "gone": 0.5, "labels": None},
        {"id": "b", "gone": 0.5, "labels": None},
        {"id": "c", "gone": None, "labels": ["x", "y"]},
    ]

    write(lake, first, NEW, FIRST, [{**OLD_READ[0], "labels": []}])
    assert read(lake, NEW) == [{**OLD_READ[0], "labels": []}, *NEW_ROWS]
    assert read(lake, NEW, version) == OLD_READ


COLOUR = Column("colour", "string", "New.")
WRONG = {
    "undeclared": (
        replace(NEW, retired=()),
        "it has a column gone of type double, which is neither declared nor retired (if it was "
        "declared once, name it in the table's `retired` in lakehouse/tables.py)",
    ),
    "retired with another type": (
        replace(NEW, retired=(("gone", "long"),)),
        "its column gone is of type double, declared int64 (if the declaration is new, declare "
        "another name and retire this one in lakehouse/tables.py)",
    ),
    "another type": (
        replace(OLD, columns=(NIGHT, ID, GONE, replace(COUNT, type="int"))),
        "its column count is of type int64, declared int32 (if the declaration is new, declare "
        "another name and retire this one in lakehouse/tables.py)",
    ),
    "new without nulls": (
        replace(NEW, columns=(NIGHT, ID, COUNT, COLOUR)),
        "it lacks the column colour, which is declared without nulls (if the declaration is new, "
        "make the column nullable in lakehouse/tables.py)",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_any_other_change_is_refused_with_the_way_out(lake: Lakehouse, wrong: str) -> None:
    table, problem = WRONG[wrong]
    write(lake, "arrow", OLD, FIRST, OLD_ROWS)
    version = arrow.version(lake.root, OLD)
    expected = (
        f"table gold.things: {lake.root}/gold/things/_delta_log cannot be used: {problem}. Restore "
        "the table's folder from a backup."
    )
    for use in (
        lambda: arrow.read(lake.root, table),
        lambda: lake.read(table),
        lambda: lake.read(table, version=version),
        lambda: write(lake, "arrow", table, FIRST, []),
        lambda: write(lake, "spark", table, FIRST, []),
    ):
        with pytest.raises(DataError) as raised:
            use()
        assert str(raised.value) == expected
    assert arrow.version(lake.root, OLD) == version
    assert read(lake, OLD) == OLD_ROWS


def _write_killed(root: Path, is_committed: bool) -> None:
    commit = DeltaTable.create_write_transaction

    def die(*arguments: Any, **named: Any) -> None:
        if is_committed:
            commit(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    DeltaTable.create_write_transaction = die  # type: ignore[method-assign]
    built = pa.Table.from_pylist(NEW_ROWS, arrow.arrow_schema(NEW))
    with arrow.writing(root, NEW):
        arrow.replace(root, NEW, built, {"run_date": SECOND})


@pytest.mark.parametrize("is_committed", [False, True])
def test_arrow_killed_as_it_writes_leaves_the_old_table_or_the_new_one(
    lake: Lakehouse, is_committed: bool
) -> None:
    write(lake, "arrow", OLD, FIRST, OLD_ROWS)
    process = forked(_write_killed, lake.root, is_committed)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert read(lake, NEW) == OLD_READ + (NEW_ROWS if is_committed else [])
    write(lake, "arrow", NEW, SECOND, NEW_ROWS)
    assert read(lake, NEW) == OLD_READ + NEW_ROWS


def test_spark_killed_as_it_writes_leaves_the_old_table_or_the_new_one(lake: Lakehouse) -> None:
    write(lake, "spark", OLD, FIRST, OLD_ROWS)
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(lake.root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        cwd=ROOT,
    )
    while not any((lake.root / NEW.path).rglob(f"run_date={SECOND}/*.parquet")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    kill(process)
    assert read(lake, NEW) in (OLD_READ, OLD_READ + NEW_ROWS)
    write(lake, "spark", NEW, SECOND, NEW_ROWS)
    assert read(lake, NEW) == OLD_READ + NEW_ROWS


if __name__ == "__main__":
    with spark_session("killed") as session:
        write(Lakehouse(session, Path(sys.argv[1])), "spark", NEW, SECOND, NEW_ROWS)
