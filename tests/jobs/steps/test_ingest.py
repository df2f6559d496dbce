"""Taking files in: whole nights through real Spark, Delta and Great Expectations."""

import shutil
import signal
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.config.settings import Settings
from jobs.steps import ingest
from lakehouse.clean.row_accounting import Tally, accounting_rows
from lakehouse.errors import DataError, DataQualityError
from lakehouse.ingest.files import read_register
from lakehouse.io import arrow
from lakehouse.io.lake import Lakehouse
from lakehouse.locks import lock_path
from lakehouse.tables import (
    BRONZE_EVENTS,
    BRONZE_FILES,
    BRONZE_ITEMS,
    BRONZE_USERS,
    ROW_ACCOUNTING,
    Table,
)
from tests.killing import is_locked, kill, kill_at_write, start
from tests.landed import EVENTS, HEADER, ITEMS, USERS, land, settings_of, toml_of
from tests.rows import stored

FIRST, SECOND = date(2024, 1, 2), date(2024, 1, 3)
NO_FEEDBACK = {"bronze.feedback": 0}
BRONZE = (BRONZE_FILES, BRONZE_EVENTS, BRONZE_ITEMS, BRONZE_USERS)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path, EVENTS, ITEMS, USERS)


@pytest.fixture
def shop(settings: Settings) -> Settings:
    """A landing folder with a catalogue, users and the orders of two days."""
    land(settings, "products.csv", "item,name,department", "i1,Apple,FRUIT", "i2,Pear,FRUIT")
    land(settings, "customers.csv", "user,age,town", "u1,35,")
    land(settings, "2024-01-01.csv", HEADER, "u1,i1,2024-01-01,1,2.5", "u2,i2,2024-01-01,2,")
    land(settings, "2024-01-02.csv", HEADER, "u1,i1,2024-01-02,1,2.5")
    return settings


def state(lake: Lakehouse) -> dict[str, list[dict[str, Any]]]:
    return {table.full_name: stored(lake.root, table) for table in BRONZE}


def undisturbed(lake: Lakehouse, settings: Settings, *nights: date) -> dict[str, Any]:
    """The state to which nothing but these nights, one after the other, would have led."""
    other = Lakehouse(lake.spark, lake.root.parent / "undisturbed")
    for night in nights:
        ingest.run(other, settings, run_date=night)
    return state(other)


def versions(lake: Lakehouse) -> dict[str, int | None]:
    return {table.full_name: lake.version(table) for table in BRONZE}


@pytest.fixture
def fail_at_write(monkeypatch: pytest.MonkeyPatch) -> Callable[[Table], None]:
    """Let the write of a table fail once, as a full disk would."""

    def arrange(table: Table) -> None:
        replace = Lakehouse.replace

        def fail(self: Lakehouse, written: Table, *args: Any) -> None:
            if written is table:
                monkeypatch.undo()
                raise OSError("no space left on device")
            replace(self, written, *args)

        monkeypatch.setattr(Lakehouse, "replace", fail)

    return arrange


