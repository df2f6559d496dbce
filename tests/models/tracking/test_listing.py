"""Versions and decisions read from the database, against what MLflow's own client says of it."""

import os
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.request
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest
from rich.console import Console

from jobs.config.settings import Settings
from jobs.night.registry import open_registry
from jobs.operate.model_versions import models
from models.tracking import database as tracking_database
from models.tracking.decisions import Decision, record, recorded
from models.tracking.listing import SCHEMA, Listing, read
from models.tracking.registry import Registry
from tests.models.tracking.test_registry import train
from tests.nights import settings_in


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
def registry(settings: Settings, tmp_path: Path) -> Registry:
    """Three versions with verdicts, figures and decisions, and what no list may show."""
    registry = open_registry(settings)
    first, second, third, deleted = (
        train(registry, tmp_path / f"model-{number}") for number in range(4)
    )
    for version, passed, figure in ((first, True, 0.25), (second, False, 0.5)):
        page = "## Gate\n\n"
        figures = {"all/ndcg_at_10": 0.125, "all/gain": -0.5, "discover/ndcg_at_10": figure}
        registry.judge(version, passed=passed, reasons=[], figures=figures, text="", page=page)
    # Of a metric that was logged again the newest value counts.
    registry.client.log_metric(first.run_id, "all/ndcg_at_10", 0.375)
    registry.make_champion(first)
    record(registry, Decision("promoted", second.label, first.label, "Ann", "a try"), second)
    registry.make_champion(second)
    record(registry, Decision("demoted", second.label, second.label, "Bob", "worse"), second)
    registry.set_alias("favourite", third)
    registry.client.delete_model_version(registry.model, str(deleted.number))
    experiment = registry.client.get_experiment_by_name("nightly decisions")
    assert experiment is not None
    withdrawn = registry.client.create_run(experiment.experiment_id)
    registry.client.delete_run(withdrawn.info.run_id)
    other = Registry(
        registry.tracking_uri,
        tmp_path / "artifacts",
        experiment="other",
        model="other",
        shop="other",
    )
    train(other, tmp_path / "other")
    return registry


def of(settings: Settings, tracking_uri: str | None = None) -> Listing | None:
    mlflow = settings.mlflow
    return read(tracking_uri or mlflow.tracking_uri, mlflow.model, mlflow.experiment)


def shown(settings: Settings) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(models(settings))
    return captured.get()


def test_the_database_says_what_mlflow_says(settings: Settings, registry: Registry) -> None:
    found = of(settings)
    assert found == Listing(registry.listed(), recorded(registry)), (
        "compare models/tracking/listing.py with the tables of this MLflow, then name its schema"
    )
    third, second, first = found.versions
    assert [entry.version.label for entry in found.versions] == [
        "topshelf/3",
        "topshelf/2",
        "topshelf/1",
    ]
    assert (third.aliases, third.metrics, third.version.verdict) == (("favourite",), {}, None)
    assert (second.aliases, second.version.decision) == (("champion",), "demoted")
    assert (second.version.verdict, second.version.took_over_from) == ("refused", 1)
    assert first.metrics == {
        "all/ndcg_at_10": 0.375,
        "all/gain": -0.5,
        "discover/ndcg_at_10": 0.25,
    }
    assert [(one.decision.who, one.complete) for one in found.decisions] == [
        ("Ann", True),
        ("Bob", True),
    ]


def test_the_schema_is_that_of_the_locked_mlflow() -> None:
    assert tracking_database._newest_revision() == SCHEMA


def test_a_decision_under_way_and_a_metric_that_is_no_number(
    settings: Settings, registry: Registry
) -> None:
    version = registry.version("3")
    registry.client.log_metric(version.run_id, "all/gain", float("nan"))
    before = of(settings)
    assert before is not None
    assert before.versions[0].metrics == {}
    experiment = registry.client.get_experiment_by_name("nightly decisions")
    assert experiment is not None
    made = before.decisions[0].decision
    tags = {
        "decision": made.action,
        "decision.version": made.version,
        "decision.champion_before": made.champion_before,
        "decision.who": "Eve",
        "decision.why": made.why,
    }
    registry.client.create_run(experiment.experiment_id, tags=tags)
    after = of(settings)
    assert after is not None
    assert [(one.decision.who, one.complete) for one in after.decisions] == [
        ("Ann", True),
        ("Bob", True),
        ("Eve", False),
    ]


def test_reading_writes_nothing(settings: Settings, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tmp_path.glob("mlflow.db*")}
    assert of(settings) == Listing((), ())
    assert {path: path.read_bytes() for path in tmp_path.glob("mlflow.db*")} == before


def test_mlflow_is_asked_where_the_database_cannot_tell(settings: Settings, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('a8b9c0d1e2f3')")
        database.commit()
    (tmp_path / "damaged.db").write_bytes(b"no database at all" * 100)
    (tmp_path / "empty.db").touch()
    for address in (
        *(f"sqlite:///{tmp_path}/{name}.db" for name in ("other", "damaged", "empty", "none")),
        "sqlite:///:memory:",
        f"sqlite:///{tmp_path}/mlflow.db?timeout=5",
        "http://127.0.0.1:5000",
        "postgresql://me:secret@host/mlflow",
    ):
        assert of(settings, address) is None, address
    assert not (tmp_path / "none.db").exists()


def test_the_served_page_is_this_machine_s_and_gives_the_same_list(
    settings: Settings, registry: Registry, tmp_path: Path
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        ("topshelf", "mlflow", "--port", str(port), "--config", str(tmp_path / "config.toml")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(address)
        mlflow = settings.mlflow.model_copy(update={"tracking_uri": address})
        elsewhere = settings.model_copy(update={"mlflow": mlflow})
        assert shown(elsewhere) == shown(settings)
        assert b"<title>MLflow</title>" in page(port, f"topshelf.localhost:{port}")
        assert b"DNS rebinding" in page(port, "elsewhere.example")
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        process.wait()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def page(port: int, host: str) -> bytes:
    """What the server answers to a browser that calls it by the name ``host``."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    with closing(connection):
        connection.request("GET", "/", headers={"Host": host})
        return connection.getresponse().read()


def wait_for(address: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(f"{address}/health"):  # noqa: S310
            return
        time.sleep(0.2)
    raise TimeoutError(address)
