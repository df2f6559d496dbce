"""The verdict on a challenger: figures in, a decision with every figure and reason out.

Which figures are compared, and why, is told in ``docs/decisions/0002-gate-compares-recipes.md`` and
``docs/decisions/0004-better-than-every-heuristic.md``.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from models.core.interactions import UNKNOWN, Indices
from models.core.lists import Lists
from models.evaluation.bootstrap import Difference
from models.evaluation.primary import PLACES

# Lists of ten from a smaller catalogue are alike whatever the method.
LEAST_CATALOGUE: Final = 10 * PLACES
NIGHT: Final = "night"
HEAD: Final = ("list", "rule", "challenger", "against", "verdict", "asked")
VERDICT: Final = HEAD.index("verdict")
REFUSED: Final = "REFUSED"
LONGEST_LINE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a challenger may do; the fields are those of ``[gate]`` and ``[train]``."""

    tolerance: float
    coverage_ratio: float
    constant_share: float
    popular_share: float
    churn: float
    cold_user_days: int
    cold_users: int
    cold_tolerance: float


@dataclass(frozen=True, slots=True)
class Served:
    """What the lists of one model look like, up to their tenth place.

    ``finite`` says whether all its numbers and scores are, ``constant_share`` is the share of
    lists that have one and the same score for all items of their first item's source (among lists
    with several such items), ``coverage`` the share of sellable items in somebody's list,
    ``popular_share`` the share of places whose item is in the user's list of popular items too
    (``None`` where the catalogue is too small to say).
    """

    finite: bool
    constant_share: float
    coverage: float
    popular_share: float | None = None


@dataclass(frozen=True, slots=True)
class Rival:
    """Another method on the same users: its NDCG@10, and the challenger's less its own.

    ``difference`` is ``None`` where both are the same recipe.
    """

    name: str
    ndcg: float
    difference: Difference | None


@dataclass(frozen=True, slots=True)
class Segment:
    """Some of the users: how many, the challenger's NDCG@10, and its rivals'."""

    users: int
    ndcg: float
    rivals: tuple[Rival, ...]


@dataclass(frozen=True, slots=True)
class ListFigures:
    """All that the gate looks at for one list.

    NDCG@10 is that of recipes on the challenger's test window. ``heuristics`` are the night's
    simple methods but the one published, ``is_heuristic`` says whether that is one too, and
    ``is_popularity`` whether it is the list of popular items. ``champion``, ``champion_recipe`` and
    ``churn`` are ``None`` before the first champion.
    """

    list_name: str
    challenger: Served
    ndcg: float
    heuristics: tuple[Rival, ...]
    cold: Segment
    is_heuristic: bool = False
    is_popularity: bool = False
    champion: Served | None = None
    champion_recipe: Rival | None = None
    churn: float | None = None

    @property
    def gain(self) -> float | None:
        """NDCG@10 less that of the best heuristic; ``None`` where none is compared."""
        gains = [rival.difference.mean for rival in self.heuristics if rival.difference]
        return min(gains, default=None)


@dataclass(frozen=True, slots=True)
class Check:
    """One rule: the challenger's figure, what it is held against, what is asked, and the outcome.

    ``against`` is the champion's figure or, in rules that name a method, that method's;
    ``difference`` is how sure the distance between the two is, where users can say.
    """

    list_name: str
    rule: str
    challenger: float
    against: float | None
    asked: str
    passed: bool
    difference: Difference | None = None


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
            f"{check.list_name}: {check.rule} is {check.challenger:.4g}; asked: {check.asked}"
            for check in self.checks
            if not check.passed
        )

    def table(self) -> str:
        """The checks as aligned lines of text, each in one line however long."""
        table = Table(*HEAD, box=None, pad_edge=False)
        for row in self._rows():
            table.add_row(*row)
        console = Console(width=LONGEST_LINE, color_system=None, markup=False)
        with console.capture() as text:
            console.print(table)
        return "\n".join(line.rstrip() for line in text.get().splitlines())

    def markdown(self) -> str:
        """The checks as a table of Markdown, those not met first."""
        rows = sorted(self._rows(), key=lambda row: row[VERDICT] != REFUSED)
        lines = [HEAD, ("---",) * len(HEAD), *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                check.list_name,
                check.rule,
                f"{check.challenger:.4f}",
                "-" if check.against is None else f"{check.against:.4f}",
                "pass" if check.passed else REFUSED,
                check.asked,
            )
            for check in self.checks
        ]


def served(lists: Lists, *, sellable: int, finite: bool, popular: Indices | None = None) -> Served:
    """Describe the lists of a model: are its own numbers ``finite``, how many items may it list?

    ``popular`` are the same users' popular items (users x places).
    """
    lists = lists.head(PLACES)
    filled = lists.item != UNKNOWN
    own = filled & (lists.source == lists.source[:, :1])
    several = own.sum(axis=1) > 1
    highest = np.where(own, lists.score, -np.inf).max(axis=1)
    lowest = np.where(own, lists.score, np.inf).min(axis=1)
    constant = (highest == lowest)[several]
    popular_share = None
    if popular is not None and sellable >= LEAST_CATALOGUE:
        popular_share = 1 - share_of_others(lists.item, popular)
    return Served(
        finite=finite and bool(np.isfinite(lists.score[filled]).all()),
        constant_share=float(constant.mean()) if len(constant) else 0.0,
        coverage=len(np.unique(lists.item[filled])) / sellable if sellable else 0.0,
        popular_share=popular_share,
    )


