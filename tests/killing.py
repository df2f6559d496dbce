"""A step that dies as on a machine that loses power, and steps in processes of their own.

``kill_at_write`` runs a step in a new process and kills it and its JVM (SIGKILL) right before one
of its Delta commits. ``forked`` starts processes without a JVM, of which a test kills many.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from importlib import import_module
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tests.project import ROOT


def kill_at_write(step: str, config: Path, run_date: date, *, before: int) -> None:
    """Run ``jobs.steps.<step>`` until its ``before``-th Delta commit is due, then kill it."""
    process = _start(step, config, run_date, before)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL, output


def kill(process: "subprocess.Popen[str]") -> None:
    """Kill a started step and its JVM at once."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def start(step: str, config: Path, run_date: date) -> subprocess.Popen[str]:
    """Start ``jobs.steps.<step>`` in a process of its own."""
    return _start(step, config, run_date, before=0)


def forked(target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Start ``target`` in a process of its own, forked from one that has imported the steps."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["jobs.steps.gate", "jobs.steps.recommend"])
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock file, as a new process sees it."""
    code = (
        "import fcntl, sys\n"
        "with open(sys.argv[1], 'a') as file:\n"
        "    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    return "BlockingIOError" in done.stderr


def _start(step: str, config: Path, run_date: date, before: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.killing", step, str(config), str(run_date), str(before)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        cwd=ROOT,
    )


def _main(step: str, config: str, run_date: str, before: str) -> None:
    from jobs.config.settings import load  # noqa: PLC0415 (only the child pays for these imports)
    from lakehouse.io import arrow  # noqa: PLC0415
    from lakehouse.io.lake import Lakehouse  # noqa: PLC0415
    from lakehouse.io.session import spark_session  # noqa: PLC0415

    writes = 0

    def counted(write: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any) -> Any:
            nonlocal writes
            writes += 1
            if writes == int(before):
                os.killpg(0, signal.SIGKILL)
            return write(*args)

        return count

    Lakehouse.replace = counted(Lakehouse.replace)  # type: ignore[method-assign]
    arrow.replace = counted(arrow.replace)
    settings = load(Path(config))
    with spark_session(step) as spark:
        lake = Lakehouse(spark, settings.paths.lake)
        import_module(f"jobs.steps.{step}").run(
            lake, settings, run_date=date.fromisoformat(run_date)
        )


if __name__ == "__main__":
    _main(*sys.argv[1:])
