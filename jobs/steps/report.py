"""One self-contained HTML page about a night, and the Data Docs of its validations."""

from datetime import date
from os.path import relpath

import pyarrow as pa
from deltalake.exceptions import DeltaError

from expectations.data_docs import build_data_docs
from expectations.history import rule_results
from jobs.config.settings import Settings
from jobs.night.job_report import JobReport
from jobs.reports.differences import settings_by_name
from jobs.reports.overview import REPORT, collect
from jobs.reports.page import headline, page_path, render
from lakehouse.errors import TopshelfError
from lakehouse.files import write_text
from lakehouse.io import arrow
from lakehouse.tables import EXPECTATION_RESULTS


def run(settings: Settings, *, run_date: date) -> JobReport:
    """Build both; return where they lie.

    Every night gives a page, also one that failed, stopped early or never ran.
    """
    data_docs = build_data_docs(settings.paths.data_quality, run_date)
    unkept = _keep_results(settings, run_date)
    night = collect(settings, run_date)
    page = page_path(settings, run_date)
    write_text(page, render(night, relpath(data_docs, page.parent)))
    return JobReport(
        step=REPORT,
        run_date=run_date,
        facts={
            "page": str(page),
            "data_docs": str(data_docs),
            "outcome": headline(night).title,
            "settings": settings_by_name(settings),
        },
        warnings=(*unkept, *night.damaged),
    )


def _keep_results(settings: Settings, run_date: date) -> list[str]:
    """Put what became of the night's rules in the place of what an earlier report put there.

    A lake that takes nothing is a warning: the page has to tell of it.
    """
    lake = settings.paths.lake
    found = rule_results(settings.paths.data_quality, run_date, settings.quality.owners)
    rows = pa.Table.from_pylist(list(found), arrow.arrow_schema(EXPECTATION_RESULTS))
    try:
        with arrow.writing(lake, EXPECTATION_RESULTS):
            arrow.replace(lake, EXPECTATION_RESULTS, rows, {"run_date": run_date})
    except (TopshelfError, DeltaError, OSError) as error:
        reason = str(error).splitlines()[0]
        return [f"{EXPECTATION_RESULTS.full_name} was not brought up to date: {reason}"]
    return []
