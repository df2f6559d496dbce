"""Commands that end without a word: what is said, recorded and left behind. Real processes die."""

import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from jobs.night.job_report import StepFailure
from jobs.night.outcomes import read_outcome
from tests.project import ROOT

NIGHT = date(2024, 1, 2)
CONFIG = """
[shop]
name = "corner"
[[sources]]
name = "orders"
target = "events"
path = "{date}.csv"
format = "csv"
columns = { user_id = "u", item_id = "i", event_time = "t" }
constants = { event_type = "purchase" }
"""
# `topshelf train` whose training is the given line.
TRAIN = """
import os, signal, sys, time, types
module = types.ModuleType("jobs.steps.train")
def run(settings, *, run_date):
    {line}
module.run = run
sys.modules["jobs.steps.train"] = module
from jobs.cli.main import main
sys.argv = ["topshelf", "train", "--run-date", "2024-01-02", "--config", "config.toml"]
main()
"""
WAIT = "print(os.getpid(), flush=True); time.sleep(60)"


def started(line: str, folder: Path) -> "subprocess.Popen[str]":
    (folder / "config.toml").write_text(CONFIG)
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN.format(line=line)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (
            signal.SIGSEGV,
            "Native code crashed; what every thread did stands above. Run it again, and report it "
            "if it happens again.",
        ),
        (
            signal.SIGKILL,
            "Somebody stopped it, or the system did because memory ran out (`dmesg` says which). "
            "Give the machine more memory, or run again when less runs beside it.",
        ),
    ],
)
def test_a_step_that_a_signal_ends_says_so(
    tmp_path: Path, number: signal.Signals, hint: str
) -> None:
    process = started(f"os.kill(os.getpid(), {number.value})", tmp_path)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (4, "")
    reason = f"ended by signal {number.value} ({number.name})."
    assert err.splitlines()[-1] == f"topshelf train: {reason} {hint}"
    assert ("Fatal Python error: Segmentation fault" in err) == (number is signal.SIGSEGV)
    lake = tmp_path / ".topshelf" / "corner" / "lake"
    assert read_outcome(lake, NIGHT, "train") == StepFailure("train", NIGHT, 4, reason, (hint,))


@pytest.mark.parametrize("code", [0, 3, 99])
def test_any_other_end_is_the_child_s_own(tmp_path: Path, code: int) -> None:
    process = started(f"sys.exit({code})", tmp_path)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == code


def test_a_request_to_end_reaches_the_child(tmp_path: Path) -> None:
    process = started(WAIT, tmp_path)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert err == (
        "topshelf train: ended by signal 15 (SIGTERM). Somebody stopped it; run it again.\n"
    )
    assert not is_alive(child)


def test_a_killed_command_leaves_nothing_behind(tmp_path: Path) -> None:
    process = started(WAIT, tmp_path)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 10
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(child)


def is_alive(pid: int) -> bool:
    try:
        return "(Z)" not in Path(f"/proc/{pid}/status").read_text().replace("Z (zombie)", "(Z)")
    except FileNotFoundError:
        return False