def test_nights_are_taken_in_once(lake: Lakehouse, shop: Settings) -> None:
    report = ingest.run(lake, shop, run_date=FIRST)
    assert report.rows == {"bronze.events": 2, "bronze.items": 2, "bronze.users": 1, **NO_FEEDBACK}
    assert report.warnings == ()
    facts: Mapping[str, Any] = report.facts
    [batch] = facts["batches"]
    assert report.facts["files"] == {"loaded": 3}
    lineage = {"ingest_batch": batch, "ingest_date": FIRST, "row_number": 1}
    nothing = {"extra": None, "corrupt_record": None, "corrupt_rule": None}
    [user] = stored(lake.root, BRONZE_USERS)
    assert user == lineage | nothing | {
        "user_id": "u1",
        "attributes": {"age": "35", "town": None},
        "source": "customers",
        "source_file": "customers.csv",
    }
    assert [row["title"] for row in stored(lake.root, BRONZE_ITEMS)] == ["Apple", "Pear"]
    assert [
        (row["user_id"], row["value"], row["source_file"], row["row_number"], row["ingest_date"])
        for row in stored(lake.root, BRONZE_EVENTS)
    ] == [("u1", "2.5", "2024-01-01.csv", 1, FIRST), ("u2", None, "2024-01-01.csv", 2, FIRST)]

    after_first = versions(lake)
    again = ingest.run(lake, shop, run_date=FIRST)
    assert (again.rows, again.facts["new_files"]) == (report.rows, {})
    assert versions(lake) == after_first

    second = ingest.run(lake, shop, run_date=SECOND)
    assert second.rows == {"bronze.events": 1, "bronze.items": 0, "bronze.users": 0, **NO_FEEDBACK}
    assert [
        (row.source, row.source_file, row.status, row.ingest_date)
        for row in read_register(lake.root)
    ] == [
        ("customers", "customers.csv", "loaded", FIRST),
        ("orders", "2024-01-01.csv", "loaded", FIRST),
        ("products", "products.csv", "loaded", FIRST),
        ("orders", "2024-01-02.csv", "loaded", SECOND),
    ]
    after_second = state(lake)
    ingest.run(lake, shop, run_date=FIRST)
    assert state(lake) == after_second


def test_a_late_file_joins_the_night_that_finds_it(lake: Lakehouse, shop: Settings) -> None:
    ingest.run(lake, shop, run_date=FIRST)
    land(shop, "2023-12-31.csv", HEADER, "u9,i1,2023-12-31,1,1")
    report = ingest.run(lake, shop, run_date=FIRST)
    assert report.rows["bronze.events"] == 3
    assert report.facts["files"] == {"loaded": 4}
    facts: Mapping[str, Any] = report.facts
    assert len(set(facts["batches"])) == 2


def test_empty_and_repeated_files_are_registered_without_rows(
    lake: Lakehouse, settings: Settings
) -> None:
    settings = settings_of(settings.paths.lake.parent, EVENTS | {"path": "*.csv*"})
    lines = (HEADER, "u1,i1,2024-01-01,1,2.5")
    land(settings, "a.csv", *lines)
    land(settings, "b.csv", *lines)
    land(settings, "c.csv", HEADER)
    land(settings, "d.csv")
    report = ingest.run(lake, settings, run_date=FIRST)
    assert report.rows["bronze.events"] == 1
    assert report.facts["files"] == {"loaded": 1, "duplicate": 1, "empty": 2}
    land(settings, "e.csv", *lines)
    assert ingest.run(lake, settings, run_date=SECOND).rows["bronze.events"] == 0
    assert [row.status for row in read_register(lake.root)] == [
        "loaded",
        "duplicate",
        "empty",
        "empty",
        "duplicate",
    ]


def test_a_catalogue_that_is_corrected_back_is_in_force(
    lake: Lakehouse, settings: Settings
) -> None:
    settings = settings_of(settings.paths.lake.parent, EVENTS, ITEMS)
    land(settings, "2024-01-01.csv", HEADER, "u1,i1,2024-01-01,1,2")
    land(settings, "2024-01-02.csv", HEADER, "u1,i1,2024-01-02,1,2")
    right, wrong = ("item,name,department", "i1,Apple,F"), ("item,name,department", "i1,Pear,F")
    for name, lines in (("products1.csv", right), ("products2.csv", wrong)):
        land(settings, name, *lines)
    ingest.run(lake, settings, run_date=FIRST)
    land(settings, "products3.csv", *right)
    land(settings, "products4.csv", *right)
    report = ingest.run(lake, settings, run_date=SECOND)
    assert report.facts["new_files"] == {"loaded": 2, "duplicate": 1}
    assert report.warnings == (
        "source products: file products3.csv has the bytes of products1.csv, taken in for "
        "2024-01-02; other files of the source came since, so it is taken in once more",
        "source products: file products4.csv has the bytes of products3.csv, taken in for "
        "2024-01-03; it is left out",
    )
    assert [
        (row["source_file"], row["title"])
        for row in stored(lake.root, BRONZE_ITEMS)
        if row["ingest_date"] == SECOND
    ] == [("products3.csv", "Apple")]


