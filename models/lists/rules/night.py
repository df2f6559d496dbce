"""The rules of a surface on one night, put together for each group of people that they name."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache, reduce
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.core.context import Context
from models.core.interactions import Indices
from models.lists.rules.book import RuleBook
from models.lists.rules.conditions import Mask
from models.lists.rules.rule import Affinity, Cap, Pin, Quota, Rule
from models.lists.rules.shelf import Shelf

SELLABLE: Final = "sellable"
LIKENESS: Final = ("department", "category", "product_type", "brand")


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What all rules together ask of the lists of some people.

    Of each item: whether it is ``hidden``, how many places it ``moves``, after how many days it may
    ``repeat`` (``None`` where no rule says so). ``spread`` is how many places likeness costs, by
    ``likeness`` (attributes x items). Quotas and pins come with the place of their rule.
    """

    hidden: Mask
    moves: NDArray[np.float64] | None = None
    repeats: NDArray[np.float64] | None = None
    days_since: sparse.csr_array | None = None
    affinities: tuple[Affinity, ...] = ()
    caps: tuple[Cap, ...] = ()
    quotas: tuple[tuple[int, Quota], ...] = ()
    pins: tuple[tuple[int, Pin], ...] = ()
    spread: float = 0.0
    likeness: NDArray[np.int32] | None = None

    @property
    def arranges(self) -> bool:
        """Whether more than the first places of a ranking are needed."""
        return bool(
            self.moves is not None
            or self.affinities
            or self.caps
            or self.quotas
            or self.pins
            or self.spread
        )

    @property
    def highest(self) -> float:
        """How many places an item goes up at most."""
        return 0.0 if self.moves is None else max(float(np.max(self.moves, initial=0)), 0.0)

    def reach(self, size: int) -> int:
        """How much longer than lists of ``size`` a ranking should be, to be most likely enough.

        Whose ranking is not is ranked again, so that a longer one for everybody costs more than
        this saves. Pins need none.
        """
        # Of what there may be too many, much gives way; of what only moves down, little.
        if self.spread:
            spare = size
        elif self.caps or self.quotas:
            spare = size // 2
        else:
            spare = size // 4 if self.moves is not None or self.affinities else 0
        return int(min(self.highest, 2 * size)) + spare


@dataclass(frozen=True, slots=True, eq=False)
class NightRules:
    """The rules of a surface on a night; ``people`` (rules x users) is whom each is about.

    The last column is that of people whom the night does not know. ``group`` holds a number for
    each column, the same for people whom the same rules are about.
    """

    rules: tuple[Rule, ...]
    shelf: Shelf
    people: NDArray[np.bool_]
    group: NDArray[np.int64]
    _plans: dict[int, Plan] = field(default_factory=dict)

    @classmethod
    def of(cls, book: RuleBook, surface: str, shelf: Shelf) -> Self:
        """Look up what each rule is about."""
        rules = book.on(surface)
        people = np.ones((len(rules), len(shelf.users) + 1), dtype=np.bool_)
        group = np.zeros(people.shape[1], dtype=np.int64)
        divided: dict[int, Mask] = {}
        for place, rule in enumerate(rules):
            members = rule.people(shelf)
            if members is None:
                continue
            people[place] = np.append(members, False)
            # Rules with the same condition share one mask, and divide people once.
            if id(members) not in divided:
                divided[id(members)] = members
                group = np.unique(2 * group + people[place], return_inverse=True)[1]
        return cls(rules, shelf, people, group)

    def groups(self, users: Indices) -> Iterator[tuple[NDArray[np.int64], Plan]]:
        """``users`` by the rules that are about them: rows, and what these rules ask."""
        group = self.group[users]  # UNKNOWN is -1, the last column.
        for number in np.unique(group).tolist():
            rows = np.flatnonzero(group == number)
            if number not in self._plans:
                about = self.people[:, users[rows[0]]]
                self._plans[number] = self._plan(np.flatnonzero(about).tolist())
            yield rows, self._plans[number]

    def touched(
        self, users: Indices, item: Indices, placed_by: NDArray[np.int16]
    ) -> list[list[str]]:
        """The ids of the rules that had a hand in each of some places of lists, as lists of ids.

        Of each place there are its user, its item and the rule that put it there (``NO_RULE`` for
        none); rules that move the item are told too. What is hidden is in no list.
        """
        ids: list[list[str]] = [[] for _ in item]
        for number, rule in enumerate(self.rules):
            moved = rule.moves(self.shelf) if rule.about_items else None
            hand = placed_by == number
            if moved is not None:
                hand |= (moved[item] != 0) & self.people[number, users]
            for place in np.flatnonzero(hand).tolist():
                ids[place].append(rule.id)
        return ids

    def _plan(self, places: list[int]) -> Plan:
        shelf, rules = self.shelf, [self.rules[place] for place in places]
        hidden = np.zeros(len(shelf.items), dtype=np.bool_)
        for rule in rules:
            of_rule = rule.hides(shelf)
            if of_rule is not None:
                hidden |= of_rule
        moves = [moved for rule in rules if (moved := rule.moves(shelf)) is not None]
        repeats = [days for rule in rules if (days := rule.repeats_after(shelf)) is not None]
        spread = sum(rule.spreads() for rule in rules)
        return Plan(
            hidden=hidden,
            moves=reduce(np.add, moves) if moves else None,
            repeats=reduce(np.maximum, repeats) if repeats else None,
            days_since=shelf.days_since if repeats else None,
            affinities=tuple(
                wanted for rule in rules if (wanted := rule.affinity(shelf)) is not None
            ),
            caps=tuple(cap for rule in rules for cap in rule.caps(shelf)),
            quotas=tuple(
                (place, quota) for place in places for quota in self.rules[place].quotas(shelf)
            ),
            pins=tuple(
                sorted(
                    ((place, pin) for place in places for pin in self.rules[place].pins(shelf)),
                    key=lambda pinned: pinned[1].place,
                )
            ),
            spread=spread,
            likeness=np.stack([shelf.codes(name) for name in LIKENESS]) if spread else None,
        )


