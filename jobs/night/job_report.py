"""What a step did, or why it failed, as one JSON file per run date and step.

<runs>/<run date>/<step>.json           the report of the step's newest success
<runs>/<run date>/<step>.failed.json    why its newest run failed; gone once it succeeds

Every file is replaced whole: a reader sees the old one or the new one.
"""

import logging
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Final, TypeAlias

from lakehouse.errors import DataError, TopshelfError
from lakehouse.files import read_json, write_json

JsonValue: TypeAlias = (
    "str | int | float | bool | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)

logger = logging.getLogger(__name__)

FAILED: Final = ".failed.json"
EXIT_UNFORESEEN: Final = 1


@dataclass(frozen=True, slots=True)
class JobReport:
    """The outcome of one step.

    ``rows`` counts rows by table or stage; ``facts`` holds whatever else a person or a later step
    wants to know; ``warnings`` are the sentences of *warn* findings. ``seconds`` is the step's
    duration, 0 until the command line has measured it.
    """

    step: str
    run_date: date
    rows: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, JsonValue] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class StepFailure:
    """Why a step failed: one sentence and, where there is more to say, further lines.

    ``exit_code`` is the process's; ``None`` where the record of the failure is damaged.
    """

    step: str
    run_date: date
    exit_code: int | None
    reason: str
    details: tuple[str, ...] = ()


def report_path(runs: Path, run_date: date, step: str) -> Path:
    """Where the report of a step lies below the folder ``runs``."""
    return runs / run_date.isoformat() / f"{step}.json"


def write_report(report: JobReport, runs: Path) -> Path:
    """Write the report whole or not at all; return its path."""
    path = report_path(runs, report.run_date, report.step)
    write_json(path, asdict(report) | {"run_date": report.run_date.isoformat()})
    return path


def read_report(runs: Path, run_date: date, step: str) -> JobReport | None:
    """The report of a step, or ``None`` where the step has not ended.

    Raises ``DataError`` naming the file where it is damaged.
    """
    path = report_path(runs, run_date, step)
    if not path.is_file():
        return None
    content = read_json(path, f"Run `topshelf {step} --run-date {run_date}` again.")
    return JobReport(
        step=content["step"],
        run_date=date.fromisoformat(content["run_date"]),
        rows=content["rows"],
        facts=content["facts"],
        warnings=tuple(content["warnings"]),
        seconds=content["seconds"],
    )


def failure_of(error: Exception, step: str, run_date: date) -> StepFailure:
    """The record of ``error``.

    A foreseen error is told in its own words. Of any other only the type and the places are kept:
    its message may hold what people did, and its traceback is in the step's log.
    """
    if isinstance(error, TopshelfError):
        reason, *details = str(error).splitlines() or [type(error).__name__]
        return StepFailure(step, run_date, error.exit_code, reason, tuple(map(str.strip, details)))
    places = (
        f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    )
    return StepFailure(
        step,
        run_date,
        EXIT_UNFORESEEN,
        f"an error that nobody foresaw, {type(error).__name__}; its log has the traceback.",
        tuple(places),
    )


def write_failure(failure: StepFailure, runs: Path) -> Path:
    """Write the record whole or not at all, replacing an earlier one; return its path."""
    path = _failure_path(runs, failure.run_date, failure.step)
    write_json(path, asdict(failure) | {"run_date": failure.run_date.isoformat()})
    return path


def record_failure(failure: StepFailure, runs: Path) -> None:
    """Write the record; a disk that takes none must not hide the failure itself."""
    try:
        write_failure(failure, runs)
    except OSError as unwritable:
        logger.warning("topshelf %s: its failure was not recorded: %s", failure.step, unwritable)


def read_failures(runs: Path, run_date: date) -> dict[str, StepFailure]:
    """The failed steps of a night, by name; a damaged record is a failure of unknown cause."""
    paths = sorted((runs / run_date.isoformat()).glob(f"[!.]*{FAILED}"))
    steps = {path.name.removesuffix(FAILED): path for path in paths}
    return {step: _read_failure(path, step, run_date) for step, path in steps.items()}


def clear_failure(runs: Path, run_date: date, step: str) -> None:
    """Forget an earlier failure of the step, if there was one."""
    _failure_path(runs, run_date, step).unlink(missing_ok=True)


def _failure_path(runs: Path, run_date: date, step: str) -> Path:
    return runs / run_date.isoformat() / f"{step}{FAILED}"


def _read_failure(path: Path, step: str, run_date: date) -> StepFailure:
    try:
        content = read_json(path, "Its log says why the step failed.")
    except DataError as damage:
        return StepFailure(step, run_date, None, str(damage))
    return StepFailure(
        step, run_date, content["exit_code"], content["reason"], tuple(content["details"])
    )