def share_of_others(item: Indices, reference: Indices) -> float:
    """Mean over users of the share of a list's items that the user's reference list lacks.

    Both are users x places of one vocabulary, the same user in the same row. 1 where there is no
    list at all.
    """
    listed = item != UNKNOWN
    kept = listed & (item[:, :, np.newaxis] == reference[:, np.newaxis, :]).any(axis=2)
    lengths = listed.sum(axis=1)
    some = lengths > 0
    return float((1 - kept.sum(axis=1)[some] / lengths[some]).mean()) if some.any() else 1.0


def decide(
    figures: Iterable[ListFigures], limits: Limits, *, unchecked: Sequence[str] = ()
) -> Verdict:
    """Hold the figures of each list against the limits; a figure that is no number fails.

    ``unchecked`` names the steps of the night that did not end with all their data checks passed.
    """
    data_checks = Check(
        NIGHT,
        "data checks",
        float(not unchecked),
        None,
        f"those of {', '.join(unchecked)} too" if unchecked else "those of every step",
        not unchecked,
    )
    return Verdict((data_checks, *(check for entry in figures for check in _checks(entry, limits))))


def _checks(entry: ListFigures, limits: Limits) -> Iterator[Check]:
    name, challenger, champion = entry.list_name, entry.challenger, entry.champion
    yield Check(
        name,
        "finite",
        float(challenger.finite),
        None if champion is None else float(champion.finite),
        "1",
        challenger.finite,
    )
    yield Check(
        name,
        "constant lists",
        challenger.constant_share,
        None if champion is None else champion.constant_share,
        f"at most {limits.constant_share:.2f}",
        challenger.constant_share <= limits.constant_share,
    )
    least = 0.0 if champion is None else limits.coverage_ratio * champion.coverage
    yield Check(
        name,
        "coverage@10",
        challenger.coverage,
        None if champion is None else champion.coverage,
        "more than 0" if champion is None else f"at least {least:.4f}",
        challenger.coverage >= least and challenger.coverage > 0,
    )
    if challenger.popular_share is not None and not entry.is_popularity:
        yield Check(
            name,
            "popular items@10",
            challenger.popular_share,
            None if champion is None else champion.popular_share,
            f"at most {limits.popular_share:.2f}",
            challenger.popular_share <= limits.popular_share,
        )
    if entry.churn is not None:
        yield Check(
            name,
            "churn@10",
            entry.churn,
            None,
            f"at most {limits.churn:.2f}",
            entry.churn <= limits.churn,
        )
    yield _against_champion(entry, limits)
    if not entry.heuristics and not entry.is_heuristic:
        yield Check(name, "heuristics tried", 0.0, None, "at least 1 in `[train] methods`", False)
    for rival in entry.heuristics:
        yield _against_heuristic(entry, rival)
    for rival in entry.cold.rivals:
        yield _cold_users(entry, rival, limits)


def _against_champion(entry: ListFigures, limits: Limits) -> Check:
    passed, asked, rival = math.isfinite(entry.ndcg), "a number", entry.champion_recipe
    if rival is not None and rival.difference is None:
        asked = "the champion's recipe"
    elif rival is not None and rival.difference is not None:
        gain, least = rival.difference, -limits.tolerance * rival.ndcg
        passed = passed and (gain.mean >= least or gain.high >= 0)
        asked = f"difference at least {least:.4f}, or 0 within its interval: {gain}"
    return Check(
        entry.list_name,
        "ndcg@10",
        entry.ndcg,
        None if rival is None else rival.ndcg,
        asked,
        passed,
        None if rival is None else rival.difference,
    )


def _against_heuristic(entry: ListFigures, rival: Rival) -> Check:
    """Surely better; one heuristic against another only has to be not surely worse."""
    gain = rival.difference
    if gain is None:
        asked, passed = "the same recipe", True
    elif entry.is_heuristic:
        asked, passed = f"upper end at least 0: {gain}", gain.high >= 0
    else:
        asked, passed = f"lower end above 0: {gain}", gain.low > 0
    return Check(
        entry.list_name, f"ndcg@10 over {rival.name}", entry.ndcg, rival.ndcg, asked, passed, gain
    )


def _cold_users(entry: ListFigures, rival: Rival, limits: Limits) -> Check:
    """Not surely worse than the rival by more than the tolerance, for users with little history."""
    cold, gain = entry.cold, rival.difference
    least = -limits.cold_tolerance * rival.ndcg
    if gain is None:
        asked, passed = "the champion's recipe", True
    elif cold.users < limits.cold_users:
        asked, passed = f"not judged: {cold.users} users of {limits.cold_users} needed", True
    else:
        passed = gain.high >= least
        asked = f"upper end at least {least:.4f}: {gain}, {cold.users} users"
    return Check(
        entry.list_name,
        f"cold ndcg@10 over {rival.name}",
        cold.ndcg,
        rival.ndcg,
        asked,
        passed,
        gain,
    )
