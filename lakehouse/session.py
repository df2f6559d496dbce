"""The Spark session, configured by ``infra/spark`` and never in code.

``SPARK_CONF_DIR`` names the folder with ``spark-defaults.conf``; spark-submit and a plain Python
process read the same file, so a job behaves alike in a terminal, a test and Airflow.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from lakehouse.errors import InfrastructureError


@contextmanager
def spark_session(app_name: str) -> Iterator[SparkSession]:
    """Start (or join) the Spark session and stop it at the end.

    Raises ``InfrastructureError`` where Spark doesn't start or lacks the Delta extension, and where
    its JVM ends or runs out of memory while it is used.
    """
    try:
        spark = SparkSession.builder.appName(app_name).getOrCreate()
    except (PySparkException, RuntimeError, OSError) as error:
        raise InfrastructureError(
            f"Spark does not start: {error}. Check Java (17 or 21) and run `make setup`."
        ) from error
    if "DeltaSparkSessionExtension" not in (spark.conf.get("spark.sql.extensions", "") or ""):
        spark.stop()
        raise InfrastructureError(
            "Spark runs without Delta: SPARK_CONF_DIR does not name the folder that "
            "`make setup` wrote. Start through `topshelf`, `make` or infra/env.sh."
        )
    try:
        yield spark
    except (Py4JError, PySparkException, OSError) as error:
        if not _answers(spark):
            raise InfrastructureError(
                "Spark's JVM is gone: somebody stopped it, or the system did because memory ran "
                "out (`dmesg` says which). Give the machine more memory, or run again when less "
                "runs beside it; a step that is run again replaces what it had begun."
            ) from error
        if "java.lang.OutOfMemoryError" in str(error):
            raise InfrastructureError(
                "Spark's JVM ran out of memory. Raise `spark.driver.memory` in "
                "infra/spark/spark-defaults.conf, run `make setup`, then run again."
            ) from error
        raise
    finally:
        if _answers(spark):
            spark.stop()


def _answers(spark: SparkSession) -> bool:
    """Whether the JVM behind the session still runs."""
    try:
        return spark.sparkContext.defaultParallelism > 0
    except (Py4JError, OSError):
        return False
