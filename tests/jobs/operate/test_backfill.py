"""`topshelf backfill`: which nights run, in which order, and where it stops."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from jobs.config.settings import Settings
from jobs.night.job_report import JobReport, Outcome, StepFailure
from jobs.night.outcomes import keep
from jobs.operate.backfill import Ended, backfill
from lakehouse.errors import EXIT_REFUSED, ConfigurationError
from lakehouse.steps import STEPS, Step
from tests.nights import settings_in

NIGHTS = [date(2024, 1, day) for day in (30, 31)] + [date(2024, 2, 1)]
FIRST, SECOND, THIRD = NIGHTS
ALL = [step.name for step in STEPS]
UNTIL_GATE = ALL[: ALL.index("gate") + 1]


class Steps:
    """Keeps outcomes as steps would, with the exit codes that it is told."""

    def __init__(self, settings: Settings, codes: Mapping[tuple[date, str], int]) -> None:
        self.ran: list[tuple[date, str]] = []
        self.codes = dict(codes)
        self._settings = settings

    def __call__(self, step: Step, night: date) -> int:
        self.ran.append((night, step.name))
        code = self.codes.get((night, step.name), 0)
        facts = {"accepted": code != EXIT_REFUSED} if step.name == "gate" else {}
        outcome: Outcome = (
            StepFailure(step.name, night, code, "it broke")
            if code not in (0, EXIT_REFUSED)
            else JobReport(step.name, night, facts=facts)
        )
        keep(outcome, lake=self._settings.paths.lake, runs=self._settings.paths.runs)
        return code


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


def test_nights_run_one_by_one_and_go_on_where_one_failed(settings: Settings) -> None:
    steps = Steps(settings, {(FIRST, "gate"): EXIT_REFUSED, (SECOND, "features"): 4})
    assert list(backfill(settings, FIRST, THIRD, steps)) == [
        Ended(FIRST, "refused by the gate"),
        Ended(SECOND, "features failed (exit code 4)", 4),
    ]
    failed = [(SECOND, name) for name in ("ingest", "clean", "features", "report")]
    assert steps.ran == [*((FIRST, name) for name in [*UNTIL_GATE, "report"]), *failed]

    steps.ran, steps.codes = [], {(THIRD, "report"): 1}
    assert list(backfill(settings, FIRST, THIRD, steps)) == [
        Ended(FIRST, "refused by the gate before"),
        Ended(SECOND, "published"),
        Ended(THIRD, "published"),
    ]
    assert steps.ran == [(night, name) for night in (SECOND, THIRD) for name in ALL]

    steps.ran = []
    assert {one.said for one in backfill(settings, SECOND, THIRD, steps)} == {"published before"}
    assert steps.ran == []


def test_there_must_be_a_night_between(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="--from 2024-01-31 is after --to 2024-01-30"):
        list(backfill(settings, SECOND, FIRST, Steps(settings, {})))
