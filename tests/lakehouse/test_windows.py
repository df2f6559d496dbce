from datetime import date

import pytest

from lakehouse.errors import ConfigurationError
from lakehouse.windows import Windows


def test_the_windows_end_at_the_run_date() -> None:
    assert Windows(date(2024, 3, 1), 28, 14).as_of_dates == (
        date(2024, 1, 19),
        date(2024, 2, 2),
        date(2024, 3, 1),
    )
    assert Windows(date(1970, 2, 26), 28, 28).validation_start == date(1970, 1, 1)


def test_windows_before_1970_are_refused_by_name() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Windows(date(1970, 2, 25), 28, 28)
    assert str(caught.value) == (
        "the windows of the night 1970-02-25 (`[train] test_days` = 28, `validation_days` = 28) "
        "begin on 1969-12-31, before 1970-01-01. Give a later run date or shorter windows."
    )
