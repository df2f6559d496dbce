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

__all__ = ["airflow", "airflow_home", "night", "shop_folder", "shops"]

WITH_AIRFLOW = {"tests/dags/test_airflow.py", "tests/test_end_to_end.py"}
# Compiling each query costs more than running it on a handful of rows; the end-to-end test runs as
# a night does.
FOR_FEW_ROWS = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.shuffle.partitions": "1",
}


class SharedProcess(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """A file's tests run in one process, and so do all that use the running Airflow."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "airflow" if file in WITH_AIRFLOW else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SharedProcess:
    return SharedProcess(config, log)


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    with spark_session("tests") as session:
        for name, value in FOR_FEW_ROWS.items():
            session.conf.set(name, value)
        yield session


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lakehouse:
    return Lakehouse(spark, tmp_path / "lake")
