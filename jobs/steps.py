"""The steps of a night, in order, and how one is run; a step is loaded when it runs."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from importlib import import_module
from typing import TYPE_CHECKING, Final

from jobs.job_report import JobReport, clear_failure, failure_of, record_failure, write_report
from jobs.supervision import tell_parent
from lakehouse.errors import foreseeing_system_failures
from lakehouse.ownership import claim

if TYPE_CHECKING:
    from jobs.config import Settings


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its command, the module whose ``run`` does it, and whether that needs Spark."""

    name: str
    module: str
    doc: str
    uses_spark: bool = False


STEPS: Final = (
    Step("ingest", "jobs.ingest", "Take new landing files into bronze.", uses_spark=True),
    Step("clean", "jobs.clean", "Clean bronze into silver and quarantine.", uses_spark=True),
    Step("features", "jobs.build_features", "Build the gold features.", uses_spark=True),
    Step("train", "jobs.train", "Train, evaluate and register the models."),
    Step("gate", "jobs.gate", "Let the challenger pass, or refuse it (exit code 99)."),
    Step("recommend", "jobs.recommend", "Rank the lists of every user."),
    Step("publish", "jobs.publish", "Write one release to the store and switch to it."),
    Step("report", "jobs.report", "Build the run report and the Data Docs."),
)


def run_step(step: Step, settings: "Settings", run_date: date) -> JobReport:
    """Run one step, Spark's start and end included in its seconds, and write its report.

    Whatever it raises is recorded beside the reports first, for the report of the night. Raises
    ``ConfigurationError`` where a folder to write to belongs to another shop, and writes nothing.
    """
    started = time.perf_counter()
    for folder in settings.state_folders:
        claim(folder, settings.shop.name)
    runs = settings.paths.runs
    tell_parent(step.name, run_date, runs)
    try:
        with foreseeing_system_failures():
            if step.uses_spark:
                report = _run_with_spark(step, settings, run_date)
            else:
                report = import_module(step.module).run(settings, run_date=run_date)
            measured = replace(report, seconds=round(time.perf_counter() - started, 2))
            clear_failure(runs, run_date, step.name)
            write_report(measured, runs)
    except Exception as error:
        record_failure(failure_of(error, step.name, run_date), runs)
        raise
    return measured


def _run_with_spark(step: Step, settings: "Settings", run_date: date) -> JobReport:
    """Start Spark, and load the step with Great Expectations meanwhile: both take seconds."""
    spark_session = import_module("lakehouse.session").spark_session
    lakehouse = import_module("lakehouse.lake").Lakehouse
    with ThreadPoolExecutor(max_workers=1) as loader:
        module = loader.submit(import_module, step.module)
        with spark_session(f"topshelf {step.name}") as spark:
            lake = lakehouse(spark, settings.paths.lake)
            report: JobReport = module.result().run(lake, settings, run_date=run_date)
    return report
