import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jobs.config import load
from lakehouse.sources import SourceMapping, mappable_columns
from tests.landed import EVENTS, ITEMS, USERS

CONFIGURATIONS = sorted((Path(__file__).parent.parent / "infra" / "config").glob("*.toml"))


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


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ValidationError) as raised:
        SourceMapping(**EVENTS | {"attributes": ["age"], "flags": ["Drama"]})
    assert "source of users\nflags belong" in str(raised.value)
