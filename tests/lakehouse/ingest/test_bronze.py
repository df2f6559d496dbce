import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.config.settings import Settings
from lakehouse.ingest.bronze import read_bronze
from lakehouse.ingest.landing import inspect
from lakehouse.ingest.sources import SourceMapping
from lakehouse.io.schemas import conform
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
        "device": None,
        "extra": None,
        "corrupt_record": None,
        "corrupt_rule": None,
        "source": "orders",
        "source_file": file,
        "row_number": number,
        "ingest_batch": "batch",
        "ingest_date": NIGHT,
    } | values


def test_two_columns_of_a_file_become_one(settings: Settings, bronze: Reader) -> None:
    columns = {"user_id": "user", "item_id": "item", "event_time": ["day", "clock"]}
    path = land(
        settings, "a.csv", "user,item,day,clock", "u,i,01.02.2024,10:30", "u,i,01.02.2024,", "u,i,,"
    )
    rows = bronze(EVENTS | {"columns": columns}, [path]).orderBy("row_number").collect()
    assert [row["event_time"] for row in rows] == ["01.02.2024 10:30", "01.02.2024", ""]
    assert [row["extra"] for row in rows] == [None, None, None]


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


def test_an_unclosed_quote_loses_no_line(settings: Settings, bronze: Reader) -> None:
    """Packed, with a delimiter of its own, blank lines in front and Windows's line ends."""
    lines = ["", "sep=;", HEADER.replace(",", ";"), *[f"u{n};i;t;1;2" for n in range(3, 13)]]
    lines[5] = 'u5;"i;t;1;2'
    lines[7:9] = ['u7;"i', '8";t;1;2']
    path = land(settings, "a.csv", *[f"{line}\r" for line in lines])
    zipped = path.with_suffix(".csv.zst")
    zipped.write_bytes(pa.compress(path.read_bytes(), codec="zstd", asbytes=True))
    rows = rows_of(bronze(EVENTS | {"path": "*"}, [zipped]))
    good = {"event_time": "t", "quantity": "1", "value": "2"}
    file = "a.csv.zst"
    assert rows == sorted(
        [
            event(file, 1, user_id="u3", item_id="i", **good),
            event(file, 2, user_id="u4", item_id="i", **good),
            event(file, 3, corrupt_record='u5;"i;t;1;2', corrupt_rule="unclosed_quote"),
            event(file, 4, user_id="u6", item_id="i", **good),
            event(file, 5, user_id="u7", item_id="i\n8", **good),
            *[event(file, n - 3, user_id=f"u{n}", item_id="i", **good) for n in range(9, 13)],
        ],
        key=repr,
    )


def test_links_are_named_as_they_are_in_the_landing_folder(
    settings: Settings, bronze: Reader, tmp_path: Path
) -> None:
    other = settings_of(tmp_path / "elsewhere", EVENTS)
    land(other, "a.csv", HEADER, "u1,i1,t,1,2")
    table = {name: [name] for name in HEADER.split(",")}
    pq.write_table(pa.table(table), other.paths.landing / "b.parquet")
    landing = settings.paths.landing
    landing.parent.mkdir(parents=True)
    (tmp_path / "real").mkdir()
    landing.symlink_to(tmp_path / "real", target_is_directory=True)
    (landing / "folder").symlink_to(other.paths.landing, target_is_directory=True)
    for source, ending in ((EVENTS, "csv"), (EVENTS | {"format": "parquet"}, "parquet")):
        kept = other.paths.landing / f"{'a' if ending == 'csv' else 'b'}.{ending}"
        (landing / f"file.{ending}").symlink_to(kept)
        paths = [landing / f"file.{ending}", landing / "folder" / kept.name]
        assert [row["source_file"] for row in rows_of(bronze(source, paths))] == [
            f"file.{ending}",
            f"folder/{kept.name}",
        ]


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


