"""Cleaning nights: whole runs through real Spark, Delta and Great Expectations."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from jobs import clean
from jobs.config import Settings
from lakehouse import arrow
from lakehouse.errors import DataError, DataQualityError
from lakehouse.lake import Lakehouse
from lakehouse.tables import (
    BRONZE_EVENTS,
    BRONZE_ITEMS,
    BRONZE_USERS,
    QUARANTINE,
    ROW_ACCOUNTING,
    SILVER_INTERACTIONS,
    SILVER_ITEMS,
    SILVER_USERS,
)
from tests.killing import kill_at_write
from tests.landed import EVENTS, ITEMS, USERS, settings_of, toml_of
from tests.rows import frame, rows_of

FIRST, SECOND = date(2024, 1, 2), date(2024, 1, 3)
SILVER = (SILVER_INTERACTIONS, SILVER_ITEMS, SILVER_USERS, QUARANTINE, ROW_ACCOUNTING)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path, EVENTS, ITEMS, USERS, quality={"quarantine_warn_share": 0.1})


def take_in(lake: Lakehouse, night: date, *events: tuple[str, str, str]) -> None:
    """Put (user, item, quantity) purchases of the day before the night into bronze."""
    lineage = {"ingest_date": night, "ingest_batch": f"{night}-b", "source_file": f"{night}.csv"}
    rows = [
        lineage
        | {
            "user_id": user,
            "item_id": item,
            "event_time": f"{night.replace(day=night.day - 1)} 10:00:00",
            "event_type": "purchase",
            "quantity": quantity,
            "value": "2",
            "source": "orders",
            "row_number": number,
        }
        for number, (user, item, quantity) in enumerate(events, start=1)
    ]
    partition = {"ingest_date": night, "ingest_batch": f"{night}-b"}
    lake.replace(BRONZE_EVENTS, frame(lake.spark, BRONZE_EVENTS, rows), partition)


def take_in_catalogue(lake: Lakehouse) -> None:
    lineage = {"ingest_date": FIRST, "ingest_batch": f"{FIRST}-b"}
    items = [
        lineage | {"source": "products", "row_number": n, "item_id": item, "title": title}
        for n, (item, title) in enumerate([("i1", "Old"), ("i1", "New"), ("i2", "Pear")], start=1)
    ]
    users = [lineage | {"source": "customers", "user_id": "u1", "attributes": {"age": "35"}}]
    partition = {"ingest_date": FIRST, "ingest_batch": f"{FIRST}-b"}
    lake.replace(BRONZE_ITEMS, frame(lake.spark, BRONZE_ITEMS, items), partition)
    lake.replace(BRONZE_USERS, frame(lake.spark, BRONZE_USERS, users), partition)


def state(lake: Lakehouse) -> dict[str, list[dict[str, Any]]]:
    return {table.full_name: rows_of(lake.read(table)) for table in SILVER}


def test_nights_are_cleaned_and_accounted_for(lake: Lakehouse, settings: Settings) -> None:
    take_in_catalogue(lake)
    take_in(lake, FIRST, ("u1", "i1", "1"), ("u1", "i1", "1.0"), ("", "i1", "-1"))
    report = clean.run(lake, settings, run_date=FIRST)
    assert report.rows == {
        "bronze.events": 3,
        "bronze.items": 3,
        "bronze.users": 1,
        "silver.interactions": 1,
        "silver.items": 2,
        "silver.users": 1,
        "silver.quarantine": 1,
        "duplicates": 2,
    }
    assert report.facts["quarantine_by_rule"] == {
        "quantity_not_positive": 1,
        "user_id_missing": 1,
    }
    assert len(report.warnings) == 1
    assert "bronze.events rows rejected" in report.warnings[0]
    assert [row["title"] for row in rows_of(lake.read(SILVER_ITEMS))] == ["New", "Pear"]
    first = state(lake)

    # The same event delivered again the next night is a duplicate of the first night's.
    take_in(lake, SECOND, ("u2", "i2", "1"))
    repeated = lake.read(BRONZE_EVENTS).where("ingest_date = '2024-01-02' AND row_number = 1")
    again = repeated.selectExpr(
        *[c for c in repeated.columns if not c.startswith("ingest")],
        f"'{SECOND}-c' AS ingest_batch",
        f"DATE'{SECOND}' AS ingest_date",
    )
    lake.replace(BRONZE_EVENTS, again, {"ingest_date": SECOND, "ingest_batch": f"{SECOND}-c"})
    second = clean.run(lake, settings, run_date=SECOND)
    assert (second.rows["silver.interactions"], second.rows["duplicates"]) == (1, 1)

    # A re-run of the first night changes neither night.
    both = state(lake)
    clean.run(lake, settings, run_date=FIRST)
    assert state(lake) == both
    assert [row for row in both["silver.interactions"] if row["ingest_date"] == FIRST] == first[
        "silver.interactions"
    ]


def test_a_night_of_refunds_alone_is_refused(lake: Lakehouse, settings: Settings) -> None:
    take_in(lake, FIRST, ("u1", "i1", "-1"), ("u2", "i1", "-2"))
    with pytest.raises(DataQualityError, match=r"share of bronze\.events rows rejected"):
        clean.run(lake, settings, run_date=FIRST)
    assert state(lake) == {table.full_name: [] for table in SILVER}


def test_rows_of_a_source_that_left_the_configuration_stop_the_night(
    lake: Lakehouse, settings: Settings
) -> None:
    take_in(lake, FIRST, ("u1", "i1", "1"))
    other = settings_of(settings.paths.lake.parent, EVENTS | {"name": "till"})
    with pytest.raises(DataError, match=r"bronze\.events, ingest_date 2024-01-02: 1 rows, but"):
        clean.run(lake, other, run_date=FIRST)
    assert state(lake) == {table.full_name: [] for table in SILVER}


def test_an_empty_night_is_accounted_for_and_uncleaned_ones_are_named(
    lake: Lakehouse, settings: Settings
) -> None:
    take_in(lake, FIRST, ("u1", "i1", "1"))
    report = clean.run(lake, settings, run_date=SECOND)
    assert set(report.rows.values()) == {0}
    assert report.warnings == (
        "the night of 2024-01-02 was taken in but never cleaned: "
        "topshelf clean --run-date 2024-01-02",
    )
    assert arrow.partition_rows(lake.root, ROW_ACCOUNTING) == {("2024-01-03",): 3}


def test_a_run_killed_between_two_tables_is_made_whole_by_the_next(
    lake: Lakehouse, settings: Settings, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(toml_of(settings))
    undisturbed = Lakehouse(lake.spark, tmp_path / "undisturbed")
    for each in (lake, undisturbed):
        take_in_catalogue(each)
        take_in(each, FIRST, ("u1", "i1", "1"), ("u2", "i2", "2"), ("u3", "i2", "3"))
    # The commits begin with interactions and items.
    kill_at_write("clean", config, FIRST, before=2)
    assert lake.read(SILVER_INTERACTIONS).count() == 3
    assert lake.read(SILVER_ITEMS).count() == 0
    clean.run(lake, settings, run_date=FIRST)
    clean.run(undisturbed, settings, run_date=FIRST)
    assert state(lake) == state(undisturbed)
