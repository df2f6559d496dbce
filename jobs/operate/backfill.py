"""Past nights run one after the other, each step in a process of its own."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TypeAlias

from jobs.config.settings import Settings
from jobs.night.facts import GateFacts, facts_of
from jobs.night.job_report import JobReport
from jobs.night.outcomes import read_outcome
from lakehouse.errors import EXIT_REFUSED, ConfigurationError
from lakehouse.steps import STEPS, Step

# Runs a step of a night and returns its exit code.
Run: TypeAlias = Callable[[Step, date], int]


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a night; ``exit_code`` is that of the step that failed, otherwise 0."""

    night: date
    said: str
    exit_code: int = 0


def backfill(settings: Settings, first: date, last: date, run: Run) -> Iterator[Ended]:
    """Run every night from ``first`` to ``last`` that has not ended, the oldest first.

    A night has ended where it was published, or refused by the gate. Stops at the first night that
    fails, after its report: called again, it goes on with that night. Raises
    ``ConfigurationError`` where there is no night between.
    """
    if first > last:
        raise ConfigurationError(f"--from {first} is after --to {last}.")
    for days in range((last - first).days + 1):
        night = first + timedelta(days=days)
        before = _ended(settings, night)
        ended = _run_night(night, run) if before is None else Ended(night, f"{before} before")
        yield ended
        if ended.exit_code:
            return


def in_processes(config: Path) -> Run:
    """Steps as their commands, in the environment of this process; they say what they do."""
    command = str(Path(sys.executable).with_name("topshelf"))

    def run(step: Step, night: date) -> int:
        call = [command, step.name, "--run-date", str(night), "--config", str(config)]
        return subprocess.run(call, check=False).returncode  # noqa: S603 (no shell)

    return run


def _run_night(night: date, run: Run) -> Ended:
    said, failed, ended = "published", 0, False
    for step in STEPS:
        if ended and not step.always_runs:
            continue
        code = run(step, night)
        if code == EXIT_REFUSED:
            said, ended = "refused by the gate", True
        elif code and not step.always_runs:
            said, failed, ended = f"{step.name} failed (exit code {code})", code, True
    return Ended(night, said, failed)


def _ended(settings: Settings, night: date) -> str | None:
    """How the night ended before, or ``None`` where it has not."""
    lake = settings.paths.lake
    if isinstance(read_outcome(lake, night, "publish"), JobReport):
        return "published"
    gate = read_outcome(lake, night, "gate")
    is_refused = isinstance(gate, JobReport) and not facts_of(gate, GateFacts).accepted
    return "refused by the gate" if is_refused else None
