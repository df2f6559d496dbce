import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.config import Settings
from lakehouse.bronze import read_bronze
from lakehouse.landing import inspect
from lakehouse.schemas import conform
from lakehouse.sources import SourceMapping
from tests.landed import EVENTS, HEADER, ITEMS, USERS, land, settings_of
from tests.rows import rows_of

NIGHT = date(2024, 1, 2)
Reader = Callable[[dict[str, Any], list[Path]], DataFrame]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path / "a place+%20", EVENTS)


@pytest.fixture
def bronze(spark: SparkSession, settings: Settings) -> Reader:
    def read(source: dict[str, Any], paths: list[Path]) -> DataFrame:
        mapping = SourceMapping(**source)
        landing = settings.paths.landing
        return read_bronze(
            spark,
            mapping,
            [inspect(mapping, landing, path) for path in paths],
            landing=landing,
            ingest_date=NIGHT,
            ingest_batch="batch",
        )

    return read


def event(file: str, number: int, **values: Any) -> dict[str, Any]:
    return {
        "user_id": None,
        "item_id": None,
        "event_time": None,
        "event_type": "purchase",
        "quantity": None,
        "value": None,
        "unit_price": None,
        "discount": None,
        "order_id": None,
        "store_id": None,
        "extra": None,
        "corrupt_record": None,
        "source": "orders",
        "source_file": file,
        "row_number": number,
        "ingest_batch": "batch",
        "ingest_date": NIGHT,
    } | values


def test_csv_rows_are_kept_as_they_are(settings: Settings, bronze: Reader) -> None:
    name = "day [1] a+b%20.csv"
    path = land(
        settings,
        name,
        HEADER,
        "u1,i1,2024-01-01 10:00:00,1,2.50",
        "",
        ' u2 ,"a ""quoted"", one",,,',
        '"two\nlines",\U0001f34e,NaN,=1+1,-0',
    )
    rows = bronze(EVENTS, [path])
    assert conform(rows, SourceMapping(**EVENTS).table).columns == rows.columns
    assert rows_of(rows) == sorted(
        [
            event(
                name,
                1,
                user_id="u1",
                item_id="i1",
                event_time="2024-01-01 10:00:00",
                quantity="1",
                value="2.50",
            ),
            event(name, 2, user_id=" u2 ", item_id='a "quoted", one'),
            event(
                name,
                3,
                user_id="two\nlines",
                item_id="\U0001f34e",
                event_time="NaN",
                quantity="=1+1",
                value="-0",
            ),
        ],
        key=repr,
    )


def test_lines_of_another_length_keep_their_text(settings: Settings, bronze: Reader) -> None:
    path = land(settings, "a.csv", HEADER, "u1,i1", "u2,i2,2024-01-01,1,2,3", "u3,i3,x,1,2")
    found = {row["row_number"]: row["corrupt_record"] for row in rows_of(bronze(EVENTS, [path]))}
    assert found == {1: "u1,i1", 2: "u2,i2,2024-01-01,1,2,3", 3: None}


def test_a_nul_byte_loses_no_line(settings: Settings, bronze: Reader) -> None:
    path = land(settings, "a.csv", HEADER, "\0u1,i1,x,1,2", "#u2,i2,x,1,2", "\0", "u4,i\0,x,1,2")
    rows = rows_of(bronze(EVENTS, [path]))
    assert {row["row_number"]: row["user_id"] for row in rows} == {
        1: "\0u1",
        2: "#u2",
        3: "\0",
        4: "u4",
    }


def test_files_of_different_columns_meet_by_name(settings: Settings, bronze: Reader) -> None:
    first = land(settings, "a.csv", HEADER, "u1,i1,t1,1,2")
    second = land(settings, "b.csv.gz", "note,paid,quantity,time,item,user", "hello,4,3,t2,i2,u2")
    rows = bronze(EVENTS, [first, second])
    assert rows_of(rows) == sorted(
        [
            event("a.csv", 1, user_id="u1", item_id="i1", event_time="t1", quantity="1", value="2"),
            event(
                "b.csv.gz",
                1,
                user_id="u2",
                item_id="i2",
                event_time="t2",
                quantity="3",
                value="4",
                extra={"note": "hello"},
            ),
        ],
        key=repr,
    )


@pytest.mark.parametrize(
    ("declared", "written", "expected"),
    [
        ("UTF-8", "UTF-8", "Zo\u00eb \u2013 \u20ac"),
        ("windows-1252", "windows-1252", "Zo\u00eb \u2013 \u20ac"),
        ("ISO-8859-1", "ISO-8859-1", "Zo\u00eb"),
        ("UTF-8", "ISO-8859-1", "Zo\ufffd"),
    ],
)
def test_encodings(
    settings: Settings, bronze: Reader, declared: str, written: str, expected: str
) -> None:
    text = "Zo\u00eb" if written == "ISO-8859-1" else expected
    path = land(settings, "products.csv", "item,name,department", f"1,{text},x", encoding=written)
    [row] = rows_of(bronze(ITEMS | {"encoding": declared}, [path]))
    assert row["title"] == expected


