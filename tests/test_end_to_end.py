"""The made shop's night from landing files to look-ups, then a night that fails."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs.config.settings import Settings
from jobs.night.outcomes import keep, read_report
from jobs.reports.overview import Accounted, collect
from jobs.reports.page import page_path
from lakehouse.io import arrow
from lakehouse.io.lake import Lakehouse
from lakehouse.steps import STEPS
from lakehouse.tables import ALL_TABLES, OPS, RECOMMENDATIONS, Table
from serving.lookup import lookup
from serving.stores.opening import open_store
from tests.corner_shop import DEPARTMENTS, DISMISSED, ITEMS, NIGHT, SIZE, UNDELIVERED, USERS
from tests.scheduled_night import Night

# All but what became of the steps, where every run is another.
DATA = [table for table in ALL_TABLES if table not in OPS]


def contents(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """Every table's rows, sorted; a re-trained model has another version, hence another release."""
    return {table.full_name: _rows(settings, table) for table in DATA}


def _rows(settings: Settings, table: Table) -> list[dict[str, Any]]:
    if not arrow.exists(settings.paths.lake, table):
        return []
    rows: pa.Table = arrow.read(settings.paths.lake, table)
    if table is RECOMMENDATIONS:
        rows = rows.drop_columns(["model_version", "release"])
    return sorted(rows.to_pylist(), key=repr)


def versions(settings: Settings) -> dict[str, int]:
    lake = settings.paths.lake
    return {t.full_name: arrow.version(lake, t) for t in DATA if arrow.exists(lake, t)}


def test_every_step_ran_and_every_row_is_accounted_for(night: Night) -> None:
    overview = collect(night.settings, NIGHT)
    assert [*overview.steps, "report"] == [step.name for step in STEPS]
    assert overview.accepted
    assert overview.accounting == (
        Accounted("bronze.events", night.rows_landed, night.rows_landed - 2, 1, 1),
        Accounted("bronze.feedback", 3, 3, 0, 0),
        Accounted("bronze.items", ITEMS, ITEMS, 0, 0),
        Accounted("bronze.users", 0, 0, 0, 0),
    )
    assert overview.validations
    assert all(validation.passed for validation in overview.validations)


def test_nobody_but_the_owner_may_read_what_a_night_writes(night: Night) -> None:
    written = [
        path
        for top in night.folder.iterdir()
        if top.name != "landing"
        for path in (top, *top.rglob("*"))
        if path.name != "pyfunc.py"  # MLflow's copy of our own code, which is no secret
    ]
    names = {path.name for path in written}
    assert {"lake", "store", "runs", "data_quality", "mlflow.db", "artifacts", "CURRENT"} <= names
    assert [str(path) for path in written if path.stat().st_mode & 0o077] == []


def test_everybody_is_served_a_full_list_of_sellable_items(night: Night) -> None:
    fuel = {str(n) for n in range(ITEMS) if DEPARTMENTS[n % len(DEPARTMENTS)] == "FUEL"}
    bought = {
        (row["user_id"], row["item_id"]) for row in contents(night.settings)["silver.interactions"]
    }
    with open_store(night.settings.serving.store, "corner") as store:
        for user in (f"u{n}" for n in range(USERS)):
            for name in ("all", "discover"):
                answer = lookup(store, user, name)
                items = [item.item_id for item in answer.items]
                assert answer.personal
                assert len(set(items)) == SIZE
                assert not fuel & set(items)
                if name == "discover":
                    assert not {(user, item) for item in items} & bought
        stranger = lookup(store, "nobody", "all")
        assert not stranger.personal
        assert len(stranger.items) == SIZE


def test_what_the_api_kept_of_the_day_reaches_tables_lists_and_the_page(night: Night) -> None:
    tables = contents(night.settings)
    assert {row["event_type"] for row in tables["silver.feedback"]} == {
        "impression",
        "click",
        "dismissal",
    }
    [shown] = [row for row in tables["gold.feedback_daily"] if row["position"] == 1]
    assert (shown["surface"], shown["impressions"], shown["clicks"]) == ("all", 1, 1)
    # What goes best with everybody alike, and what one of them has dismissed.
    lists = [row for row in tables["gold.recommendations"] if row["item_id"] == DISMISSED[1]]
    whose = {row["user_id"] for row in lists if row["list"] in ("all", "discover")}
    assert len(whose) > 1
    assert DISMISSED[0] not in whose
    assert "What people did with their lists" in page_path(night.settings, NIGHT).read_text()


