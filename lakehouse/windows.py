"""The days on which a night's history is cut for validation, test and publishing."""

from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Windows:
    """The validation and the test window that end at a run date.

    The windows are half-open, lie side by side and end with the day before ``run_date``: validation
    is ``[validation_start, test_start)``, test is ``[test_start, run_date)``.
    """

    run_date: date
    test_days: int
    validation_days: int

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