def test_one_file_may_feed_events_and_catalogue(lake: Lakehouse, settings: Settings) -> None:
    catalogue = ITEMS | {"path": EVENTS["path"], "columns": {"item_id": "item", "title": "name"}}
    settings = settings_of(settings.paths.lake.parent, EVENTS, catalogue)
    lines = (f"{HEADER},name,note", "u1,i1,2024-01-01,1,2,Apple,x", "u2,i1,2024-01-01,1,2,Pear,y")
    land(settings, "2024-01-01.csv", *lines)
    land(settings, "2023-12-31.csv", *lines)
    report = ingest.run(lake, settings, run_date=FIRST)
    assert report.rows == {"bronze.events": 2, "bronze.items": 2, "bronze.users": 0, **NO_FEEDBACK}
    assert report.facts["new_files"] == {"loaded": 2, "duplicate": 2}
    assert report.facts["lines"] == {
        source: {name: {"lines": 3, "rows": 2} for name in ("2023-12-31.csv", "2024-01-01.csv")}
        for source in ("orders", "products")
    }
    for table, extra in ((BRONZE_EVENTS, {"note": "x"}), (BRONZE_ITEMS, {"note": "x"})):
        [row] = [row for row in stored(lake.root, table) if row["row_number"] == 1]
        assert (row["item_id"], row["extra"]) == ("i1", extra)
    assert [w for w in report.warnings if "mapping" in w] == [
        f"source {source}: column note of 2 file(s), the first 2023-12-31.csv, is not in the "
        "mapping; it is kept in `extra`"
        for source in ("orders", "products")
    ]


def test_a_mapping_that_fits_no_row_is_named_before_anything_is_written(
    lake: Lakehouse, settings: Settings
) -> None:
    settings = settings_of(settings.paths.lake.parent, EVENTS)
    land(
        settings, "2024-01-01.csv", HEADER, *[f"u{n},i1,{n:02}.01.2024,1,2" for n in range(10, 25)]
    )
    with pytest.raises(DataError) as raised:
        ingest.run(lake, settings, run_date=FIRST)
    assert str(raised.value) == (
        "source orders: the rule event_time_invalid rejects each of the first 15 rows of file "
        "2024-01-01.csv; event_time is written like '99.99.9999' (9: a digit, a: a letter). "
        "Nothing was written. Correct the source's mapping in the configuration, or take the file "
        "out of the landing folder."
    )
    assert read_register(lake.root) == []


def test_a_night_without_files_is_empty_and_says_so(lake: Lakehouse, shop: Settings) -> None:
    ingest.run(lake, shop, run_date=SECOND)
    before = versions(lake)
    report = ingest.run(lake, shop, run_date=date(2024, 1, 5))
    assert report.rows == {"bronze.events": 0, "bronze.items": 0, "bronze.users": 0, **NO_FEEDBACK}
    assert report.warnings == ("source orders: no new file for the night of 2024-01-05",)
    assert versions(lake) == before


def test_columns_that_nobody_named_are_kept_and_told(lake: Lakehouse, settings: Settings) -> None:
    clicks = EVENTS | {"name": "clicks", "format": "jsonl", "path": "clicks.jsonl"}
    clicks["columns"] = EVENTS["columns"] | {"store_id": "shop"}
    settings = settings_of(settings.paths.lake.parent, EVENTS, clicks)
    land(settings, "2024-01-01.csv", f"{HEADER},colour", "u1,i1,2024-01-01,1,2.5,red")
    land(settings, "clicks.jsonl", '{"user": "u1", "device": "phone", "shop": 3}', "{broken")
    report = ingest.run(lake, settings, run_date=FIRST)
    assert report.warnings == (
        "source orders: column colour of 1 file(s), the first 2024-01-01.csv, is not in the "
        "mapping; it is kept in `extra`",
        "source clicks: 1 row(s) of file clicks.jsonl, the first number 2, cannot be read "
        "(corrupt_record) and go to the quarantine",
        "source clicks: key device is not in the mapping; it is kept in `extra`",
    )
    assert [(row["extra"], row["corrupt_record"]) for row in stored(lake.root, BRONZE_EVENTS)] == [
        ({"colour": "red"}, None),
        ({"device": "phone"}, None),
        (None, "{broken"),
    ]


