from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from jobs.config.settings import Settings, load
from jobs.steps.features import TABLES, run
from lakehouse.errors import DataQualityError
from lakehouse.io.lake import Lakehouse
from lakehouse.tables import (
    ITEM_FEATURES,
    SILVER_INTERACTIONS,
    SILVER_ITEMS,
    USER_FEATURES,
    USER_ITEM_FEATURES,
    Table,
)
from lakehouse.windows import Windows
from tests.killing import kill_at_write
from tests.rows import put, stored

NIGHT = date(2024, 3, 1)
EVE, AFTER = date(2024, 2, 29), date(2024, 3, 2)
TEST_START, VALIDATION_START = date(2024, 2, 20), date(2024, 2, 10)


def settings_in(folder: Path) -> Settings:
    """Two windows of ten days, in a folder of its own."""
    config = folder / "config.toml"
    config.write_text(f"""
        [shop]
        name = "corner"
        [paths]
        lake = "{folder}/lake"
        data_quality = "{folder}/data_quality"
        [train]
        test_days = 10
        validation_days = 10
        [[sources]]
        name = "till"
        target = "events"
        path = "x.csv"
        format = "csv"
        time_zone = "UTC"
        columns = {{ user_id = "u", item_id = "i", event_time = "t" }}
        constants = {{ event_type = "purchase" }}
        """)
    return load(config)


def purchase(user: str, item: str, day: date, **values: Any) -> dict[str, Any]:
    """A purchase that silver took in by the eve of ``NIGHT``."""
    known = {"event_id": f"{user}-{item}-{day}", "ingest_date": EVE}
    return {"user_id": user, "item_id": item, "event_date": day} | known | values


HISTORY = [
    purchase("a", "milk", date(2024, 2, 1), value=2.0),
    purchase("a", "milk", date(2024, 2, 15), value=2.0),
    purchase("b", "bread", date(2024, 2, 19), value=3.0),
    purchase("b", "milk", date(2024, 2, 28), value=2.0),
    purchase("c", "bread", date(2024, 2, 28), event_type="view"),
    purchase("b", "stray", EVE, value=1.0, ingest_date=NIGHT),
]
CATALOGUE = [
    {"item_id": "milk", "title": "Milk", "ingest_date": EVE},
    {"item_id": "bread", "title": "Bread", "ingest_date": EVE},
]


def add(lake: Lakehouse, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Write silver rows night by night; a night that is there already is replaced."""
    for night in sorted({row["ingest_date"] for row in rows}):
        of_night = [row for row in rows if row["ingest_date"] == night]
        put(lake.root, table, of_night, {"ingest_date": night})


def gold(lake: Lakehouse, run_date: date) -> dict[str, list[dict[str, Any]]]:
    """Every gold row that the run of a date wrote, by table."""
    return {
        table.full_name: [row for row in stored(lake.root, table) if row["run_date"] == run_date]
        for table in TABLES
    }


def test_a_night_and_its_rerun(lake: Lakehouse, tmp_path: Path) -> None:
    add(lake, SILVER_INTERACTIONS, HISTORY)
    add(lake, SILVER_ITEMS, CATALOGUE)
    settings = settings_in(tmp_path)
    report = run(lake, settings, run_date=NIGHT)

    assert [
        (row["run_date"], row["as_of"], row["user_id"], row["item_id"], row["events_total"])
        for row in stored(lake.root, USER_ITEM_FEATURES)
    ] == [
        (NIGHT, NIGHT, "a", "milk", 2),
        (NIGHT, NIGHT, "b", "bread", 1),
        (NIGHT, NIGHT, "b", "milk", 1),
        (NIGHT, NIGHT, "b", "stray", 1),
    ]
    assert report.rows == {
        "silver.interactions": 5,
        "gold.user_item_features": 4,
        "gold.item_features": 7,
        "gold.user_features": 5,
        "gold.feedback_daily": 0,
    }
    assert report.facts["as_of"] == ["2024-02-10", "2024-02-20", "2024-03-01"]
    assert report.facts["events_of_unknown_items"] == 1
    assert report.facts["sellable_items"] == 2
    [warning] = report.warnings
    assert "the share of events whose item the catalogue lacks must be at most 0.01" in warning
    assert "it is 0.2" in warning
    for table in (USER_FEATURES, ITEM_FEATURES):
        built = stored(lake.root, table)
        assert {(row["run_date"], row["as_of"]) for row in built} == {
            (NIGHT, VALIDATION_START),
            (NIGHT, TEST_START),
            (NIGHT, NIGHT),
        }

    # Nothing of this was known that night: a later day, a late delivery, a later catalogue.
    first = gold(lake, NIGHT)
    add(lake, SILVER_INTERACTIONS, [HISTORY[-1], purchase("a", "bread", NIGHT, ingest_date=NIGHT)])
    late = purchase("b", "bread", date(2024, 2, 12), ingest_date=AFTER)
    add(lake, SILVER_INTERACTIONS, [late])
    add(lake, SILVER_ITEMS, [{"item_id": "stray", "title": "Found", "ingest_date": AFTER}])

    # The next night knows all of it, and leaves the former alone.
    after = run(lake, settings, run_date=AFTER)
    assert after.rows["silver.interactions"] == 7
    assert after.warnings == ()
    assert gold(lake, NIGHT) == first

    later = gold(lake, AFTER)
    again = run(lake, settings, run_date=NIGHT)
    assert again.warnings[-1].startswith(
        "1 event(s) from before 2024-03-01 were taken in by the later night of 2024-03-02 and are"
    )
    assert gold(lake, NIGHT) == first
    assert gold(lake, AFTER) == later


@pytest.mark.parametrize(
    ("events", "items", "finding"),
    [
        ([], CATALOGUE, "the number of events known on the run date must be at least 1"),
        (HISTORY, [], "the number of sellable items must be at least 1"),
    ],
    ids=["no events", "no catalogue"],
)
def test_a_refused_night_writes_nothing(
    lake: Lakehouse,
    tmp_path: Path,
    events: list[dict[str, Any]],
    items: list[dict[str, Any]],
    finding: str,
) -> None:
    add(lake, SILVER_INTERACTIONS, events)
    add(lake, SILVER_ITEMS, items)
    with pytest.raises(DataQualityError, match=finding):
        run(lake, settings_in(tmp_path), run_date=NIGHT)
    assert [lake.version(table) for table in TABLES] == [None, None, None]


def test_a_run_killed_between_two_tables_is_made_whole_by_the_next(
    lake: Lakehouse, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path)
    undisturbed = Lakehouse(lake.spark, tmp_path / "undisturbed")
    for each in (lake, undisturbed):
        add(each, SILVER_INTERACTIONS, HISTORY)
        add(each, SILVER_ITEMS, CATALOGUE)
    # The commits are: pairs, items, users.
    kill_at_write("features", tmp_path / "config.toml", NIGHT, before=2)
    assert [len(stored(lake.root, table)) for table in TABLES] == [4, 0, 0]
    run(lake, settings, run_date=NIGHT)
    run(undisturbed, settings, run_date=NIGHT)
    assert gold(lake, NIGHT) == gold(undisturbed, NIGHT)


def test_the_windows_lie_side_by_side() -> None:
    windows = Windows(date(2018, 1, 2), test_days=32, validation_days=30)
    assert windows.as_of_dates == (date(2017, 11, 1), date(2017, 12, 1), date(2018, 1, 2))
    assert (windows.validation_start, windows.test_start) == windows.as_of_dates[:2]
