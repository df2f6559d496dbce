"""What a step did, or why it failed."""

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final, TypeAlias

from lakehouse.errors import TopshelfError

JsonValue: TypeAlias = (
    "str | int | float | bool | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)

EXIT_UNFORESEEN: Final = 1


@dataclass(frozen=True, slots=True)
class JobReport:
    """What a step did.

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

    ``exit_code`` is the process's.
    """

    step: str
    run_date: date
    exit_code: int
    reason: str
    details: tuple[str, ...] = ()


Outcome: TypeAlias = JobReport | StepFailure


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
