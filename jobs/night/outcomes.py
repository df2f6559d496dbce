"""What became of the steps, kept in the lake (``ops.runs``): tasks may run on different workers.

A step has one outcome a night, that of its newest run. It is replaced in one Delta commit: a reader
sees the old one or the new one, whole. People find a copy of it:

<runs>/<run date>/<step>.json           what the step's newest success did
<runs>/<run date>/<step>.failed.json    why its newest run failed; gone once it succeeds
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import pyarrow as pa
from deltalake.exceptions import DeltaError

from jobs.night.job_report import JobReport, Outcome, StepFailure
from lakehouse.code import code_version
from lakehouse.errors import InfrastructureError, TopshelfError
from lakehouse.files import write_json
from lakehouse.io import arrow
from lakehouse.tables import OPS_RUNS

Status: TypeAlias = Literal["done", "failed"]

SUFFIX: Final[Mapping[Status, str]] = {"done": ".json", "failed": ".failed.json"}

logger = logging.getLogger(__name__)


def keep(outcome: Outcome, *, lake: Path, runs: Path) -> None:
    """Put the outcome in the place of the step's former one; its copy below ``runs`` comes after.

    Raises ``InfrastructureError`` where the lake does not take it.
    """
    _write_row(outcome, lake)
    _write_copy(outcome, runs)


def keep_failure(failure: StepFailure, *, lake: Path, runs: Path) -> None:
    """Keep a failure; a lake or a disk that takes none must not hide the failure itself."""
    for write, place in ((_write_row, lake), (_write_copy, runs)):
        try:
            write(failure, place)
        except (TopshelfError, OSError) as error:
            logger.warning("topshelf %s: its failure was not recorded: %s", failure.step, error)


def read_outcome(lake: Path, run_date: date, step: str) -> Outcome | None:
    """What became of the step's newest run, or ``None`` where none has ended.

    Raises ``DataError`` naming what to do where it is damaged.
    """
    if not arrow.exists(lake, OPS_RUNS):
        return None
    rows = arrow.read(lake, OPS_RUNS, filters=[("run_date", "=", run_date), ("step", "=", step)])
    return next(map(_outcome, rows.to_pylist()), None)


def read_report(lake: Path, run_date: date, step: str) -> JobReport | None:
    """What the step did, or ``None`` where its newest run has not ended well.

    Raises ``DataError`` naming what to do where it is damaged.
    """
    outcome = read_outcome(lake, run_date, step)
    return outcome if isinstance(outcome, JobReport) else None


def codes_of(lake: Path, run_date: date) -> dict[str, str]:
    """The code that each step of a night ran last, where it is known, by the step's name."""
    if not arrow.exists(lake, OPS_RUNS):
        return {}
    rows = arrow.read(
        lake, OPS_RUNS, columns=["step", "code"], filters=[("run_date", "=", run_date)]
    )
    return {row["step"]: row["code"] for row in rows.to_pylist() if row["code"] is not None}


def nights_of(lake: Path, step: str, *, before: date) -> list[date]:
    """The nights before a run date that have an outcome of the step, newest first."""
    partitions = arrow.partition_rows(lake, OPS_RUNS)
    nights = (date.fromisoformat(night) for night, name in partitions if name == step)
    return sorted((night for night in nights if night < before), reverse=True)


def copy_path(runs: Path, run_date: date, step: str, status: Status) -> Path:
    """Where the copy of an outcome lies below the folder ``runs``."""
    return runs / run_date.isoformat() / f"{step}{SUFFIX[status]}"


def _write_row(outcome: Outcome, lake: Path) -> None:
    row = pa.Table.from_pylist([_row(outcome)], schema=arrow.arrow_schema(OPS_RUNS))
    place: dict[str, date | str] = {"run_date": outcome.run_date, "step": outcome.step}
    try:
        with arrow.writing(lake, OPS_RUNS):
            arrow.replace(lake, OPS_RUNS, row, place)
    except (DeltaError, OSError) as error:
        raise InfrastructureError(
            f"the outcome of {outcome.step} could not be written to {lake / OPS_RUNS.path}: "
            f"{str(error).splitlines()[0]}. Free space, mend its permissions or restore the folder "
            "from a backup, then run again."
        ) from error


def _write_copy(outcome: Outcome, runs: Path) -> None:
    run_date, step, status = outcome.run_date, outcome.step, _status(outcome)
    write_json(
        copy_path(runs, run_date, step, status), asdict(outcome) | {"run_date": str(run_date)}
    )
    if status == "done":
        copy_path(runs, run_date, step, "failed").unlink(missing_ok=True)


def _status(outcome: Outcome) -> Status:
    return "done" if isinstance(outcome, JobReport) else "failed"


def _row(outcome: Outcome) -> dict[str, Any]:
    nothing: dict[str, Any] = {"rows": {}, "facts": {}, "warnings": (), "details": ()}
    row = {**nothing, **asdict(outcome), "status": _status(outcome), "code": code_version()}
    return {**row, "rows": json.dumps(row["rows"]), "facts": json.dumps(row["facts"])}


def _outcome(row: dict[str, Any]) -> Outcome:
    step, run_date = row["step"], row["run_date"]
    if row["status"] == "failed":
        return StepFailure(step, run_date, row["exit_code"], row["reason"], tuple(row["details"]))
    return JobReport(
        step=step,
        run_date=run_date,
        rows=json.loads(row["rows"]),
        facts=json.loads(row["facts"]),
        warnings=tuple(row["warnings"]),
        seconds=row["seconds"],
    )
