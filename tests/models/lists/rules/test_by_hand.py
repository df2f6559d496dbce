"""Everybody's lists at once are those that plain Python makes of the same rules one by one."""

from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from lakehouse.lists import ALL, DISCOVER, Surface
from models.core.assortment import Assortment
from models.core.base import Known
from models.core.interactions import UNKNOWN
from models.lists import path
from models.lists.path import Policy, make_lists
from models.lists.rules.book import RuleBook
from models.lists.rules.night import LIKENESS, NightRules
from models.lists.rules.shelf import Shelf
from models.recommenders.als import ImplicitAls

USERS, ITEMS, SIZE = 9, 40, 8
ATTRIBUTES = {"department": 2, "category": 5, "product_type": 8, "brand": 4}
Rule = dict[str, Any]


class Night(NamedTuple):
    """A made-up shop: scores and sales are whole numbers, so that there are ties."""

    method: ImplicitAls
    assortment: Assortment
    shelf: Shelf

    @classmethod
    def of(cls, seed: int) -> "Night":
        random = np.random.default_rng(seed)
        ids = (
            np.array([f"u{place}" for place in range(USERS)], dtype=object),
            np.array([f"i{place:02}" for place in range(ITEMS)], dtype=object),
        )
        taken = random.integers(0, 60, (USERS, ITEMS)) * (random.random((USERS, ITEMS)) < 0.2)
        sellable = random.random(ITEMS) < 0.9
        method = ImplicitAls(factors=2)
        method._known = Known(*ids, sparse.csr_array(taken > 0), sellable)
        method._user_vectors = random.integers(-2, 3, (USERS, 2)).astype(np.float32)
        method._item_vectors = random.integers(-2, 3, (ITEMS, 2)).astype(np.float32)
        items = pd.DataFrame(
            {
                name: [f"{name}{value}" for value in random.integers(0, count, ITEMS)]
                for name, count in ATTRIBUTES.items()
            }
        )
        people = pd.DataFrame({"club": random.choice(["gold", "iron"], USERS)})
        days = sparse.csr_array(taken)
        popularity = random.integers(0, 4, ITEMS).astype(np.float64)
        age = np.full(ITEMS, 100)
        return cls(
            method,
            Assortment(date(2024, 1, 1), sellable, popularity, age.astype(np.int32)),
            Shelf.build(ids[1], age.astype(float), items, people, days),
        )


