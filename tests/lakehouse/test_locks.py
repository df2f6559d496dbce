import json
import logging
import os
import re
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

from lakehouse import locks
from lakehouse.errors import InfrastructureError
from lakehouse.locks import jvm_lock, lock_path, process_lock
from lakehouse.tables import BRONZE_EVENTS
from tests.killing import is_locked

HOLD = """
import sys, time
from pathlib import Path
from lakehouse.locks import process_lock
path = Path(sys.argv[1])
sys.argv = sys.argv[2:]
with process_lock(path):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def held_by_another_process(path: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), *command], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


def test_each_table_has_a_lock_of_its_own(tmp_path: Path) -> None:
    assert lock_path(tmp_path, BRONZE_EVENTS) == tmp_path / ".locks" / "bronze.events"


TRAIN = ("/venv/bin/topshelf", "train", "--config", "redis://:secret@x", "--run-date", "2024-03-01")
SINCE = r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"


def test_whoever_waits_says_for_whom_at_once_and_in_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "locks" / "table"
    caplog.set_level(logging.INFO, logger="lakehouse")
    with held_by_another_process(path, *TRAIN) as holder:
        with (
            pytest.raises(InfrastructureError) as caught,
            process_lock(path, wait_seconds=1),
        ):
            pass
        named = (
            rf"the lock {path}(, | is still )held by process {holder.pid} "
            rf"\(topshelf train --run-date 2024-03-01, {SINCE}\)"
        )
        (line,) = caplog.messages
        assert re.fullmatch(f"waiting for {named}", line)
        assert re.match(rf"after 1 s {named}\. Wait until it ends, or stop it", str(caught.value))
        holder.send_signal(signal.SIGKILL)
        with process_lock(path, wait_seconds=10):
            words = json.loads(path.read_text())
            # Closing the file has dropped the lock; nobody asks for it here.
            assert words["process"] == os.getpid()


def test_what_a_killed_holder_wrote_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "table"
    with held_by_another_process(path, "topshelf", "train") as holder:
        written = path.read_text()
        holder.kill()
    assert locks.holder(path) is None
    with held_by_another_process(path) as now:
        path.write_text(written)
        assert locks.holder(path) == f"process {now.pid}"
        path.write_text('{"process"')
        assert locks.holder(path) == f"process {now.pid}"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (TRAIN, "topshelf train --run-date 2024-03-01"),
        (["submit.py", "clean", "--run-date=2024-03-01"], "topshelf clean --run-date 2024-03-01"),
        (["/x/topshelf", "promote", "topshelf/3", "--who", "Ann"], "topshelf promote"),
        (["/x/pytest", "secret"], "pytest"),
        (["topshelf", "--help"], "topshelf"),
        ([""], "python"),
    ],
)
def test_the_command_is_named_without_its_values(
    arguments: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", list(arguments))
    with process_lock(tmp_path / "table"):
        assert json.loads((tmp_path / "table").read_text())["command"] == named


def test_a_lock_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("a file where the folder should be")
    with (
        pytest.raises(InfrastructureError, match=r"locks/table cannot be written: .*run again"),
        process_lock(tmp_path / "locks" / "table"),
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


def test_a_thread_says_that_it_waits_for_another_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="lakehouse")
    path = tmp_path / "table"
    with process_lock(path):
        attempt = threading.Thread(target=_fail_to_lock, args=(path,))
        attempt.start()
        attempt.join()
    other = f"another thread of this process ({os.getpid()})"
    assert caplog.messages == [f"waiting for the lock {path}, held by {other}"]


def test_java_and_python_fence_each_other_off_and_are_named(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table"
    with (
        held_by_another_process(path, *TRAIN) as python,
        pytest.raises(InfrastructureError, match=rf"by process {python.pid} \(topshelf train"),
        jvm_lock(spark._jvm, path, wait_seconds=0.3),
    ):
        pass
    assert spark._jvm is not None
    jvm = spark._jvm.java.lang.ProcessHandle.current().pid()
    monkeypatch.setattr(sys, "argv", ["submit.py", "clean", "--run-date", "2024-03-01"])
    with jvm_lock(spark._jvm, path):
        assert is_locked(path)
        words = rf"process {jvm} \(topshelf clean --run-date 2024-03-01, {SINCE}\)"
        assert re.fullmatch(words, str(locks.holder(path)))
    assert not is_locked(path)
    assert locks.holder(path) is None


def _fail_to_lock(path: Path) -> None:
    with pytest.raises(InfrastructureError), process_lock(path, wait_seconds=0.1):
        pass
