"""The Spark session, configured by ``infra/spark`` and never in code.

``SPARK_CONF_DIR`` names the folder with ``spark-defaults.conf``; spark-submit and a plain Python
process read the same file, so a job behaves alike in a terminal, a test and Airflow.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from lakehouse.errors import DataError, InfrastructureError, TopshelfError

# What Spark says of a file, the end of the sentence left out.
_UNREADABLE: Final = re.compile(
    r"FAILED_READ_FILE.*? reading file (?:file:/*(?=/))?(\S+?)\.?(?:\s|$)"
)


@contextmanager
def spark_session(app_name: str) -> Iterator[SparkSession]:
    """Start (or join) the Spark session and stop it at the end.

    Raises ``InfrastructureError`` where Spark doesn't start or lacks the Delta extension, and where
    its JVM ends or runs out of memory while it is used. Raises ``DataError`` where Spark cannot
    read a file, e.g. as its checksum is wrong.
    """
    try:
        spark = SparkSession.builder.appName(app_name).getOrCreate()
        extensions = spark.conf.get("spark.sql.extensions", "") or ""
    except (Py4JError, PySparkException, RuntimeError, OSError) as error:
        raise InfrastructureError(
            f"Spark does not start: {error}. Check Java (17 or 21) and run `make setup`; where its "
            "JVM was stopped meanwhile, run again."
        ) from error
    if "DeltaSparkSessionExtension" not in extensions:
        spark.stop()
        raise InfrastructureError(
            "Spark runs without Delta: SPARK_CONF_DIR does not name the folder that "
            "`make setup` wrote. Start through `topshelf`, `make` or infra/env.sh."
        )
    try:
        with naming_unreadable_files():
            yield spark
    except TopshelfError:
        raise
    except Exception as error:
        # Without a JVM, its classes are missing in ways that have no type in common.
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
        # It may end before it is told to: then there is nothing left to stop.
        with suppress(Py4JError, PySparkException, OSError):
            if _answers(spark):
                spark.stop()


@contextmanager
def naming_unreadable_files() -> Iterator[None]:
    """Raise ``DataError`` with the file that Spark cannot read, e.g. as its checksum is wrong."""
    try:
        yield
    except (Py4JError, PySparkException) as error:
        unreadable = _UNREADABLE.search(str(error))
        if unreadable is None:
            raise
        raise DataError(
            f"file {unreadable[1]} is missing or damaged. Restore it from a "
            "backup, or run the step that wrote it again for the same night."
        ) from error


def _answers(spark: SparkSession) -> bool:
    """Whether the JVM behind the session still runs."""
    try:
        return spark.sparkContext.defaultParallelism > 0
    except (Py4JError, OSError, AttributeError, TypeError):
        return False
