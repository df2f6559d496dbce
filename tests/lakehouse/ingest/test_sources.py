import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jobs.config.settings import load
from lakehouse.ingest.sources import SourceMapping, mappable_columns
from tests.landed import EVENTS, ITEMS, USERS, settings_of
from tests.project import ROOT

CONFIGURATIONS = sorted((ROOT / "infra" / "config").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_shipped_configurations_load(path: Path) -> None:
    settings = load(path)
    assert [source.name for source in settings.sources] == [
        source["name"] for source in tomllib.loads(path.read_text())["sources"]
    ]


def test_there_is_a_configuration_for_each_promised_data_set() -> None:
    assert {path.stem for path in CONFIGURATIONS} >= {
        "complete_journey",
        "online_retail",
        "movielens",
        "movielens_100k",
    }


def test_an_event_is_told_by_all_mapped_columns_unless_a_key_is_given() -> None:
    assert SourceMapping(**EVENTS).event_key == (
        "user_id",
        "item_id",
        "event_time",
        "event_type",
        "quantity",
        "value",
    )
    given = SourceMapping(**EVENTS | {"duplicate_key": ["user_id", "event_time"]})
    assert given.event_key == ("user_id", "event_time")


def test_lineage_and_raw_columns_cannot_be_mapped() -> None:
    assert mappable_columns("users") == ("user_id",)
    assert {"source", "row_number", "extra", "corrupt_record"}.isdisjoint(
        mappable_columns("events")
    )


@pytest.mark.parametrize(
    ("source", "change", "message"),
    [
        (EVENTS, {"columns": {"user_id": "u"}}, "events need ['item_id', 'event_time']"),
        (EVENTS, {"constants": {"event_type": "purchase", "user_id": "x"}}, "both in columns"),
        (
            EVENTS,
            {"columns": EVENTS["columns"] | {"colour": "c"}},
            "columns names `colour`, which events do not have",
        ),
        (
            EVENTS,
            {"duplicate_key": ["title"]},
            "duplicate_key names `title`, which events do not have",
        ),
        (EVENTS, {"attributes": ["age"]}, "attributes belong to a source of users"),
        (EVENTS, {"flags": ["Drama"]}, "flags belong to a source of items"),
        (EVENTS, {"path": "/orders.csv"}, "below the landing folder"),
        (EVENTS, {"path": "../orders.csv"}, "below the landing folder"),
        (EVENTS, {"path": "{day}.csv"}, "`{day}` has no meaning in a path; `{date}` stands for"),
        (EVENTS, {"path": "{date.csv"}, "`{date.csv` has no meaning in a path"),
        (EVENTS, {"path": "[0-9].csv"}, "`[` has no meaning in a path"),
        (EVENTS, {"time_format": "%d-%m-%Y"}, "the same in Java's is `dd-MM-yyyy`"),
        (EVENTS, {"constants": {"event_type": "sale"}}, "event_type 'sale', but it must be one of"),
        (EVENTS, {"time_zone": "Europe/Atlantis"}, "no time zone 'Europe/Atlantis'"),
        (EVENTS, {"encoding": "EBCDIC"}, "no encoding 'EBCDIC'; write e.g. ebcdic_"),
        (
            EVENTS,
            {"encoding": "windows-1522"},
            "no encoding 'windows-1522'; write e.g. windows_125",
        ),
        (EVENTS, {"encoding": "rot13"}, "no encoding 'rot13'"),
        (EVENTS, {"delimiter": '"'}, "should match pattern"),
        (EVENTS, {"max_lines_per_row": 0}, "greater than or equal to 1"),
        (EVENTS, {"delimiter": "::"}, "at most 1 character"),
        (EVENTS, {"format": "jsonl", "encoding": "ISO-8859-1"}, "belong to format csv"),
        (EVENTS, {"decimal": ",", "thousands": ","}, "decimal and thousands are both ','"),
        (
            EVENTS,
            {"user_fallback": "order_id"},
            "user_fallback names order_id, which is not mapped",
        ),
        (ITEMS, {"decimal": ","}, "decimal, thousands and user_fallback belong to a source of"),
        (EVENTS, {"columns": EVENTS["columns"] | {"event_time": ["t"]}}, "at least 2 items"),
        (ITEMS, {"format": "parquet", "header": ["item", "name"]}, "belong to format csv"),
        (
            ITEMS,
            {"reject": [{"name": "odd", "column": "title", "pattern": "("}]},
            "not a regular expression",
        ),
        (USERS, {"nickname": "people"}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_mapping_says_what_is_wrong(
    source: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError) as raised:
        SourceMapping(**source | change)
    assert message in str(raised.value)


def test_one_column_may_be_two_of_the_file() -> None:
    columns = EVENTS["columns"] | {"event_time": ["day", "clock"]}
    mapping = SourceMapping(**EVENTS | {"columns": columns})
    assert mapping.file_columns("event_time") == ("day", "clock")
    assert mapping.file_columns("event_type") == ()
    assert mapping.mapped_source_columns == ("user", "item", "day", "clock", "quantity", "paid")


def test_what_makes_an_event_s_id_is_the_key_and_how_it_is_read() -> None:
    columns = EVENTS["columns"] | {"order_id": "order"}
    rules = [{"column": name, "pattern": "x"} for name in ("item_id", "order_id", "value")]
    given = {"columns": columns, "user_fallback": "order_id", "replacements": rules}
    key = {"duplicate_key": ["item_id", "user_id"]}
    mapping = SourceMapping(**EVENTS | given | key)
    assert mapping.identity == {
        "duplicate_key": ["item_id", "user_id"],
        "user_fallback": "order_id",
        "replacements": [
            {"column": "item_id", "pattern": "x", "replacement": ""},
            {"column": "order_id", "pattern": "x", "replacement": ""},
        ],
    }
    # Names of the file's columns, rejections and columns outside the key don't shape it.
    renamed = {"columns": columns | {"item_id": "sku", "value": "sum"}, "decimal": ","}
    others = {
        "reject": [{"name": "no", "column": "item_id", "pattern": "y"}],
        "time_format": "yyyyMMdd",
    }
    assert SourceMapping(**EVENTS | given | key | renamed | others).identity == mapping.identity
    timed = SourceMapping(**EVENTS | {"time_zone": "Asia/Tokyo", "thousands": " "}).identity
    assert {name: timed[name] for name in ("time_format", "time_zone", "decimal", "thousands")} == {
        "time_format": "iso",
        "time_zone": "Asia/Tokyo",
        "decimal": ".",
        "thousands": " ",
    }


def test_features_that_count_none_of_the_sources_events_are_refused(tmp_path: Path) -> None:
    views = EVENTS | {"name": "views", "path": "views.csv", "constants": {"event_type": "View"}}
    with pytest.raises(ValidationError, match=r"counts \['purchase'\], but .* give \['view'\]"):
        settings_of(tmp_path, views)
    settings_of(tmp_path, views, EVENTS)
    settings_of(tmp_path, views, features={"event_types": ["view"]})
    told_by_rows = {"columns": EVENTS["columns"] | {"event_type": "kind"}, "constants": {}}
    settings_of(tmp_path, views | told_by_rows)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ValidationError) as raised:
        SourceMapping(**EVENTS | {"attributes": ["age"], "flags": ["Drama"]})
    assert "source of users\nflags belong" in str(raised.value)
