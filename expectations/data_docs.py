"""Validation results on disk, and the HTML pages (Data Docs) made of them.

    <results>/<run date>/results/<table>.json    the newest validation of each table
    <results>/<run date>/docs/index.html         the pages, rebuilt from the files above

Every file is replaced whole. A killed run leaves at most a hidden file or folder, which no reader
looks at. Great Expectations renders the rules of a table; the pages around them are our own
(``templates/``), as those of Great Expectations load styles, fonts and the very list of tables
from the internet.
"""

import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from html import escape
from pathlib import Path
from typing import Any, cast

from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
from great_expectations.core.expectation_validation_result import (
    expectationSuiteValidationResultSchema,
)
from great_expectations.render.components import RenderedDocumentContent
from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
from great_expectations.render.view.view import DefaultJinjaPageView

from expectations.findings import counted_rows, findings
from lakehouse.errors import DataError
from lakehouse.files import read_json, write_json
from lakehouse.locks import process_lock
from lakehouse.tables import Table

TEMPLATES = Path(__file__).parent / "templates"
# The look of every page that a night writes.
STYLE = (TEMPLATES / "topshelf.css").read_text(encoding="utf-8")


def store_results(
    outcomes: Sequence[ExpectationValidationResult],
    table: Table,
    *,
    run_date: date,
    results: Path,
    success: bool,
) -> None:
    """Keep a table's validation below ``results``, replacing an earlier one of the run date."""
    passed = sum(bool(outcome.success) for outcome in outcomes)
    validation = ExpectationSuiteValidationResult(
        success=success,
        results=list(outcomes),
        suite_name=table.full_name,
        statistics={
            "evaluated_expectations": len(outcomes),
            "successful_expectations": passed,
            "unsuccessful_expectations": len(outcomes) - passed,
            "success_percent": 100 * passed / len(outcomes),
        },
        meta={
            "run_id": {
                "run_name": run_date.isoformat(),
                "run_time": datetime.combine(run_date, time(), UTC).isoformat(),
            }
        },
    )
    path = results / run_date.isoformat() / "results" / f"{table.full_name}.json"
    write_json(path, validation.to_json_dict())  # type: ignore[no-untyped-call]


def build_data_docs(results: Path, run_date: date) -> Path:
    """Build the pages of every table validated on ``run_date``; return the start page.

    A damaged result has no page of its own; the start page names its file.
    """
    folder = results / run_date.isoformat()
    with process_lock(folder / ".lock"):
        return _build(folder, run_date)


def _build(folder: Path, run_date: date) -> Path:
    for left_over in folder.glob(".docs.*"):
        shutil.rmtree(left_over)
    building = Path(tempfile.mkdtemp(dir=folder, prefix=".docs."))
    view = DefaultJinjaPageView(custom_views_directory=str(TEMPLATES))
    tables, damaged = [], []
    for path in sorted((folder / "results").glob("[!.]*.json")):
        try:
            validation = _read(path)
        except DataError as damage:
            damaged.append(str(damage))
            continue
        summary = _summary(validation, run_date)
        page = view.render(  # type: ignore[no-untyped-call]
            _document(validation), template="topshelf_page.j2", **summary
        )
        (building / summary["page"]).write_text(page)
        tables.append(summary)
    index = view.env.get_template("topshelf_index.j2").render(
        tables=tables, damaged=damaged, run_date=run_date
    )
    (building / "index.html").write_text(index)

    docs = folder / "docs"
    shutil.rmtree(docs, ignore_errors=True)
    building.rename(docs)
    return docs / "index.html"


def _read(path: Path) -> ExpectationSuiteValidationResult:
    stored = read_json(path, f"Run the step that builds {path.stem} again.")
    content = cast("dict[str, Any]", _escaped(stored))
    validation: ExpectationSuiteValidationResult = expectationSuiteValidationResultSchema.load(
        content
    )
    return validation


def _escaped(content: object) -> object:
    """``content`` with every string fit for HTML: the renderer takes most of them as markup."""
    if isinstance(content, dict):
        return {key: _escaped(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_escaped(value) for value in content]
    return escape(content, quote=False) if isinstance(content, str) else content


def _document(validation: ExpectationSuiteValidationResult) -> RenderedDocumentContent:
    """The rules of a table by column, without the overview that our page replaces."""
    document: RenderedDocumentContent = ValidationResultsPageRenderer().render(validation)
    document.sections = document.sections[1:]
    return document


def _summary(validation: ExpectationSuiteValidationResult, run_date: date) -> dict[str, Any]:
    """What the start page and the head of the table's own page say."""
    broken = findings(validation.results)
    failed = sum(finding.severity == "fail" for finding in broken)
    warned = len(broken) - failed
    rows = counted_rows(validation.results)
    return {
        "table": validation.suite_name,
        "page": f"{validation.suite_name}.html",
        "run_date": run_date.isoformat(),
        "status": "fail" if failed else "warn" if warned else "pass",
        "rows": "not counted" if rows is None else f"{rows:,}",
        "evaluated": len(validation.results),
        "passed": len(validation.results) - len(broken),
        "failed": failed,
        "warned": warned,
        "findings": broken,
    }
