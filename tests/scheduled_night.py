"""Fixtures: Airflow's real scheduler with a few shops, and one real night of the made shop.

The steps of two shops are only written down; those of `corner` are run. `conftest` puts all tests
that use them into one process.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.config.settings import Settings, load
from tests.airflow_server import Airflow, running_airflow, until
from tests.corner_shop import NIGHT, configure, land, react
from tests.project import ROOT

SHOPS = ("corner", "tools", "toys")
DAGS = {
    f"{dag}_{shop}"
    for dag in ("lakehouse_maintenance", "nightly_recommendations", "weekly_tuning")
    for shop in SHOPS
}


@dataclass(frozen=True)
class Night:
    """The made shop after a night whose ingest was killed, and whose train ran twice."""

    folder: Path
    config: Path
    settings: Settings
    rows_landed: int
    airflow: Airflow
    dag: str
    run: str
    state_after_kill: str
    final_state: str


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of Airflow whose database is prepared; copy it."""
    home = tmp_path_factory.mktemp("airflow") / "home"
    environment = os.environ | {"AIRFLOW_HOME": str(home)}
    subprocess.run([ROOT / "infra" / "airflow" / "init"], env=environment, check=True)
    return home


@pytest.fixture(scope="session")
def shop_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of the made shop."""
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="session")
def shops(shop_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six configurations, of which three can be run."""
    shops = tmp_path_factory.mktemp("shops")
    for file, name in {"toys": "toys", "tools": "tools", "one": "twins", "two": "twins"}.items():
        (shops / f"{file}.toml").write_text(f'[shop]\nname = "{name}"\n')
    (shops / "broken.toml").write_text('[shop]\nname = "broken\n')
    (shops / "corner.toml").write_text(configure(shop_folder))
    return shops


@pytest.fixture(scope="session")
def airflow(
    airflow_home: Path, shops: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Airflow]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copytree(airflow_home, folder / "airflow")
    with running_airflow(folder, shops) as airflow:
        # Those of the configuration that `init` read go as the shops' come.
        until(
            lambda: {dag["dag_id"] for dag in airflow.done("GET", "/api/v2/dags")["dags"]} == DAGS
        )
        yield airflow
    assert airflow.processes() == []


@pytest.fixture(scope="session")
def night(airflow: Airflow, shops: Path, shop_folder: Path) -> Night:
    """A night as it goes on after people stepped in: a task failed by hand, one run again."""
    config = shops / "corner.toml"
    settings = load(config)
    rows = land(settings.paths.landing)
    react(settings.paths.landing)
    dag = "nightly_recommendations_corner"
    airflow.unpause(dag)
    run = airflow.trigger(dag, run_date=str(NIGHT))
    until(lambda: airflow.processes("java", "ingest"))
    airflow.mark_failed(dag, run, "bronze.ingest")
    until(lambda: not airflow.processes("ingest"), seconds=60)
    state_after_kill = airflow.ends(dag, run)

    airflow.clear(dag, run, "bronze.ingest")
    until(lambda: airflow.processes("topshelf", "train"), seconds=900)
    # Cleared while it runs: what runs is ended, then it is run again.
    airflow.clear(dag, run, "model.train")
    final_state = airflow.ends(dag, run)
    return Night(
        shop_folder, config, settings, rows, airflow, dag, run, state_after_kill, final_state
    )
