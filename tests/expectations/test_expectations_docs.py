"""Validation results on disk and their pages: complete, private, replaceable, readable offline."""

import json
import re
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from expectations import checks
from expectations.validation import build_data_docs, validate
from lakehouse.errors import DataQualityError
from lakehouse.tables import QUARANTINE, RECOMMENDATIONS, ROW_ACCOUNTING, Column, Table
from tests.expectations.test_expectations import pandas_frame
from tests.rows import frame

NIGHT = date(2024, 1, 2)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def cells(page: str) -> list[list[str]]:
    """The texts of a page's table rows."""
    return [
        [re.sub("<[^>]+>", "", cell).strip() for cell in re.findall("(?s)<t[dh].*?</t[dh]>", row)]
        for row in re.findall("(?s)<tr>.*?</tr>", page)
    ]


def test_every_table_of_the_night_is_on_the_start_page(tmp_path: Path) -> None:
    validate(pandas_frame(ROW_ACCOUNTING, [{}]), ROW_ACCOUNTING, run_date=NIGHT, results=tmp_path)
    validate(
        pandas_frame(RECOMMENDATIONS, [{}]),
        RECOMMENDATIONS,
        run_date=NIGHT,
        results=tmp_path,
        checks=[checks.row_count(minimum=2, advice="A.", severity="warn")],
    )
    with pytest.raises(DataQualityError):
        validate(
            pandas_frame(QUARANTINE, [{"row_number": 0}, {}]),
            QUARANTINE,
            run_date=NIGHT,
            results=tmp_path,
        )
    validate(
        pandas_frame(ROW_ACCOUNTING, [{}]),
        ROW_ACCOUNTING,
        run_date=date(2024, 1, 3),
        results=tmp_path,
    )

    start = build_data_docs(tmp_path, NIGHT)

    assert start == tmp_path / "2024-01-02" / "docs" / "index.html"
    assert cells(start.read_text()) == [
        ["Table", "Verdict", "Rows", "Rules", "Broken, fail", "Broken, warn"],
        ["gold.recommendations", "! warn", "1", "16", "0", "1"],
        ["silver.quarantine", "✗ fail", "2", "12", "1", "0"],
        ["silver.row_accounting", "✓ pass", "1", "12", "0", "0"],
    ]


def test_a_page_lists_the_findings_and_every_rule(tmp_path: Path) -> None:
    with pytest.raises(DataQualityError):
        validate(
            pandas_frame(ROW_ACCOUNTING, [{"bronze_rows": -1}]),
            ROW_ACCOUNTING,
            run_date=NIGHT,
            results=tmp_path,
            checks=[
                checks.row_count(minimum=2, advice="Deliver.", severity="warn"),
                checks.measure("unknown items", 7, maximum=0, advice="Look."),
            ],
        )
    page = (build_data_docs(tmp_path, NIGHT).parent / "silver.row_accounting.html").read_text()

    assert [re.sub("<[^>]+>", "", item) for item in re.findall("<li>(.*)</li>", page)] == [
        "fail bronze_rows must be at least 0, but 1 of 1 (100 %) are not as required. Correct or "
        "quarantine such rows in the step that builds the table.",
        "fail unknown items must be at most 0, but it is 7. Look.",
        "warn the row count must be at least 2, but it is 1. Deliver.",
    ]
    rules = [cell[1].splitlines()[0] for cell in cells(page) if cell[0] != "Status"]
    assert len(rules) == 14
    assert "the row count must be at least 2 (warning only)" in rules
    assert "silver.row_accounting must have the declared columns, in order, with their types" in (
        rules
    )


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    with pytest.raises(DataQualityError):
        validate(
            pandas_frame(ROW_ACCOUNTING, [{"bronze_rows": -1}]),
            ROW_ACCOUNTING,
            run_date=NIGHT,
            results=tmp_path,
        )
    build_data_docs(tmp_path, NIGHT)
    after_the_first = files(tmp_path)

    validate(pandas_frame(ROW_ACCOUNTING, [{}]), ROW_ACCOUNTING, run_date=NIGHT, results=tmp_path)
    start = build_data_docs(tmp_path, NIGHT)

    assert files(tmp_path) == after_the_first
    assert cells(start.read_text())[1] == ["silver.row_accounting", "✓ pass", "1", "12", "0", "0"]


def test_the_leavings_of_a_killed_run_do_no_harm(tmp_path: Path) -> None:
    validate(pandas_frame(ROW_ACCOUNTING, [{}]), ROW_ACCOUNTING, run_date=NIGHT, results=tmp_path)
    build_data_docs(tmp_path, NIGHT)
    whole = files(tmp_path)
    night = tmp_path / "2024-01-02"
    (night / "docs" / "index.html").unlink()  # killed while the old pages were removed
    (night / ".docs.killed").mkdir()  # killed while the new pages were written
    (night / ".docs.killed" / "index.html").write_text("<html")
    half_written = night / "results" / ".gold.recommendations.json.x"
    half_written.write_text("{")

    build_data_docs(tmp_path, NIGHT)

    half_written.unlink()
    assert files(tmp_path) == whole


