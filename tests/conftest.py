"""Fixtures that several test modules share: a Spark session per test process, a lake per test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from xdist.scheduler.loadfile import LoadFileScheduling

from lakehouse.io.lake import Lakehouse
from lakehouse.io.session import spark_session
from tests.scheduled_night import airflow, airflow_home, night, shop_folder, shops
from tests.spark_settings import FEW_ROWS, SHORT_LIFE, write_settings

__all__ = ["airflow", "airflow_home", "night", "shop_folder", "shops"]

WITH_AIRFLOW = {"tests/dags/test_airflow.py", "tests/test_end_to_end.py"}


class SharedProcess(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """A file's tests run in one process, and so do all that use the running Airflow."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "airflow" if file in WITH_AIRFLOW else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SharedProcess:
    return SharedProcess(config, log)


@pytest.fixture(scope="session", autouse=True)
def spark_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Spark's settings of this process and those that it starts, but for the scheduled night's."""
    folder = tmp_path_factory.mktemp("spark") / "conf"
    write_settings(folder, SHORT_LIFE, FEW_ROWS)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SPARK_CONF_DIR", str(folder))
        yield


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    with spark_session("tests") as session:
        yield session


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lakehouse:
    return Lakehouse(spark, tmp_path / "lake")