@st.composite
def books(draw: st.DrawFn) -> list[Rule]:
    """Rules of all kinds that are about things, some of them only for some people."""

    def items() -> dict[str, str]:
        name = draw(st.sampled_from(sorted(ATTRIBUTES)))
        return {name: f"{name}{draw(st.integers(0, ATTRIBUTES[name] - 1))}"}

    places = st.sampled_from([0.5, 1.0, 3.0, 7.25, 30.0])
    few = st.integers(0, 3)
    rules: list[Rule] = [{"kind": "block", "items": items()} for _ in range(draw(few) // 2)]
    rules += [
        {"kind": draw(st.sampled_from(["boost", "bury"])), "items": items(), "places": draw(places)}
        for _ in range(draw(few))
    ]
    rules += [
        {"kind": "repeat", "items": items(), "after_days": draw(st.integers(1, 60))}
        for _ in range(draw(few) // 2)
    ]
    rules += [
        {
            "kind": "at_most",
            "per": draw(st.sampled_from(sorted(ATTRIBUTES))),
            "limit": draw(st.integers(0, 3)),
            **({"items": items()} if draw(st.booleans()) else {}),
        }
        for _ in range(draw(few) // 2)
    ]
    rules += [{"kind": "diversity", "places": draw(places)} for _ in range(draw(few) // 3)]
    for _ in range(draw(few) // 2):
        of = draw(st.integers(1, SIZE))
        rules.append(
            {"kind": "quota", "items": items(), "at_least": draw(st.integers(1, of)), "of": of}
        )
    pinned = draw(st.lists(st.integers(0, ITEMS - 1), max_size=3, unique=True))
    rules += [
        {"kind": "pin", "item": f"i{item:02}", "place": 2 * number + draw(st.integers(1, 2))}
        for number, item in enumerate(pinned)
    ]
    rules = draw(st.permutations(rules))
    for rule in rules:
        if draw(st.booleans()):
            rule["users"] = {"club": draw(st.sampled_from(["gold", "iron"]))}
    return rules


def toml(rules: list[Rule]) -> str:
    def said(value: object) -> str:
        if isinstance(value, dict):
            return f"{{ {', '.join(f'{name} = {said(v)}' for name, v in value.items())} }}"
        return f'"{value}"' if isinstance(value, str) else str(value)

    return "".join(
        f'[[rules]]\nid = "r{number}"\nowner = "us"\nreason = "so it is"\n'
        + "".join(f"{name} = {said(value)}\n" for name, value in rule.items())
        for number, rule in enumerate(rules)
    )


class Person:
    """One person's list, rule by rule and item by item."""

    def __init__(self, night: Night, rules: list[Rule], surface: Surface, user: int) -> None:
        self.items = night.shelf.items.to_dict("records")
        club = None if user == UNKNOWN else night.shelf.users["club"][user]
        self.rules = [
            rule for rule in rules if "users" not in rule or rule["users"]["club"] == club
        ]
        self.open = self._open(night, surface, user)
        self.ranking = self._ranking(night, user)

    def of_kind(self, *kinds: str) -> list[Rule]:
        return [rule for rule in self.rules if rule["kind"] in kinds]

    def meets(self, item: int, rule: Rule) -> bool:
        return all(self.items[item][name] == value for name, value in rule.get("items", {}).items())

    def _open(self, night: Night, surface: Surface, user: int) -> list[int]:
        days = night.shelf.days_since.toarray()

        def may(item: int) -> bool:
            if not night.assortment.sellable[item]:
                return False
            if any(self.meets(item, rule) for rule in self.of_kind("block")):
                return False
            since = 0 if user == UNKNOWN else days[user, item]
            if surface.filter_seen:
                return since == 0
            waits = [r["after_days"] for r in self.of_kind("repeat") if self.meets(item, r)]
            return since == 0 or since >= max(waits, default=0)

        return [item for item in range(ITEMS) if may(item)]

    def _ranking(self, night: Night, user: int) -> list[int]:
        own = night.method._user_vectors[user]
        vectors, sales = night.method._item_vectors, night.assortment.popularity
        has_vector = [item for item in self.open if vectors[item].any()]
        scored = has_vector if user != UNKNOWN and own.any() else []
        first = sorted(scored, key=lambda item: (-float(own @ vectors[item]), item))
        popular = [item for item in self.open if item not in first and sales[item] > 0]
        return first + sorted(popular, key=lambda item: (-sales[item], item))

    def arranged(self) -> list[int]:
        value = {item: -float(place) for place, item in enumerate(self.ranking)}
        for item in value:
            moves = [
                rule["places"] * (1 if rule["kind"] == "boost" else -1)
                for rule in self.of_kind("boost", "bury")
                if self.meets(item, rule)
            ]
            value[item] += sum(moves)
        spread = sum(rule["places"] for rule in self.of_kind("diversity"))
        taken: list[int] = []

        def worth(item: int) -> float:
            alike = [
                sum(self.items[item][name] == self.items[other][name] for name in LIKENESS)
                / len(LIKENESS)
                for other in taken
            ]
            return value[item] - float(spread * max(alike, default=0))

        def fits(item: int) -> bool:
            for rule in self.of_kind("at_most"):
                same = [
                    other
                    for other in taken
                    if self.meets(other, rule)
                    and self.items[other][rule["per"]] == self.items[item][rule["per"]]
                ]
                if self.meets(item, rule) and len(same) >= rule["limit"]:
                    return False
            return True

        while len(taken) < SIZE:
            left = [item for item in self.ranking if item not in taken and fits(item)]
            if not left:
                break
            taken.append(max(left, key=lambda item: (worth(item), -self.ranking.index(item))))
        return taken

    def listed(self) -> list[int]:
        made = self.arranged()
        for rule in self.of_kind("quota"):
            made = self.filled(made, rule)
        for rule in sorted(self.of_kind("pin"), key=lambda rule: rule["place"]):
            item = int(rule["item"][1:])
            if item in self.open:
                made = [other for other in made if other != item]
                made.insert(rule["place"] - 1, item)
                made = made[:SIZE]
        return made

    def filled(self, made: list[int], rule: Rule) -> list[int]:
        places = made + [UNKNOWN] * (SIZE - len(made))
        front = range(rule["of"])
        others = [at for at in front if places[at] == UNKNOWN or not self.meets(places[at], rule)]
        missing = rule["at_least"] - (rule["of"] - len(others))
        best = [item for item in self.ranking if self.meets(item, rule)][: rule["at_least"]]
        new = [item for item in best if item not in places[: rule["of"]]]
        new = new[: max(min(missing, len(others)), 0)]
        for at, item in zip(others[len(others) - len(new) :], new, strict=True):
            if item in places:
                places[places.index(item)] = places[at]
            places[at] = item
        return [item for item in places if item != UNKNOWN]


@pytest.mark.parametrize("surface", [ALL, DISCOVER])
@settings(max_examples=30, deadline=None)
@given(rules=books(), seed=st.integers(0, 2**32 - 1))
def test_lists_of_any_rules_are_those_made_by_hand(
    surface: Surface, rules: list[Rule], seed: int
) -> None:
    night = Night.of(seed)
    everybody = np.array([UNKNOWN, *range(USERS)], np.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(path, "BLOCK_USERS", 4)
        lists = make_lists(
            night.method,
            surface,
            everybody,
            night.assortment,
            Policy(size=SIZE),
            rules=NightRules.of(RuleBook.parse(toml(rules)), surface.name, night.shelf),
        )
    for user, made in zip(everybody.tolist(), lists.item.tolist(), strict=True):
        expected = Person(night, rules, surface, user).listed()
        assert [item for item in made if item != UNKNOWN] == expected
