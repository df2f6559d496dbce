"""The days on which a night's history is cut for validation, test and publishing."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from lakehouse.errors import ConfigurationError

FIRST_DAY: Final = date(1970, 1, 1)
LAST_DAY: Final = date(2200, 12, 31)


@dataclass(frozen=True, slots=True)
class Windows:
    """The validation and the test window that end at a run date.

    The windows are half-open, lie side by side and end with the day before ``run_date``: validation
    is ``[validation_start, test_start)``, test is ``[test_start, run_date)``. Raises
    ``ConfigurationError`` where they begin before ``FIRST_DAY``.
    """

    run_date: date
    test_days: int
    validation_days: int

    def __post_init__(self) -> None:
        if self.validation_start < FIRST_DAY:
            raise ConfigurationError(
                f"the windows of the night {self.run_date} (`[train] test_days` = "
                f"{self.test_days}, `validation_days` = {self.validation_days}) begin on "
                f"{self.validation_start}, before {FIRST_DAY}. Give a later run date or shorter "
                "windows."
            )

    @property
    def test_start(self) -> date:
        """First day of the test window."""
        return self.run_date - timedelta(days=self.test_days)

    @property
    def validation_start(self) -> date:
        """First day of the validation window."""
        return self.test_start - timedelta(days=self.validation_days)

    @property
    def as_of_dates(self) -> tuple[date, date, date]:
        """The nights that need features: one for each window's start, and the run date itself."""
        return (self.validation_start, self.test_start, self.run_date)