def test_no_landing_folder(lake: Lakehouse, settings: Settings) -> None:
    with pytest.raises(DataError, match=f"no landing folder at {settings.paths.landing}"):
        ingest.run(lake, settings, run_date=FIRST)


def test_a_source_that_never_had_a_file(lake: Lakehouse, shop: Settings) -> None:
    (shop.paths.landing / "customers.csv").unlink()
    with pytest.raises(DataError, match=r"source customers: no file customers\.csv dated before"):
        ingest.run(lake, shop, run_date=FIRST)
    assert state(lake) == {table.full_name: [] for table in BRONZE}


def test_an_unreadable_file_stops_the_night_before_anything_is_written(
    lake: Lakehouse, shop: Settings
) -> None:
    broken = land(shop, "2024-01-01.csv", "user,item,when,quantity,paid")
    with pytest.raises(DataError, match=r"file 2024-01-01\.csv has no column time;"):
        ingest.run(lake, shop, run_date=FIRST)
    broken.write_bytes(b"")
    gzipped = EVENTS | {"name": "more", "path": "more.csv.gz"}
    with_more = settings_of(shop.paths.lake.parent, EVENTS, ITEMS, USERS, gzipped)
    whole = land(with_more, "more.csv.gz", HEADER, *[f"u{n},i,x,1,1" for n in range(1_000)])
    whole.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"source more: file more\.csv\.gz cannot be read"):
        ingest.run(lake, with_more, run_date=FIRST)
    assert state(lake) == {table.full_name: [] for table in BRONZE}


def test_a_file_that_changed_since_is_refused(lake: Lakehouse, shop: Settings) -> None:
    ingest.run(lake, shop, run_date=FIRST)
    before = versions(lake)
    land(shop, "2024-01-01.csv", HEADER, "u1,i1,2024-01-01,1,99")
    with pytest.raises(DataError, match=r"file 2024-01-01\.csv has other content"):
        ingest.run(lake, shop, run_date=SECOND)
    assert versions(lake) == before


def test_far_too_few_rows_stop_the_night(lake: Lakehouse, shop: Settings) -> None:
    for day in range(1, 8):
        night = date(2023, 12, day)
        rows = accounting_rows({"bronze.events": Tally(1_000, 1_000)}, night)
        arrow.replace(lake.root, ROW_ACCOUNTING, rows, {"ingest_date": night})
    with pytest.raises(DataQualityError, match=r"(?s)bronze\.events.*at least 100.*it is 2\."):
        ingest.run(lake, shop, run_date=FIRST)
    assert state(lake) == {table.full_name: [] for table in BRONZE}


def test_a_later_night_finishes_what_an_earlier_one_left(
    lake: Lakehouse, shop: Settings, fail_at_write: Callable[[Table], None]
) -> None:
    fail_at_write(BRONZE_EVENTS)
    with pytest.raises(OSError, match="no space left"):
        ingest.run(lake, shop, run_date=FIRST)
    assert len(read_register(lake.root)) == 3
    report = ingest.run(lake, shop, run_date=SECOND)
    assert report.warnings == (
        "the night of 2024-01-02 was interrupted; its batch is now whole. "
        "Run: topshelf clean --run-date 2024-01-02",
    )
    assert state(lake) == undisturbed(lake, shop, FIRST, SECOND)


