"""Spark's settings for tests: those that `make setup` wrote, then what suits a handful of rows."""

import shutil
from pathlib import Path

from tests.project import ROOT

# A JVM that lives for seconds or minutes never earns back what its optimising compiler costs.
SHORT_LIFE = (
    "spark.driver.extraJavaOptions "
    "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC\n"
)
# Compiling and re-planning each query costs more than running it.
FEW_ROWS = """
spark.sql.codegen.wholeStage false
spark.sql.codegen.factoryMode NO_CODEGEN
spark.sql.adaptive.enabled false
spark.sql.shuffle.partitions 1
spark.databricks.delta.snapshotPartitions 1
"""


def write_settings(folder: Path, *settings: str) -> None:
    """Write a ``SPARK_CONF_DIR`` in which ``settings`` come after, so before, those of set-up."""
    shutil.copytree(ROOT / ".topshelf" / "spark-conf", folder)
    with (folder / "spark-defaults.conf").open("a", encoding="utf-8") as file:
        file.writelines(settings)
