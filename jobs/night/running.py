"""How a step is run; it is loaded when it runs."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from jobs.night.job_report import JobReport, failure_of
from jobs.night.outcomes import keep, keep_failure
from jobs.night.supervision import tell_parent
from lakehouse.errors import foreseeing_system_failures
from lakehouse.ownership import claim
from lakehouse.steps import Step

if TYPE_CHECKING:
    from jobs.config.settings import Settings
    from lakehouse.io.lake import Lakehouse


class PlainRun(Protocol):
    """The work of a step that needs no Spark."""

    def __call__(self, settings: "Settings", *, run_date: date) -> JobReport:
        """Work, and say what was done."""
        ...


class SparkRun(Protocol):
    """The work of a step that needs Spark."""

    def __call__(self, lake: "Lakehouse", settings: "Settings", *, run_date: date) -> JobReport:
        """Work, and say what was done."""
        ...


def run_of(step: Step) -> PlainRun | SparkRun:
    """``run`` of ``jobs.steps.NAME``, of the kind that ``needs_spark`` says."""
    return cast("PlainRun | SparkRun", import_module(f"jobs.steps.{step.module}").run)


def run_step(step: Step, settings: "Settings", run_date: date) -> JobReport:
    """Run one step, Spark's start and end included in its seconds, and keep its outcome.

    Whatever it raises is kept first, for the report of the night. Raises ``ConfigurationError``
    where a folder to write to belongs to another shop, and writes nothing; ``InfrastructureError``
    where the outcome cannot be kept.
    """
    started = time.perf_counter()
    for folder in settings.state_folders:
        claim(folder, settings.shop.name)
    lake, runs = settings.paths.lake, settings.paths.runs
    tell_parent(step.name, run_date, lake=lake, runs=runs)
    try:
        with foreseeing_system_failures():
            if step.needs_spark:
                report = _run_with_spark(step, settings, run_date)
            else:
                report = cast("PlainRun", run_of(step))(settings, run_date=run_date)
            measured = replace(report, seconds=round(time.perf_counter() - started, 2))
            keep(measured, lake=lake, runs=runs)
    except Exception as error:
        keep_failure(failure_of(error, step.name, run_date), lake=lake, runs=runs)
        raise
    return measured


def _run_with_spark(step: Step, settings: "Settings", run_date: date) -> JobReport:
    """Start Spark, and load the step with Great Expectations meanwhile: both take seconds."""
    from lakehouse.io.lake import Lakehouse  # noqa: PLC0415 (steps without Spark load none of it)
    from lakehouse.io.session import spark_session  # noqa: PLC0415

    with ThreadPoolExecutor(max_workers=1) as loader:
        run = loader.submit(run_of, step)
        with spark_session(f"topshelf {step.name}") as spark:
            lake = Lakehouse(spark, settings.paths.lake)
            return cast("SparkRun", run.result())(lake, settings, run_date=run_date)
