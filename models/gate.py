"""The verdict on a challenger: figures in, a decision with every figure and reason out.

Which figures are compared, and why, is told in ``docs/decisions/0002-gate-compares-recipes.md``.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.base import Lists
from models.bootstrap import Difference
from models.interactions import UNKNOWN

COVERAGE_PLACES: Final = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """What a challenger may do.

    ``tolerance`` is the relative loss of NDCG@10 that is accepted, ``coverage_ratio`` the least
    share of the champion's catalogue coverage, ``constant_share`` the greatest share of lists
    whose scores are all the same.
    """

    tolerance: float
    coverage_ratio: float = 0.5
    constant_share: float = 0.95


@dataclass(frozen=True, slots=True)
class Served:
    """What the lists of one model look like.

    ``finite`` says whether all its numbers and scores are, ``constant_share`` is the share of
    lists that have one and the same score for all items of their first item's source (among lists
    with several such items), ``coverage`` the share of sellable items in somebody's first ten
    places.
    """

    finite: bool
    constant_share: float
    coverage: float


@dataclass(frozen=True, slots=True)
class ListFigures:
    """All that the gate looks at for one list.

    ``champion`` and ``champion_ndcg`` are ``None`` before the first champion. NDCG@10 is that of
    both recipes on the challenger's test window; ``difference`` is challenger less champion over
    its users, ``None`` where the recipes are the same.
    """

    list_name: str
    challenger: Served
    challenger_ndcg: float
    champion: Served | None = None
    champion_ndcg: float | None = None
    difference: Difference | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One rule: both sides' figures, what is asked, and whether the challenger meets it."""

    list_name: str
    rule: str
    challenger: float
    champion: float | None
    asked: str
    passed: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """Every check of every list."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check is met."""
        return all(check.passed for check in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """A sentence for each check that is not met."""
        return tuple(
            f"list {check.list_name}: {check.rule} is {check.challenger:.4g}; asked: {check.asked}"
            for check in self.checks
            if not check.passed
        )

    def table(self) -> str:
        """The checks as aligned lines of text."""
        head = ("list", "rule", "challenger", "champion", "verdict", "asked")
        rows = [
            (
                check.list_name,
                check.rule,
                f"{check.challenger:.4f}",
                "-" if check.champion is None else f"{check.champion:.4f}",
                "pass" if check.passed else "REFUSED",
                check.asked,
            )
            for check in self.checks
        ]
        widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (head, *rows)
        )


def served(lists: Lists, *, sellable: int, finite: bool) -> Served:
    """Describe the lists of a model: are its own numbers ``finite``, how many items may it list?"""
    filled = lists.item != UNKNOWN
    own = filled & (lists.source == lists.source[:, :1])
    several = own.sum(axis=1) > 1
    highest = np.where(own, lists.score, -np.inf).max(axis=1)
    lowest = np.where(own, lists.score, np.inf).min(axis=1)
    constant = (highest == lowest)[several]
    listed = lists.item[:, :COVERAGE_PLACES]
    return Served(
        finite=finite and bool(np.isfinite(lists.score[filled]).all()),
        constant_share=float(constant.mean()) if len(constant) else 0.0,
        coverage=len(np.unique(listed[listed != UNKNOWN])) / sellable if sellable else 0.0,
    )


def decide(figures: Iterable[ListFigures], limits: Limits) -> Verdict:
    """Hold the figures of each list against the limits; a figure that is no number fails."""
    return Verdict(tuple(check for entry in figures for check in _checks(entry, limits)))


def _checks(entry: ListFigures, limits: Limits) -> Iterator[Check]:
    challenger, champion = entry.challenger, entry.champion
    yield Check(
        entry.list_name,
        "finite",
        float(challenger.finite),
        None if champion is None else float(champion.finite),
        "1",
        challenger.finite,
    )
    yield Check(
        entry.list_name,
        "constant lists",
        challenger.constant_share,
        None if champion is None else champion.constant_share,
        f"at most {limits.constant_share:.2f}",
        challenger.constant_share <= limits.constant_share,
    )
    least = 0.0 if champion is None else limits.coverage_ratio * champion.coverage
    yield Check(
        entry.list_name,
        "coverage@10",
        challenger.coverage,
        None if champion is None else champion.coverage,
        "more than 0" if champion is None else f"at least {least:.4f}",
        challenger.coverage >= least and challenger.coverage > 0,
    )
    yield _quality(entry, limits)


def _quality(entry: ListFigures, limits: Limits) -> Check:
    passed = math.isfinite(entry.challenger_ndcg)
    asked = "a number"
    if entry.champion_ndcg is not None:
        asked = "the champion's recipe"
    if entry.champion_ndcg is not None and entry.difference is not None:
        gain = entry.difference
        least = -limits.tolerance * entry.champion_ndcg
        passed = passed and (gain.mean >= least or gain.high >= 0)
        asked = (
            f"difference at least {least:.4f}, or 0 within its interval: "
            f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
        )
    return Check(
        entry.list_name,
        "ndcg@10",
        entry.challenger_ndcg,
        entry.champion_ndcg,
        asked,
        passed,
    )
