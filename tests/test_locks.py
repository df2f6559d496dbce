import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lakehouse.errors import InfrastructureError
from lakehouse.locks import jvm_lock, lock_path, process_lock
from lakehouse.tables import BRONZE_EVENTS
from tests.killing import is_locked

HOLD = """
import sys, time
from pathlib import Path
from lakehouse.locks import process_lock
with process_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def held_by_another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


def test_each_table_has_a_lock_of_its_own(tmp_path: Path) -> None:
    assert lock_path(tmp_path, BRONZE_EVENTS) == tmp_path / ".locks" / "bronze.events"


def test_a_lock_held_by_another_process_is_named(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "table"
    with (
        held_by_another_process(path),
        pytest.raises(InfrastructureError, match=rf"another run holds the lock {path}"),
        process_lock(path, wait_seconds=0.3),
    ):
        pass


def test_a_killed_holder_gives_the_lock_back(tmp_path: Path) -> None:
    with held_by_another_process(tmp_path / "table") as holder:
        os.kill(holder.pid, signal.SIGKILL)
        with process_lock(tmp_path / "table", wait_seconds=10):
            pass


def test_threads_take_turns(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def enter() -> None:
        with process_lock(tmp_path / "table"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5


def test_a_second_thread_does_not_drop_the_lock_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "table"
    with process_lock(path):
        attempt = threading.Thread(target=_fail_to_lock, args=(path,))
        attempt.start()
        attempt.join()
        assert is_locked(path)
    assert not is_locked(path)


def test_java_and_python_fence_each_other_off(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "table"
    with (
        held_by_another_process(path),
        pytest.raises(InfrastructureError),
        jvm_lock(spark._jvm, path, wait_seconds=0.3),
    ):
        pass
    with jvm_lock(spark._jvm, path):
        assert is_locked(path)
    assert not is_locked(path)


def _fail_to_lock(path: Path) -> None:
    with pytest.raises(InfrastructureError), process_lock(path, wait_seconds=0.1):
        pass
