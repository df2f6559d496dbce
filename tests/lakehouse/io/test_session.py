"""A Spark session whose JVM dies under it."""

import subprocess
import sys

from tests.project import ROOT

DYING = """
import os, signal
from lakehouse.errors import InfrastructureError
from lakehouse.io.session import spark_session

try:
    with spark_session("dying") as spark:
        jvm = spark.sparkContext._gateway.proc.pid
        os.kill(jvm, signal.SIGKILL)
        spark.range(10).count()
except InfrastructureError as error:
    print(error)
"""


def test_a_jvm_that_is_killed_is_an_infrastructure_failure() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DYING],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == (
        "Spark's JVM is gone: somebody stopped it, or the system did because memory ran out "
        "(`dmesg` says which). Give the machine more memory, or run again when less runs beside "
        "it; a step that is run again replaces what it had begun.\n"
    ), done.stderr
    assert done.returncode == 0
