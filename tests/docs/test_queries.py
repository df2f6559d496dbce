"""The questions of docs/queries.md, asked of a small lake in DuckDB and in Spark alike."""

import re
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from lakehouse.io import arrow
from lakehouse.io.sql import query
from lakehouse.tables import (
    FEEDBACK_DAILY,
    ITEM_FEATURES,
    ITEM_RELATED,
    OPS_RUNS,
    RECOMMENDATIONS,
    ROW_ACCOUNTING,
    Table,
)
from tests.project import ROOT
from tests.rows import row

NIGHT = date(2018, 1, 2)
QUESTIONS = re.findall("(?s)```sql\n(.*?)```", (ROOT / "docs" / "queries.md").read_text("utf-8"))
ANSWERS = (
    [("all", 1, "Tea", "You bought it 3 times"), ("all", 2, "Jam", "Goes with tea")],
    [("all", "Drinks", 0.667, 0.8), ("all", "Food", 0.333, 0.2)],
    [("salt", "Salt", 9)],
    [(1, "Jam", 4, 9, 1.3), (2, "Salt", 2, 9, 1.1)],
    [(NIGHT, "bronze.events", 10, 7, 2, 1)],
    [(NIGHT, "clean", "failed", None, "no disk"), (NIGHT, "ingest", "done", 2.3, None)],
    [
        ("all", "taste", 40, 0.25, 0.025),
        ("all", "popular", 10, 0, 0),
        ("all", "new", 0, None, None),
    ],
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lake")
    places: list[dict[str, Any]] = [
        {"user_id": "1", "rank": 2, "item_id": "jam", "title": "Jam", "reason": "Goes with tea"},
        {"user_id": "1", "rank": 1, "item_id": "tea", "title": "Tea"}
        | {"reason": "You bought it 3 times"},
        {"user_id": "2", "rank": 1, "item_id": "tea", "title": "Tea"},
    ]
    items: list[dict[str, Any]] = [
        {"item_id": "tea", "title": "Tea", "department": "Drinks", "events_30d": 2},
        {"item_id": "jam", "title": "Jam", "department": "Food", "events_30d": 1},
        {"item_id": "salt", "title": "Salt", "department": "Food", "events_30d": 9},
        {"item_id": "old", "title": "Old", "department": "Food", "sellable": False},
    ]
    steps: list[dict[str, Any]] = [
        {"step": "ingest", "status": "done", "seconds": 2.26, "reason": None},
        {"step": "clean", "status": "failed", "seconds": None, "reason": "no disk"},
    ]
    _write(root, RECOMMENDATIONS, [{"list": "all"} | place for place in places])
    _write(root, ITEM_FEATURES, [{"as_of": NIGHT, "sellable": True} | item for item in items])
    _write(root, OPS_RUNS, steps)
    shown = [
        {"reason_code": "taste", "impressions": 30, "clicks": 2, "purchases": 1},
        {"reason_code": "taste", "impressions": 10, "clicks": 8, "purchases": 0},
        {"reason_code": "popular", "impressions": 10, "clicks": 0, "purchases": 0},
        {"reason_code": "new", "impressions": 0, "clicks": 1, "purchases": 0},
    ]
    _write(
        root,
        FEEDBACK_DAILY,
        [
            {"surface": "all", "event_date": NIGHT, "position": n} | s
            for n, s in enumerate(shown, 1)
        ],
    )
    pair = {"item_id": "1082185", "kind": "bought_together", "baskets": 9}
    related: list[dict[str, Any]] = [
        pair | {"rank": 2, "related_item_id": "salt", "support": 2, "lift": 1.09},
        pair | {"rank": 1, "related_item_id": "jam", "support": 4, "lift": 1.31},
        pair | {"rank": 1, "related_item_id": "old", "kind": "similar"},
        pair | {"rank": 1, "related_item_id": "old", "item_id": "jam", "lift": 2.0},
    ]
    _write(root, ITEM_RELATED, related)
    counted = {"bronze_rows": 10, "silver_rows": 7, "quarantine_rows": 2, "duplicate_rows": 1}
    _write(
        root,
        ROW_ACCOUNTING,
        [
            {"table_name": "bronze.events", **counted},
            {"table_name": "bronze.users", **dict.fromkeys(counted, 0)},
        ],
    )
    return root


def _write(root: Path, table: Table, rows: list[dict[str, Any]]) -> None:
    """The rows as those of the night, step by step where the table is kept so."""
    night = "ingest_date" if table is ROW_ACCOUNTING else "run_date"
    keys = [{name: given[name] for name in table.partition_by if name != night} for given in rows]
    for key in [key for place, key in enumerate(keys) if key not in keys[:place]]:
        part = [
            row(table, **{night: NIGHT}, **given)
            for given, its in zip(rows, keys, strict=True)
            if its == key
        ]
        written = pa.Table.from_pylist(part, arrow.arrow_schema(table))
        arrow.replace(root, table, written, {night: NIGHT} | key)


def _same(rows: object) -> list[tuple[object, ...]]:
    """Rows with numbers as Python's, whatever decimals an engine computes in."""
    assert isinstance(rows, list)
    return [
        tuple(float(v) if hasattr(v, "as_integer_ratio") and v % 1 else v for v in values)
        for values in rows
    ]


def test_every_question_has_an_answer() -> None:
    assert len(QUESTIONS) == len(ANSWERS)


@pytest.mark.parametrize(("question", "answer"), zip(QUESTIONS, ANSWERS, strict=False))
def test_duckdb_answers(root: Path, question: str, answer: list[tuple[object, ...]]) -> None:
    found = query(root, question)
    assert _same([tuple(values.values()) for values in found.to_pylist()]) == answer


def test_spark_answers_the_same(root: Path, spark: SparkSession) -> None:
    for question, answer in zip(QUESTIONS, ANSWERS, strict=True):
        by_path = re.sub(r"\b(gold|silver|ops)\.(\w+)", rf"delta.`{root}/\1/\2`", question)
        assert _same([tuple(values) for values in spark.sql(by_path).collect()]) == answer
