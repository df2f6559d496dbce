from datetime import date, timedelta
from pathlib import Path

import pytest

from lakehouse.clean.row_accounting import Tally, accounting_rows, rows_of_night, usual, usual_rows
from lakehouse.errors import DataError
from lakehouse.io import arrow
from lakehouse.tables import BRONZE_EVENTS, BRONZE_ITEMS, ROW_ACCOUNTING

NIGHT = date(2024, 1, 2)


def test_rows_that_add_up_pass() -> None:
    Tally(bronze_rows=6, silver_rows=3, quarantine_rows=2, duplicate_rows=1).check("t", NIGHT)
    Tally().check("t", NIGHT)


@pytest.mark.parametrize("tally", [Tally(7, 3, 2, 1), Tally(5, 3, 2, 1), Tally(bronze_rows=1)])
def test_a_lost_or_doubled_row_is_an_error(tally: Tally) -> None:
    with pytest.raises(DataError, match=r"bronze\.events, ingest_date 2024-01-02: \d rows, but"):
        tally.check("bronze.events", NIGHT)


def test_accounting_rows_follow_the_declaration() -> None:
    rows = accounting_rows({"bronze.users": Tally(), "bronze.events": Tally(6, 3, 2, 1)}, NIGHT)
    assert rows.schema.equals(arrow.arrow_schema(ROW_ACCOUNTING))
    assert rows.to_pylist() == [
        {
            "ingest_date": NIGHT,
            "table_name": name,
            "bronze_rows": bronze,
            "silver_rows": silver,
            "quarantine_rows": quarantine,
            "duplicate_rows": duplicates,
        }
        for name, bronze, silver, quarantine, duplicates in (
            ("bronze.events", 6, 3, 2, 1),
            ("bronze.users", 0, 0, 0, 0),
        )
    ]


def test_the_usual_night_is_a_median_of_the_last_nights_that_had_rows() -> None:
    nights = {NIGHT + timedelta(days=day): rows for day, rows in enumerate([1_000, *range(6)])}
    assert usual({}) is None
    assert usual(dict(list(nights.items())[:6])) is None
    assert usual(nights) == 3.0
    many = {NIGHT + timedelta(days=day): 10 if day < 100 else 20 for day in range(128)}
    assert usual(many) == 20.0


def test_the_usual_rows_are_read_for_one_table_before_a_night(tmp_path: Path) -> None:
    assert usual_rows(tmp_path, BRONZE_EVENTS, before=NIGHT) is None
    for day in range(1, 10):
        night = NIGHT - timedelta(days=day)
        rows = 0 if day == 9 else day * 100
        tallies = {"bronze.events": Tally(rows, rows), "bronze.items": Tally(5, 5)}
        accounting = accounting_rows(tallies, night)
        arrow.replace(tmp_path, ROW_ACCOUNTING, accounting, {"ingest_date": night})
    assert usual_rows(tmp_path, BRONZE_EVENTS, before=NIGHT) == 450.0
    assert usual_rows(tmp_path, BRONZE_EVENTS, before=NIGHT - timedelta(days=1)) == 500.0
    assert usual_rows(tmp_path, BRONZE_EVENTS, before=NIGHT - timedelta(days=2)) is None
    assert usual_rows(tmp_path, BRONZE_ITEMS, before=NIGHT) == 5.0
    assert rows_of_night(tmp_path, ROW_ACCOUNTING, NIGHT - timedelta(days=1)) == 2
    assert rows_of_night(tmp_path, ROW_ACCOUNTING, NIGHT) == 0