def test_parquet_values_become_text(settings: Settings, bronze: Reader) -> None:
    wall = pa.array([1_514_782_880_000_000_123, None], pa.timestamp("ns"))
    instant = pa.array([1_514_782_880_500, None], pa.timestamp("ms", tz="Europe/Paris"))
    columns = {
        "user": pa.array([1, 2]),
        "item": pa.array(["a", "\U0001f34e"]),
        "quantity": pa.array([1.5, float("nan")]),
        "paid": pa.array([None, None], pa.float64()),
        "odd `name`": pa.array([True, None]),
    }
    paths = []
    for name, times in (("wall.parquet", wall), ("instant.parquet", instant)):
        paths.append(settings.paths.landing / name)
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns | {"time": times}), paths[-1])
    rows = bronze(EVENTS | {"format": "parquet"}, paths)
    first = {"user_id": "1", "item_id": "a", "quantity": "1.5", "extra": {"odd `name`": "true"}}
    second = {
        "user_id": "2",
        "item_id": "\U0001f34e",
        "quantity": "NaN",
        "extra": {"odd `name`": None},
    }
    assert rows_of(rows) == sorted(
        [
            event("wall.parquet", 1, **first, event_time="2018-01-01 05:01:20"),
            event("wall.parquet", 2, **second),
            event("instant.parquet", 1, **first, event_time="2018-01-01 05:01:20.5Z"),
            event("instant.parquet", 2, **second),
        ],
        key=repr,
    )


def test_parquet_files_may_differ_in_types(settings: Settings, bronze: Reader) -> None:
    paths = []
    for name, user in (("a", pa.array([7])), ("b", pa.array(["seven"])), ("c", pa.array([7.5]))):
        paths.append(settings.paths.landing / f"{name}.parquet")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        others = {column: pa.array(["x"]) for column in HEADER.split(",")[1:]}
        pq.write_table(pa.table({"user": user} | others), paths[-1])
    rows = rows_of(bronze(EVENTS | {"format": "parquet"}, paths))
    assert sorted((row["source_file"], row["user_id"]) for row in rows) == [
        ("a.parquet", "7"),
        ("b.parquet", "seven"),
        ("c.parquet", "7.5"),
    ]


def test_json_lines(settings: Settings, bronze: Reader) -> None:
    good = {"user": 7, "item": "a", "time": "t", "quantity": 1.5, "paid": None, "more": [1, {}]}
    path = land(
        settings, "a.jsonl", json.dumps(good), "", '{"user": "u"}', '{"user": 8, "item', "[]", "7"
    )
    rows = bronze(EVENTS | {"format": "jsonl"}, [path])
    assert rows_of(rows) == sorted(
        [
            event(
                "a.jsonl",
                1,
                user_id="7",
                item_id="a",
                event_time="t",
                quantity="1.5",
                extra={"more": "[1,{}]"},
            ),
            event("a.jsonl", 2, user_id="u", extra={}),
            event("a.jsonl", 3, corrupt_record='{"user": 8, "item'),
            event("a.jsonl", 4, corrupt_record="[]"),
            event("a.jsonl", 5, corrupt_record="7"),
        ],
        key=repr,
    )


def test_attributes_and_flags(settings: Settings, bronze: Reader) -> None:
    users = land(settings, "customers.csv", "user,age,town", "u1,7,", "u2,,")
    assert [row["attributes"] for row in rows_of(bronze(USERS, [users]))] == [
        {"age": "7", "town": None},
        {"age": None, "town": None},
    ]
    flagged = ITEMS | {"flags": ["War", "Sci-Fi"], "tags_separator": "|"}
    films = land(
        settings, "products.csv", "item,name,department,War,Sci-Fi", "1,a,,1,1", "2,b,,0,0"
    )
    assert [row["tags"] for row in rows_of(bronze(flagged, [films]))] == ["War|Sci-Fi", ""]


def test_row_numbers_follow_the_file(settings: Settings, bronze: Reader) -> None:
    lines = [f"u{number},i,t,1,2" for number in range(1, 20_001)]
    paths = [land(settings, f"{name}.csv", HEADER, *lines) for name in "abc"]
    rows = bronze(EVENTS, paths)
    assert rows.where("user_id != concat('u', row_number)").count() == 0
    assert rows.count() == 60_000
    as_text = EVENTS | {"format": "jsonl"}
    json_lines = land(settings, "a.jsonl", *[f'{{"user": {n}}}' for n in range(1, 20_001)])
    assert bronze(as_text, [json_lines]).where("user_id != row_number").count() == 0


def test_times_before_1970_keep_their_microseconds(settings: Settings, bronze: Reader) -> None:
    path = settings.paths.landing / "a.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    times = pa.array([-1, 1_700_000_000_123_456_789], pa.timestamp("ns"))
    others = {column: pa.array(["x", "x"]) for column in HEADER.split(",") if column != "time"}
    pq.write_table(pa.table(others | {"time": times}), path)
    rows = bronze(EVENTS | {"format": "parquet"}, [path])
    moment = datetime.fromtimestamp(1_700_000_000, UTC).replace(microsecond=123456)
    assert [row["event_time"] for row in sorted(rows_of(rows), key=lambda r: r["row_number"])] == [
        "1969-12-31 23:59:59.999999",
        f"{moment:%Y-%m-%d %H:%M:%S.%f}",
    ]