def night_rules(book: RuleBook, surface: str, shelf: Shelf | None) -> NightRules | None:
    """The rules of a surface; ``None`` where there are none, or nothing to look at."""
    if shelf is None or not book.on(surface):
        return None
    return NightRules.of(book, surface, shelf)


def rule_warnings(book: RuleBook, night: date, shelf: Shelf | None) -> tuple[str, ...]:
    """What a person should know of rules that do nothing on a night, or not what they say."""
    said = [
        f"rule {rule.id} expired on {rule.valid_to}: take it out of the file"
        for rule in book.rules
        if rule.valid_to is not None and rule.valid_to < night
    ]
    if shelf is None:
        return tuple(said)
    hidden_by: dict[int, str] = {}
    active = book.active(night).rules
    for rule in active:
        hidden = rule.hides(shelf)
        if hidden is not None and not rule.users:
            hidden_by |= dict.fromkeys(np.flatnonzero(hidden).tolist(), rule.id)
    open_items = _sellable(shelf)
    open_items[list(hidden_by)] = False
    for rule in active:
        people = rule.people(shelf)
        pins = rule.pins(shelf)
        if people is not None and not people.any():
            said.append(f"rule {rule.id} is about nobody tonight")
        if not rule.chosen(shelf).any() or (rule.kind == "pin" and not pins):
            said.append(f"rule {rule.id} is about no item tonight")
        said += [
            f"rule {rule.id} asks for {quota.at_least} items, tonight there are {left} to show"
            for quota in rule.quotas(shelf)
            if (left := int((quota.items & open_items).sum())) < quota.at_least
        ]
        said += [
            f"rule {rule.id} pins an item that rule {hidden_by[pin.item]} hides"
            for pin in pins
            if pin.item in hidden_by
        ]
    return tuple(said)


def _sellable(shelf: Shelf) -> Mask:
    """The items that may be sold, where the night says so, else all."""
    if SELLABLE not in shelf.items:
        return np.ones(len(shelf.items), dtype=np.bool_)
    return shelf.items[SELLABLE].eq(True).to_numpy(dtype=bool, na_value=False).copy()


@lru_cache(maxsize=8)
def of_context(book: RuleBook, surface: str, context: Context) -> NightRules:
    """The rules as of a past night; kept, as a night is asked for many times."""
    return NightRules.of(book, surface, Shelf.of(context))
