"""A command runs in a child of this process, which says how it ended where the child no longer can.

A crash of native code, or the system's choice of a victim when memory runs out, ends a process
without a word. Its parent sees the signal, says so, and exits as after any failure that may pass.
"""

import ctypes
import faulthandler
import json
import os
import select
import signal
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Final, NoReturn

from jobs.night.job_report import StepFailure
from lakehouse.errors import InfrastructureError

PR_SET_PDEATHSIG: Final = 1
HINTS: Final = {
    signal.SIGKILL: "Somebody stopped it, or the system did because memory ran out (`dmesg` says "
    "which). Give the machine more memory, or run again when less runs beside it.",
    signal.SIGTERM: "Somebody stopped it; run it again.",
}
CRASH_HINT: Final = (
    "Native code crashed; what every thread did stands above. Run it again, and report it if it "
    "happens again."
)

# Where this process, if it is a child, tells its parent which step it runs.
_to_parent: int | None = None


def supervised(work: Callable[[], object]) -> NoReturn:
    """Run ``work`` in a child and exit as it does; with 4 where a signal ended it.

    Signals that ask this process to end are passed on, and where it is killed the child is too.
    Call it before any thread has started. Threads' stacks are written to stderr after a crash.
    """
    from_child, to_parent = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(from_child)
        _become_child(parent, to_parent)
        work()
        sys.exit(0)
    os.close(to_parent)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(child, number))
    # A terminal sends its interrupt to both.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code >= 0:
        sys.exit(code)
    # Processes that the child left behind may hold the other end open.
    os.set_blocking(from_child, False)
    sys.stderr.write(f"{_ended_by(signal.Signals(-code), _read(from_child))}\n")
    sys.exit(InfrastructureError.exit_code)


def tell_parent(step: str, run_date: date, *, lake: Path, runs: Path) -> None:
    """Let the parent, if there is one, know what to keep if a signal ends this process."""
    if _to_parent is not None:
        folders = {"lake": str(lake.resolve()), "runs": str(runs.resolve())}
        content = {"step": step, "run_date": str(run_date), **folders}
        os.write(_to_parent, f"{json.dumps(content)}\n".encode())


def _become_child(parent: int, to_parent: int) -> None:
    global _to_parent  # noqa: PLW0603 (one process has one parent)
    _to_parent = to_parent
    faulthandler.enable()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(InfrastructureError.exit_code)


def _read(pipe: int) -> str:
    try:
        return os.read(pipe, select.PIPE_BUF).decode()
    except BlockingIOError:
        return ""


def _ended_by(number: signal.Signals, told: str) -> str:
    """The last line of the output; the failure of a step is kept too."""
    reason = f"ended by signal {number.value} ({number.name})."
    hint = HINTS.get(number, CRASH_HINT)
    if not told:
        return f"topshelf: {reason} {hint}"
    running = json.loads(told.splitlines()[-1])
    failure = StepFailure(
        running["step"],
        date.fromisoformat(running["run_date"]),
        InfrastructureError.exit_code,
        reason,
        (hint,),
    )
    from jobs.night.outcomes import keep_failure  # noqa: PLC0415 (a parent seldom needs the lake)

    keep_failure(failure, lake=Path(running["lake"]), runs=Path(running["runs"]))
    return f"topshelf {failure.step}: {reason} {hint}"
