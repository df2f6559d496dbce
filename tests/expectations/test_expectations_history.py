"""What became of each rule, as rows of a table."""

from datetime import date
from pathlib import Path

import pytest

from expectations import checks
from expectations.history import rule_results
from expectations.validation import validate
from lakehouse.errors import DataQualityError
from lakehouse.tables import QUARANTINE, ROW_ACCOUNTING
from tests.expectations.test_expectations import pandas_frame

NIGHT = date(2024, 1, 2)
OWNERS = {"silver": "data", "silver.quarantine": "law"}


def test_each_rule_has_a_row_with_what_was_observed(tmp_path: Path) -> None:
    validate(
        pandas_frame(ROW_ACCOUNTING, [{}]),
        ROW_ACCOUNTING,
        run_date=NIGHT,
        results=tmp_path,
        checks=[
            checks.row_count(minimum=2, advice="A.", severity="warn"),
            checks.share("the share of tea", 1, 4, maximum=0.5, advice="B.", severity="fail"),
        ],
    )
    with pytest.raises(DataQualityError):
        validate(
            pandas_frame(QUARANTINE, [{"row_number": 0}, {}]),
            QUARANTINE,
            run_date=NIGHT,
            results=tmp_path,
        )
    (tmp_path / "2024-01-02" / "results" / "silver.users.json").write_text("{")
    rows = {(row["table_name"], row["rule"]): row for row in rule_results(tmp_path, NIGHT, OWNERS)}
    assert {table for table, _ in rows} == {"silver.row_accounting", "silver.quarantine"}
    common = {"run_date": NIGHT, "table_name": "silver.row_accounting", "owner": "data"}
    counts = {"rows": None, "broken_rows": None}
    few = "the row count must be at least 2"
    assert rows["silver.row_accounting", few] == {
        **common,
        **counts,
        "expectation": "expect_table_row_count_to_be_between",
        "subject": "",
        "rule": few,
        "severity": "warn",
        "observed": 1.0,
        "verdict": "broken",
    }
    tea = "the share of tea must be at most 0.5"
    assert rows["silver.row_accounting", tea] == {
        **common,
        **counts,
        "expectation": "expect_column_max_to_be_between",
        "subject": "the share of tea",
        "rule": tea,
        "severity": "fail",
        "observed": 0.25,
        "verdict": "passed",
    }
    low = "row_number must be at least 1"
    assert rows["silver.quarantine", low] == {
        "run_date": NIGHT,
        "table_name": "silver.quarantine",
        "owner": "law",
        "expectation": "column_between",
        "subject": "row_number",
        "rule": low,
        "severity": "fail",
        "rows": 2,
        "broken_rows": 1,
        "observed": 0.5,
        "verdict": "broken",
    }
    assert list(rule_results(tmp_path, date(2024, 1, 3), OWNERS)) == []
