"""A Spark session whose JVM dies under it."""

import subprocess
import sys

import pytest

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


@pytest.mark.parametrize("moment", ["starts", "is told to stop"])
def test_a_jvm_that_dies_as_it_starts_or_stops_is_no_defect_of_ours(moment: str) -> None:
    code = f"""
from pyspark import SparkContext
from lakehouse.errors import InfrastructureError
from lakehouse.io.session import spark_session

def kill():
    process = SparkContext._gateway.proc
    process.kill()
    process.wait()

def dying(method):
    def call(self, *given, **named):
        kill()
        return method(self, *given, **named)
    return call

if {moment!r} == "starts":
    SparkContext._do_init = dying(SparkContext._do_init)
else:
    SparkContext.stop = dying(SparkContext.stop)
try:
    with spark_session("dying"):
        print("used")
except InfrastructureError as error:
    print(str(error).split(":")[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    expected = {"starts": "Spark does not start", "is told to stop": "used"}[moment]
    assert (done.stdout.strip(), done.returncode) == (expected, 0), done.stderr[-2000:]
