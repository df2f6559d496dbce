"""Cleaning nights: whole runs through real Spark, Delta and Great Expectations."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame

from jobs.config.settings import Settings
from jobs.steps import clean
from lakehouse.clean import silver
from lakehouse.errors import ConfigurationError, DataError, DataQualityError
from lakehouse.ingest.sources import SourceMapping
from lakehouse.io import arrow
from lakehouse.io.lake import Lakehouse
from lakehouse.tables import (
    BRONZE_EVENTS,
    BRONZE_ITEMS,
    BRONZE_USERS,
    EVENT_IDENTITY,
    QUARANTINE,
    ROW_ACCOUNTING,
    SILVER_INTERACTIONS,
    SILVER_ITEMS,
    SILVER_USERS,
)
from tests.killing import kill_at_write
from tests.landed import EVENTS, ITEMS, USERS, settings_of, toml_of
from tests.rows import put, stored

FIRST, SECOND = date(2024, 1, 2), date(2024, 1, 3)
SILVER = (
    SILVER_INTERACTIONS,
    SILVER_ITEMS,
    SILVER_USERS,
    QUARANTINE,
    EVENT_IDENTITY,
    ROW_ACCOUNTING,
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path, EVENTS, ITEMS, USERS, quality={"quarantine_warn_share": 0.1})


def take_in(
    lake: Lakehouse, night: date, *events: tuple[str, str, str], batch: str = "b", **values: str
) -> None:
    """Put (user, item, quantity) purchases of the day before the night into bronze."""
    partition: dict[str, date | str] = {"ingest_date": night, "ingest_batch": f"{night}-{batch}"}
    rows = [
        {
            "user_id": user,
            "item_id": item,
            "event_time": f"{night.replace(day=night.day - 1)} 10:00:00",
            "event_type": "purchase",
            "quantity": quantity,
            "value": "2",
            "source": "orders",
            "source_file": f"{night}-{batch}.csv",
            "row_number": number,
        }
        | values
        for number, (user, item, quantity) in enumerate(events, start=1)
    ]
    put(lake.root, BRONZE_EVENTS, rows, partition)


def take_in_catalogue(lake: Lakehouse) -> None:
    items = [
        {"source": "products", "row_number": n, "item_id": item, "title": title}
        for n, (item, title) in enumerate([("i1", "Old"), ("i1", "New"), ("i2", "Pear")], start=1)
    ]
    users = [{"source": "customers", "user_id": "u1", "attributes": {"age": "35"}}]
    partition: dict[str, date | str] = {"ingest_date": FIRST, "ingest_batch": f"{FIRST}-b"}
    put(lake.root, BRONZE_ITEMS, items, partition)
    put(lake.root, BRONZE_USERS, users, partition)


def state(lake: Lakehouse) -> dict[str, list[dict[str, Any]]]:
    return {table.full_name: stored(lake.root, table) for table in SILVER}


def test_nights_are_cleaned_and_accounted_for(lake: Lakehouse, settings: Settings) -> None:
    take_in_catalogue(lake)
    take_in(lake, FIRST, ("u1", "i1", "1"), ("u1", "i1", "1.0"), ("", "i1", "-1"))
    report = clean.run(lake, settings, run_date=FIRST)
    assert report.rows == {
        "bronze.events": 3,
        "bronze.items": 3,
        "bronze.users": 1,
        "bronze.feedback": 0,
        "silver.interactions": 1,
        "silver.items": 2,
        "silver.users": 1,
        "silver.quarantine": 1,
        "repeated events": 1,
        "repeated feedback": 0,
        "superseded items": 1,
        "superseded users": 0,
    }
    assert report.facts["quarantine_by_rule"] == {
        "quantity_not_positive": 1,
        "user_id_missing": 1,
    }
    repeated, rejected = report.warnings
    assert repeated == (
        "silver.interactions: the share of orders rows that repeat an earlier row of their file "
        "must be at most 0.01, but it is 0.333333. Each of these events counts once. If they are "
        "several, let the source say what tells them apart: map order_id or the time of day, and "
        "name them in duplicate_key if there is one. If its files do repeat rows, raise [quality] "
        "duplicate_warn_share."
    )
    assert report.facts["repeated_in_file"] == {"orders": 1}
    assert "bronze.events rows rejected" in rejected
    assert [row["title"] for row in stored(lake.root, SILVER_ITEMS)] == ["New", "Pear"]
    first = state(lake)

    # The same event delivered again the next night is a duplicate of the first night's.
    take_in(lake, SECOND, ("u2", "i2", "1"))
    partition: dict[str, date | str] = {"ingest_date": SECOND, "ingest_batch": f"{SECOND}-c"}
    delivered = [
        row | partition
        for row in stored(lake.root, BRONZE_EVENTS)
        if (row["ingest_date"], row["row_number"]) == (FIRST, 1)
    ]
    put(lake.root, BRONZE_EVENTS, delivered, partition)
    second = clean.run(lake, settings, run_date=SECOND)
    assert (second.rows["silver.interactions"], second.rows["repeated events"]) == (1, 1)

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
    assert arrow.read(lake.root, EVENT_IDENTITY).num_rows == 0
    assert report.warnings == (
        "the night of 2024-01-02 was taken in but never cleaned: "
        "topshelf clean --run-date 2024-01-02",
    )
    assert arrow.partition_rows(lake.root, ROW_ACCOUNTING) == {("2024-01-03",): 4}


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
    assert len(stored(lake.root, SILVER_INTERACTIONS)) == 3
    assert stored(lake.root, SILVER_ITEMS) == []
    clean.run(lake, settings, run_date=FIRST)
    clean.run(undisturbed, settings, run_date=FIRST)
    assert state(lake) == state(undisturbed)


def test_rows_that_arrive_while_a_night_is_cleaned_wait_for_the_next_time(
    lake: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path, EVENTS)
    take_in(lake, FIRST, ("u1", "i1", "1"))
    judge = silver.judge

    def judge_after_a_commit(
        bronze: DataFrame, mapping: SourceMapping, *, night: date
    ) -> DataFrame:
        if mapping.target == "events":
            take_in(lake, FIRST, ("u2", "i1", "1"), ("u3", "i1", "1"), batch="late")
        return judge(bronze, mapping, night=night)

    with monkeypatch.context() as patched:
        patched.setattr(silver, "judge", judge_after_a_commit)
        report = clean.run(lake, settings, run_date=FIRST)
    assert (report.rows["bronze.events"], report.rows["silver.interactions"]) == (1, 1)
    assert report.warnings == (
        "the night of 2024-01-02 was given rows after it was cleaned: "
        "topshelf clean --run-date 2024-01-02",
    )
    report = clean.run(lake, settings, run_date=FIRST)
    assert (report.rows["bronze.events"], report.rows["silver.interactions"]) == (3, 3)
    assert report.warnings == ()


def test_what_makes_an_event_s_id_changes_by_cleaning_the_past_again(
    lake: Lakehouse, tmp_path: Path
) -> None:
    before = settings_of(tmp_path, EVENTS)
    after = settings_of(tmp_path, EVENTS | {"duplicate_key": ["user_id", "item_id", "event_time"]})
    take_in(lake, FIRST, ("u1", "i1", "1"))
    take_in(lake, SECOND, ("u1", "i1", "2"), event_time="2024-01-01 10:00:00")
    clean.run(lake, before, run_date=FIRST)
    first = state(lake)

    with pytest.raises(ConfigurationError) as refused:
        clean.run(lake, after, run_date=SECOND)
    assert str(refused.value).splitlines() == [
        "source orders: what makes an event's id is not what it was on 2024-01-02, so an event of "
        "then that comes again would count twice. Nothing was written; there are three ways out",
        'source orders: duplicate_key was ["user_id", "item_id", "event_time", "event_type", '
        '"quantity", "value"] and is ["user_id", "item_id", "event_time"]',
        "1. Put these settings back.",
        "2. If the new ones are right for the old files too, clean the past again, oldest night "
        "first:",
        "   for night in 2024-01-02; do infra/run topshelf clean --run-date $night || break; done",
        "3. If files are written in another way from now on, leave the source as it was for the "
        "old ones and give the new ones a source of their own, with another name and path.",
    ]
    assert state(lake) == first

    for night in (FIRST, SECOND):
        report = clean.run(lake, after, run_date=night)
    assert (report.rows["silver.interactions"], report.rows["repeated events"]) == (0, 1)
    assert [row["quantity"] for row in state(lake)["silver.interactions"]] == [1.0]
    with pytest.raises(ConfigurationError, match="is not what it was on 2024-01-02"):
        clean.run(lake, before, run_date=SECOND)


def test_what_a_source_s_rows_say_about_its_mapping_is_told(
    lake: Lakehouse, tmp_path: Path
) -> None:
    views = EVENTS | {"name": "views", "constants": {"event_type": "view"}}
    settings = settings_of(tmp_path, EVENTS, views)
    take_in(lake, FIRST, ("17851", "i1", "1"), ("17851.0", "i2", "1"), ("7.0", "1.00", "1"))
    viewed = {"event_type": "view", "source": "views"}
    take_in(lake, FIRST, ("17851", "i1", "1"), ("7", "i.0", "1"), batch="c", **viewed)
    report = clean.run(lake, settings, run_date=FIRST)
    assert report.warnings == (
        "source orders: 2 of 3 rows have a value of user_id that ends in `.0`, as a number that "
        "was a decimal once; the same value without it counts as another. If they are one, add to "
        'the source: replacements = [{ column = "user_id", pattern = "\\\\.0+$" }]',
        "source orders: 1 of 3 rows have a value of item_id that ends in `.0`, as a number that "
        "was a decimal once; the same value without it counts as another. If they are one, add to "
        'the source: replacements = [{ column = "item_id", pattern = "\\\\.0+$" }]',
        "source views: all its 2 events are of kinds that [features] event_types = ['purchase'] "
        "leaves out, so nothing is learnt from them. Add their kind there, or take the source out.",
    )


def test_a_mapping_that_spark_cannot_apply_is_named(lake: Lakehouse, tmp_path: Path) -> None:
    python_only = {"name": "odd", "column": "item_id", "pattern": "(?P<number>1)"}
    till = EVENTS | {"name": "till", "reject": [python_only]}
    take_in(lake, FIRST, ("u1", "i1", "1"))
    take_in(lake, FIRST, ("u1", "i1", "1"), batch="c", source="till")
    with pytest.raises(DataError, match=r"^source till: Spark cannot clean its rows \(\[INVALID_"):
        clean.run(lake, settings_of(tmp_path, EVENTS, till), run_date=FIRST)
    assert state(lake) == {table.full_name: [] for table in SILVER}
