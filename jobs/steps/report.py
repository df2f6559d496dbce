"""One self-contained HTML page about a night, and the Data Docs of its validations."""

from datetime import date
from os.path import relpath

from expectations.data_docs import build_data_docs
from jobs.config.settings import Settings
from jobs.night.job_report import JobReport
from jobs.reports.differences import settings_by_name
from jobs.reports.overview import REPORT, collect
from jobs.reports.page import headline, page_path, render
from lakehouse.files import write_text


def run(settings: Settings, *, run_date: date) -> JobReport:
    """Build both; return where they lie.

    Every night gives a page, also one that failed, stopped early or never ran.
    """
    data_docs = build_data_docs(settings.paths.data_quality, run_date)
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
        warnings=night.damaged,
    )