@pytest.mark.parametrize("kind", ["INT96", "TIMESTAMP_MICROS", "TIMESTAMP_MILLIS"])
def test_parquet_as_spark_writes_it(
    spark: SparkSession, settings: Settings, bronze: Reader, kind: str
) -> None:
    spark.conf.set("spark.sql.parquet.outputTimestampType", kind)
    folder = settings.paths.landing / "written"
    spark.sql(
        "SELECT 7L AS user, 'i' AS item, TIMESTAMP '2024-01-01 10:00:00.123Z' AS time, "
        "CAST(2 AS DECIMAL(9, 2)) AS quantity, CAST(1.5 AS FLOAT) AS paid, "
        "TIMESTAMP_NTZ '2024-01-01 10:00:00' AS wall, named_struct('a b', array(1)) AS more"
    ).coalesce(1).write.parquet(str(folder))
    spark.conf.unset("spark.sql.parquet.outputTimestampType")
    [path] = folder.glob("*.parquet")
    [row] = rows_of(bronze(EVENTS | {"format": "parquet"}, [path]))
    assert row == event(
        f"written/{path.name}",
        1,
        user_id="7",
        item_id="i",
        event_time="2024-01-01 10:00:00.123Z",
        quantity="2.00",
        value="1.5",
        extra={"wall": "2024-01-01 10:00:00", "more": '{"a b":[1]}'},
    )


def test_parquet_of_any_types(settings: Settings, bronze: Reader) -> None:
    moment = datetime(2024, 1, 1, 10, tzinfo=UTC)
    columns = {
        "user": pa.array(["u"]).dictionary_encode(),
        "item": pa.array([2**64 - 1], pa.uint64()),
        "time": pa.array([moment], pa.timestamp("s", tz="UTC")),
        "quantity": pa.array([Decimal("1.50")]),
        "paid": pa.array([2.5], pa.float32()),
        "clock": pa.array([time(10, 30)], pa.time64("us")),
        "half": pa.array([1.5], pa.float16()),
        "clocks": pa.array([[time(10, 30)]], pa.list_(pa.time32("ms"))),
        "nothing": pa.nulls(1),
        "raw": pa.array([b"a\xff"]),
        "fixed": pa.array([b"ab"], pa.binary(2)),
        "day": pa.array([date(2024, 1, 1)]),
        "long": pa.array([90], pa.duration("s")),
        "list": pa.array([[1, None]], pa.large_list(pa.int8())),
        "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.uint32())),
        "struct": pa.array([{"a`b": {"c": "d"}}]),
    }
    path = settings.paths.landing / "a.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table(columns), path)
    source = EVENTS | {"format": "parquet"}
    file = inspect(SourceMapping(**source), settings.paths.landing, path)
    assert file.layout.unreadable == ("clock", "half", "clocks", "nothing")
    assert rows_of(bronze(source, [path])) == [
        event(
            "a.parquet",
            1,
            user_id="u",
            item_id="18446744073709551615",
            event_time="2024-01-01 10:00:00Z",
            quantity="1.50",
            value="2.5",
            extra={
                "raw": "a\ufffd",
                "fixed": "ab",
                "day": "2024-01-01",
                "long": "90",
                "list": "[1,null]",
                "map": '{"k":1}',
                "struct": '{"a`b":{"c":"d"}}',
            },
        )
    ]


def test_json_lines(settings: Settings, bronze: Reader) -> None:
    good = {"user": 7, "item": "a", "time": "t", "quantity": 1.5, "paid": None, "more": [1, {}]}
    broken = {
        '{"user": 8, "item': "corrupt_record",
        "[]": "corrupt_record",
        '{"user": 8} {"user": 9}': "text_after_object",
        '{"user": 8, "user": 9}': "key_twice",
        '{"user": {"id": 8}}': "nested_value",
    }
    path = land(settings, "a.jsonl", json.dumps(good), "", '{"user": "u"}', *broken)
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
            *[
                event("a.jsonl", number, corrupt_record=line, corrupt_rule=rule)
                for number, (line, rule) in enumerate(broken.items(), 3)
            ],
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
