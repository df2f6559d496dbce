"""What a night of the future takes from the nights before it, and how it is taken back."""

from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli.main import app
from jobs.night.job_report import JobReport
from jobs.night.later_nights import later_events
from jobs.night.outcomes import keep, read_report
from jobs.operate.lake.undo_night import undo_night
from jobs.steps import ingest
from lakehouse.errors import DataError
from lakehouse.ingest.files import read_register
from lakehouse.io import arrow
from lakehouse.io.lake import Lakehouse
from lakehouse.tables import (
    BRONZE_EVENTS,
    BRONZE_FILES,
    ITEM_FEATURES,
    SILVER_INTERACTIONS,
)
from tests.landed import EVENTS, HEADER, ITEMS, land, settings_of, toml_of
from tests.rows import put, stored

FIRST, SECOND, FUTURE = date(2024, 1, 2), date(2024, 1, 3), date(2030, 1, 1)
REMEDY = (
    "If that night is a mistake, `topshelf undo-night` takes it back: see A night of the future in "
    "docs/operations.md"
)


def events(lake: Path, night: date, *days: int) -> None:
    made = [
        {"event_id": f"{night}-{n}", "event_date": date(2024, 1, day)} for n, day in enumerate(days)
    ]
    put(lake, SILVER_INTERACTIONS, made, {"ingest_date": night})


def test_events_that_a_later_night_took_in_are_counted(tmp_path: Path) -> None:
    assert later_events(tmp_path, FIRST) == ()
    events(tmp_path, FIRST, 1, 1)
    events(tmp_path, SECOND, 1, 2, 2)
    assert later_events(tmp_path, SECOND) == ()
    assert later_events(tmp_path, FIRST) == (
        "1 event(s) from before 2024-01-02 were taken in by the later night of 2024-01-03 and are "
        f"not part of this one. {REMEDY}",
    )
    events(tmp_path, FUTURE, 1, 2)
    assert later_events(tmp_path, FIRST) == (
        "2 event(s) from before 2024-01-02 were taken in by 2 later nights, the last that of "
        f"2030-01-01, and are not part of this one. {REMEDY}",
    )


def test_a_night_is_undone_in_every_table_and_no_other_is(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, EVENTS)
    lake = settings.paths.lake
    for night in (FIRST, FUTURE):
        events(lake, night, 1, 1)
        put(lake, BRONZE_FILES, [{"source_file": f"{night}.csv"}], {"ingest_date": night})
        put(lake, ITEM_FEATURES, [{"item_id": "i"}], {"run_date": night})
        keep(JobReport("features", night), lake=lake, runs=settings.paths.runs)
    assert undo_night(settings, FUTURE) == {
        "silver.interactions": 2,
        "gold.item_features": 1,
        "ops.runs": 1,
        "bronze.files": 1,
    }
    assert read_report(lake, FUTURE, "features") is None
    assert read_report(lake, FIRST, "features") == JobReport("features", FIRST)
    for table in (SILVER_INTERACTIONS, BRONZE_FILES):
        assert {r["ingest_date"] for r in arrow.read(lake, table).to_pylist()} == {FIRST}
    assert {r["run_date"] for r in arrow.read(lake, ITEM_FEATURES).to_pylist()} == {FIRST}
    with pytest.raises(DataError, match=r"has nothing of the night of 2030-01-01\.$"):
        undo_night(settings, FUTURE)


def test_the_files_of_a_future_night_are_missed_and_can_be_had_back(
    lake: Lakehouse, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path, EVENTS, ITEMS)
    config = tmp_path / "config.toml"
    config.write_text(toml_of(settings))
    land(settings, "products.csv", "item,name,department", "i1,Apple,FRUIT")
    land(settings, "2024-01-01.csv", HEADER, "u1,i1,2024-01-01,1,2.5")
    ingest.run(lake, settings, run_date=FUTURE)

    assert ingest.run(lake, settings, run_date=FIRST).warnings == (
        "source orders: no new file for the night of 2024-01-02",
        "1 file(s) from before 2024-01-02 were taken in by the later night of 2030-01-01 and are "
        f"not part of this one. {REMEDY}",
    )
    done = CliRunner().invoke(
        app, ["undo-night", "--run-date", "2030-01-01", "--config", str(config)]
    )
    assert done.exit_code == 0, done.stderr
    removed = "bronze.events 1, bronze.items 1, bronze.files 2"
    assert done.stdout == f"topshelf undo-night: rows removed: {removed}\n"
    assert ingest.run(lake, settings, run_date=FIRST).warnings == ()
    assert [(r["user_id"], r["ingest_date"]) for r in stored(lake.root, BRONZE_EVENTS)] == [
        ("u1", FIRST),
    ]
    assert [(r.source_file, r.ingest_date) for r in read_register(lake.root)] == [
        ("2024-01-01.csv", FIRST),
        ("products.csv", FIRST),
    ]