def test_an_interrupted_batch_needs_its_files(
    lake: Lakehouse, shop: Settings, fail_at_write: Callable[[Table], None]
) -> None:
    fail_at_write(BRONZE_EVENTS)
    with pytest.raises(OSError, match="no space left"):
        ingest.run(lake, shop, run_date=FIRST)
    (shop.paths.landing / "2024-01-01.csv").unlink()
    with pytest.raises(DataError, match=r"\['2024-01-01\.csv'\] were registered by a run that was"):
        ingest.run(lake, shop, run_date=FIRST)


@pytest.fixture
def config(shop: Settings, tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(toml_of(shop))
    return path


def test_a_run_killed_between_two_tables_is_finished_by_the_next(
    lake: Lakehouse, shop: Settings, config: Path
) -> None:
    # The commits are: files, events, items, users.
    kill_at_write("ingest", config, FIRST, before=3)
    assert arrow.partition_rows(lake.root, BRONZE_ITEMS) == {}
    assert len(stored(lake.root, BRONZE_EVENTS)) == 2
    report = ingest.run(lake, shop, run_date=FIRST)
    assert report.rows == {"bronze.events": 2, "bronze.items": 2, "bronze.users": 1, **NO_FEEDBACK}
    assert state(lake) == undisturbed(lake, shop, FIRST)


def test_a_run_killed_at_any_moment_of_its_writes_leaves_no_trace(
    lake: Lakehouse, shop: Settings
) -> None:
    ingest.run(lake, shop, run_date=FIRST)
    first = state(lake)
    land(shop, "products-new.csv", "item,name,department", "i2,Green pear,FRUIT")
    killed, calm = (
        Lakehouse(lake.spark, shutil.copytree(lake.root, lake.root.with_name(name)))
        for name in ("killed", "calm")
    )
    paths = shop.paths.model_copy(update={"lake": killed.root})
    config = killed.root.with_suffix(".toml")
    config.write_text(toml_of(shop.model_copy(update={"paths": paths})))
    process = start("ingest", config, SECOND)
    while len(read_register(killed.root)) == len(first["bronze.files"]):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    # From its registration on a batch is written.
    time.sleep(np.random.default_rng(1).uniform(0, 2))
    kill(process)
    assert process.returncode == -signal.SIGKILL

    ingest.run(calm, shop, run_date=SECOND)
    whole = state(calm)
    for table, rows in state(killed).items():
        assert rows in (first[table], whole[table])
    ingest.run(killed, shop, run_date=SECOND)
    assert state(killed) == whole


def test_two_runs_of_one_night_at_once_end_as_one(
    lake: Lakehouse, shop: Settings, config: Path
) -> None:
    with start("ingest", config, FIRST) as other:
        while not is_locked(lock_path(lake.root, BRONZE_FILES)) and other.poll() is None:
            time.sleep(0.2)
        report = ingest.run(lake, shop, run_date=FIRST)
        output, _ = other.communicate()
    assert other.returncode == 0, output
    assert report.rows == {"bronze.events": 2, "bronze.items": 2, "bronze.users": 1, **NO_FEEDBACK}
    assert report.facts["new_files"] == {}
    assert state(lake) == undisturbed(lake, shop, FIRST)


def test_two_nights_at_once_in_two_processes_lose_nothing(
    lake: Lakehouse, shop: Settings, config: Path
) -> None:
    """Delta on a local disk guards commits inside one JVM only: without our lock one would win."""
    with start("ingest", config, FIRST) as other:
        while not is_locked(lock_path(lake.root, BRONZE_FILES)) and other.poll() is None:
            time.sleep(0.2)
        ingest.run(lake, shop, run_date=SECOND)
        output, _ = other.communicate()
    assert other.returncode == 0, output
    later_first = arrow.partition_rows(lake.root, BRONZE_FILES)
    nights = [SECOND, FIRST] if (str(FIRST),) not in later_first else [FIRST, SECOND]
    assert state(lake) == undisturbed(lake, shop, *nights)
