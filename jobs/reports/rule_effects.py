"""What a night's business rules did to somebody's list: as it is, beside as it would be without."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

import numpy as np

from jobs.config.settings import Settings
from jobs.night.inputs import read_shelf
from jobs.night.recipes import served_policy
from jobs.night.registry import open_registry
from lakehouse.lists import PERSONAL, Surface
from models.core.interactions import UNKNOWN, Indices, index_of
from models.core.lists import Lists
from models.lists.path import Policy
from models.lists.published import PUBLISHED_FOLDER, Published
from models.lists.rules.book import NO_RULES, RuleBook
from models.lists.rules.night import night_rules
from models.lists.rules.rule import Rule
from models.lists.rules.shelf import Shelf

# What people look at.
FIRST: Final = 10
# Each rule is taken away in turn to see what it left out; beyond so many it is not told.
MOST_RULES: Final = 50


@dataclass(frozen=True, slots=True)
class Listed:
    """An item that is in a list or would be: its place now and without any rule, ``None`` if out.

    ``item`` is its id, or for people its title. ``rules`` are those that put or moved it there, or
    each of which alone leaves it out.
    """

    item: str
    place: int | None
    before: int | None
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Effect:
    """The first places of one user's list, and behind them what stood there without rules."""

    user: str
    list_name: str
    listed: tuple[Listed, ...]


def greatest_effect(settings: Settings, run_date: date, users: Sequence[str]) -> Effect | None:
    """The list, of those of ``users``, to which rules brought most items of the first places.

    ``None`` where they brought none. Lists are made again by the model of the night. Raises
    ``DataError`` or ``InfrastructureError`` where that, or what it was trained on, is not there any
    more.
    """
    policy = served_policy(settings, run_date)
    if not policy.book.rules or not users:
        return None
    registry = open_registry(settings)
    version = registry.passed(run_date)
    published = Published.load(registry.folder(version) / PUBLISHED_FOLDER)
    night = _Night(published, policy, read_shelf(settings, version.provenance, published))
    indices = index_of(published.user_ids, users)
    most, found = 0, None
    for surface in PERSONAL:
        if policy.book.on(surface.name):
            now, before = (night.lists(surface, indices, of) for of in (policy.book, NO_RULES))
            here, usual = now.item[:, :FIRST], before.item[:, :FIRST]
            changed = (~(here[:, :, None] == usual[:, None, :]).any(axis=2)).sum(axis=1)
            row = int(changed.argmax())
            if changed[row] > most:
                most, found = changed[row], (surface, row)
    if found is None:
        return None
    surface, row = found
    listed = night.listed(surface, indices[[row]])
    return Effect(users[row], surface.name, tuple(listed))


@dataclass(frozen=True, slots=True, eq=False)
class _Night:
    """What lists are made from."""

    published: Published
    policy: Policy
    shelf: Shelf

    def lists(self, surface: Surface, users: Indices, book: RuleBook) -> Lists:
        """The lists of ``users`` as shown under some of the rules."""
        policy = replace(self.policy, book=book)
        rules = night_rules(book, surface.name, self.shelf)
        return self.published.lists(surface, users, policy, rules).head(policy.on(surface).shown)

    def listed(self, surface: Surface, user: Indices) -> Iterator[Listed]:
        """What stands in the first places of one user's list, then what else would."""
        book = self.policy.book
        lists = self.lists(surface, user, book)
        now, before = _places(lists), _places(self.lists(surface, user, NO_RULES))
        touched = self._touched(surface, user, lists)
        without = {
            rule.id: _places(self.lists(surface, user, _all_but(book, rule)))
            for rule in book.on(surface.name)[:MOST_RULES]
        }
        for item, place in now.items():
            usual = before.get(item)
            if min(place, usual or place) <= FIRST:
                rules = () if usual == place else tuple(touched[place - 1])
                yield Listed(self._id(item), place, usual, rules)
        for item, usual in before.items():
            if item not in now and usual <= FIRST:
                back = tuple(name for name, items in without.items() if item in items)
                yield Listed(self._id(item), None, usual, back)

    def _id(self, item: int) -> str:
        return str(self.published.item_ids[item])

    def _touched(self, surface: Surface, user: Indices, lists: Lists) -> list[list[str]]:
        """The rules with a hand in each place of the list."""
        rules = night_rules(self.policy.book, surface.name, self.shelf)
        if rules is None:
            return [[] for _ in lists.item[0]]
        people = np.repeat(user, lists.item.shape[1])
        return rules.touched(people, lists.item[0], lists.rule[0])


def _all_but(book: RuleBook, rule: Rule) -> RuleBook:
    return RuleBook(tuple(one for one in book.rules if one is not rule))


def _places(lists: Lists) -> Mapping[int, int]:
    """The place, from 1, of each item of the one list."""
    items = lists.item[0].tolist()
    return {item: place for place, item in enumerate(items, start=1) if item != UNKNOWN}
