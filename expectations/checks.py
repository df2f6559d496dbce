"""Rules that a table's declaration cannot hold: volume, shares, rows together, other tables.

A builder returns a ``Check`` (``usual_volume`` several) for ``expectations.validation.validate``.
A rule of severity *fail* stops the night; one of severity *warn* is reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from great_expectations.expectations.core.expect_column_max_to_be_between import (
    ExpectColumnMaxToBeBetween,
)
from great_expectations.expectations.core.expect_table_row_count_to_be_between import (
    ExpectTableRowCountToBeBetween,
)
from great_expectations.expectations.expectation import Expectation

from expectations.rules import (
    GroupsRanked,
    RowsBalanced,
    RowsUnique,
    Severity,
    about,
)


@dataclass(frozen=True, slots=True)
class Check:
    """One rule: a Great Expectations expectation, on the frame or on a number measured elsewhere.

    ``measured`` is the number and its name, for a rule on more than the frame holds.
    """

    expectation: Expectation
    measured: tuple[str, float] | None = None


def row_count(
    *,
    minimum: int | None = None,
    maximum: int | None = None,
    advice: str,
    severity: Severity = "fail",
) -> Check:
    """The frame has between ``minimum`` and ``maximum`` rows, inclusive."""
    return Check(
        ExpectTableRowCountToBeBetween(
            min_value=minimum,
            max_value=maximum,
            **about(f"the row count must be {_bounds(minimum, maximum)}", advice, severity),
        )
    )


def usual_volume(
    usual_rows: float | None, *, fail_below: float, warn_below: float, warn_above: float
) -> tuple[Check, ...]:
    """The frame's rows against those of a usual night; no rule without a usual night.

    The bounds are multiples of ``usual_rows``: *fail* below the first, *warn* below the second or
    above the third.
    """
    if not usual_rows:
        return ()
    advice = (
        f"A usual night has {usual_rows:,.0f} rows. Look for missing or repeated deliveries in the "
        "landing folder; if the night really is like this, change [quality] in the configuration."
    )
    return (
        row_count(minimum=round(usual_rows * fail_below), advice=advice),
        row_count(
            minimum=round(usual_rows * warn_below),
            maximum=round(usual_rows * warn_above),
            advice=advice,
            severity="warn",
        ),
    )


def measure(
    name: str,
    value: float,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    advice: str,
    severity: Severity = "fail",
) -> Check:
    """A number that the step measured, e.g. over two tables, lies within bounds, inclusive.

    ``name`` is what was measured, in words: it is shown in messages and in Data Docs.
    """
    return Check(
        ExpectColumnMaxToBeBetween(
            column=name,
            min_value=minimum,
            max_value=maximum,
            **about(f"{name} must be {_bounds(minimum, maximum)}", advice, severity),
        ),
        measured=(name, value),
    )


def share(
    name: str,
    part: int,
    whole: int,
    *,
    maximum: float,
    advice: str,
    severity: Severity = "fail",
) -> Check:
    """``part / whole`` is at most ``maximum``; the share of nothing is 0."""
    return measure(
        name, part / whole if whole else 0.0, maximum=maximum, advice=advice, severity=severity
    )


def unique(columns: Sequence[str], *, advice: str, severity: Severity = "fail") -> Check:
    """No two rows have the same values in ``columns``; the grain is checked without this."""
    return Check(
        RowsUnique(
            columns=list(columns),
            **about(f"{', '.join(columns)} must be different in every row", advice, severity),
        )
    )


def complete_ranks(
    group_by: Sequence[str], rank: str, *, advice: str, severity: Severity = "fail"
) -> Check:
    """The rows of every group are ranked from 1 without gap or tie."""
    return Check(
        GroupsRanked(
            group_by=list(group_by),
            rank=rank,
            **about(
                f"{rank} must count from 1 without gap or tie for every {' and '.join(group_by)}",
                advice,
                severity,
            ),
        )
    )


def sums_to(total: str, parts: Sequence[str], *, advice: str, severity: Severity = "fail") -> Check:
    """In every row, ``total`` is the sum of ``parts``."""
    return Check(
        RowsBalanced(
            total=total,
            parts=list(parts),
            **about(f"{total} must equal {' + '.join(parts)} in every row", advice, severity),
        )
    )


def _bounds(minimum: float | None, maximum: float | None) -> str:
    """The bounds in words; raises ``ValueError`` without any, as nothing could break the rule."""
    if minimum is None and maximum is None:
        raise ValueError("a rule needs a minimum or a maximum")
    if maximum is None:
        return f"at least {minimum:,}"
    if minimum is None:
        return f"at most {maximum:,}"
    return f"from {minimum:,} to {maximum:,}"
