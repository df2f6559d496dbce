"""Fixtures that several test modules share: a Spark session per test process, a lake per test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lakehouse.io.lake import Lakehouse
from lakehouse.io.session import spark_session
from tests.scheduled_night import airflow, airflow_home, night, shop_folder, shops

__all__ = ["airflow", "airflow_home", "night", "shop_folder", "shops"]

# Compiling each query costs more than running it on a handful of rows; the end-to-end test runs as
# a night does.
FOR_FEW_ROWS = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.shuffle.partitions": "1",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Run a file's tests in one process, and in one too all that use the running Airflow."""
    for item in items:
        shared = "airflow" in item.fixturenames
        item.add_marker(pytest.mark.xdist_group("airflow" if shared else str(item.path)))


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    with spark_session("tests") as session:
        for name, value in FOR_FEW_ROWS.items():
            session.conf.set(name, value)
        yield session


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lakehouse:
    return Lakehouse(spark, tmp_path / "lake")