def test_the_command_line_prints_names_and_the_release(night: Night) -> None:
    done = subprocess.run(
        ["topshelf", "lookup", "--user", "u3"],
        env=os.environ | {"TOPSHELF_CONFIG": str(night.config)},
        capture_output=True,
        text=True,
        check=True,
    )
    published = read_report(night.settings.paths.lake, NIGHT, "publish")
    assert published is not None
    assert "Article" in done.stdout
    assert f"release {published.facts['release']}" in done.stdout


def test_a_backfill_leaves_what_was_published_alone(night: Night) -> None:
    done = subprocess.run(
        ["topshelf", "backfill", "--from", str(NIGHT), "--to", str(NIGHT)],
        env=os.environ | {"TOPSHELF_CONFIG": str(night.config)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"topshelf backfill: {NIGHT}: published before\n"


def test_the_page_stands_alone_and_links_to_data_docs_that_exist(night: Night) -> None:
    report = read_report(night.settings.paths.lake, NIGHT, "report")
    assert report is not None
    page = Path(str(report.facts["page"]))
    html = page.read_text()
    assert "http" not in html.replace("http-equiv", "")
    assert html.count('src="data:image/svg+xml;base64,') == html.count("<img") > 0
    link = html.split('<a href="')[1].split('"')[0]
    assert (page.parent / link).resolve() == Path(str(report.facts["data_docs"])).resolve()
    assert (page.parent / link).is_file()


def test_a_second_run_brings_the_same_tables(night: Night, spark: SparkSession) -> None:
    before = contents(night.settings)
    lake = Lakehouse(spark, night.settings.paths.lake)
    for step in STEPS:
        run = import_module(f"jobs.steps.{step.name}").run
        given = (lake, night.settings) if step.needs_spark else (night.settings,)
        paths = night.settings.paths
        keep(run(*given, run_date=NIGHT), lake=paths.lake, runs=paths.runs)
    assert contents(night.settings) == before


@pytest.fixture
def unreadable_delivery(night: Night) -> Iterator[str]:
    """A late file that lacks a column the mapping names."""
    path = night.settings.paths.landing / "till" / f"{UNDELIVERED}.csv"
    path.write_text(f"card,at,units,paid,receipt\nu1,{UNDELIVERED} 10:00:00,1,2.5,r\n")
    yield f"till/{UNDELIVERED}.csv"
    path.unlink()


def dags_test(night: Night, home: Path) -> subprocess.CompletedProcess[str]:
    """The night through `airflow dags test`, as the demo runs it."""
    return subprocess.run(
        ["airflow", "dags", "test", "nightly_recommendations", str(NIGHT)],
        env=os.environ | {"AIRFLOW_HOME": str(home), "TOPSHELF_CONFIG": str(night.config)},
        cwd=night.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_a_bad_file_fails_the_run_says_why_at_the_end_and_changes_nothing(
    night: Night, unreadable_delivery: str, airflow_home: Path, tmp_path: Path
) -> None:
    with open_store(night.settings.serving.store, "corner") as store:
        before = (versions(night.settings), store.pointer())
    shutil.copytree(airflow_home, tmp_path / "airflow")
    done = dags_test(night, tmp_path / "airflow")
    assert done.returncode != 0
    task_log = done.stdout[: done.stdout.index("[DAG TEST] end task task_id=bronze.ingest")]
    last_lines = task_log.splitlines()[-5:]
    assert any(
        f"topshelf ingest: source till: file {unreadable_delivery} has no column article; it has "
        "card, at, units, paid, receipt." in line
        for line in last_lines
    )
    assert any("exit code 3: a retry cannot help" in line for line in last_lines)
    assert "starting task_id=silver.clean" not in done.stdout
    assert "starting task_id=report" in done.stdout
    page = page_path(night.settings, NIGHT).read_text()
    assert "<h2>✗ ingest failed (exit code 3)</h2>" in page
    assert f"source till: file {unreadable_delivery} has no column article;" in page
    assert f"Release {before[1].current} is served." in page
    with open_store(night.settings.serving.store, "corner") as store:
        assert (versions(night.settings), store.pointer()) == before