def test_no_validation_gives_an_empty_start_page(tmp_path: Path) -> None:
    start = build_data_docs(tmp_path, NIGHT)

    assert "No table has been validated on this run date." in start.read_text()


def test_a_damaged_result_is_named_and_the_other_tables_have_their_pages(tmp_path: Path) -> None:
    for table in (ROW_ACCOUNTING, RECOMMENDATIONS):
        validate(pandas_frame(table, [{}]), table, run_date=NIGHT, results=tmp_path)
    results = tmp_path / "2024-01-02" / "results"
    damaged = results / "silver.row_accounting.json"
    damaged.write_text(damaged.read_text().replace("true", "false", 1))

    start = build_data_docs(tmp_path, NIGHT)

    assert [row[0] for row in cells(start.read_text())] == ["Table", "gold.recommendations"]
    assert (
        f"{damaged} is damaged: its checksum is another. Run the step that builds "
        "silver.row_accounting again." in start.read_text()
    )
    assert not (start.parent / "silver.row_accounting.html").exists()


@pytest.mark.parametrize("engine", ["pandas", "spark"])
def test_nothing_personal_is_kept_or_said(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name, phone = "Jane-Doe-4711", 493012345678
    table = Table(
        "gold",
        "people",
        "d",
        ("name", "phone"),
        (),
        (
            Column("name", "string", "d", allowed=("x",), personal=True),
            Column("phone", "long", "d", minimum=10**12, personal=True),
            Column("weight", "double", "d", minimum=0, personal=True),
        ),
    )
    rows = [{"name": name, "phone": phone, "weight": -float(phone)}] * 3
    bad: DataFrame | pd.DataFrame
    if engine == "spark":
        spark: SparkSession = request.getfixturevalue("spark")
        bad = frame(spark, table, rows)
    else:
        bad = pandas_frame(table, rows)
    together = [
        checks.unique(("phone", "name"), advice="A."),
        checks.complete_ranks(("name",), "phone", advice="A."),
        checks.sums_to("phone", ("weight",), advice="A."),
    ]

    with pytest.raises(DataQualityError) as error:
        validate(bad, table, run_date=NIGHT, results=tmp_path, checks=together)
    build_data_docs(tmp_path, NIGHT)

    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    texts = [str(error.value), *(path.read_text() for path in written)]
    assert texts[0].startswith("gold.people breaks 7 rule(s)")
    assert {path.suffix for path in written} == {".html", ".json", ""}
    assert [text for text in texts if name in text or str(phone) in text] == []


def test_pages_need_nothing_from_the_internet(tmp_path: Path) -> None:
    validate(pandas_frame(ROW_ACCOUNTING, [{}]), ROW_ACCOUNTING, run_date=NIGHT, results=tmp_path)
    docs = build_data_docs(tmp_path, NIGHT).parent

    for page in docs.iterdir():
        text = page.read_text()
        assert not re.search(r"https?:|src=|<script|@import|url\(", text), page
        links = re.findall(r'href="([^"#]+)"', text)
        assert links
        assert [link for link in links if not (docs / link).is_file()] == []


def test_names_from_the_data_are_text_not_markup(tmp_path: Path) -> None:
    table = Table("gold", "t", "d", ("a",), (), (Column("a", "string", "d"),))
    hostile = pd.DataFrame({"a": ["x"], "<script>alert(1)</script>": ["x"], "$a & $b": ["x"]})

    with pytest.raises(DataQualityError):
        validate(hostile, table, run_date=NIGHT, results=tmp_path)
    page = (build_data_docs(tmp_path, NIGHT).parent / "gold.t.html").read_text()

    assert "<script" not in page
    assert "column &lt;script&gt;alert(1)&lt;/script&gt; is not declared" in page
    assert "column $a &amp; $b is not declared" in page


def test_results_tell_the_run_date_and_no_clock(tmp_path: Path) -> None:
    lists = pandas_frame(ROW_ACCOUNTING, [{}])
    path = tmp_path / "2024-01-02" / "results" / "silver.row_accounting.json"

    validate(lists, ROW_ACCOUNTING, run_date=NIGHT, results=tmp_path)
    first = path.read_text()
    validate(lists, ROW_ACCOUNTING, run_date=NIGHT, results=tmp_path)

    assert path.read_text() == first
    result = json.loads(first)
    assert result["suite_name"] == "silver.row_accounting"
    assert result["meta"]["run_id"] == {
        "run_name": "2024-01-02",
        "run_time": "2024-01-02T00:00:00+00:00",
    }
