"""Spare places keep to the caps once something before them is denied."""

from collections import Counter
from itertools import combinations

import numpy as np

from lakehouse.lists import DISCOVER
from models.core.assortment import Assortment
from models.core.interactions import UNKNOWN
from models.core.lists import NO_RULE, Lists
from models.lists.path import Policy, make_lists
from models.lists.rules.night import of_context
from models.lists.rules.rule import Cap
from models.lists.spare import with_spare
from models.recommenders.popularity import Popularity
from tests import shop
from tests.models.lists.rules.test_book import book

# Of items 0 to 9 even ones are alike, and odd ones; 8 and 9 are like nothing.
ALIKE = np.array([0, 1, 0, 1, 0, 1, 0, 1, -1, -1], np.int32)


def lists_of(*rows: list[int]) -> Lists:
    item = np.array(rows, np.int32)
    places = np.where(item == UNKNOWN, UNKNOWN, 0)
    rule = np.full(item.shape, NO_RULE, np.int16)
    return Lists(item, item.astype(np.float32), places.astype(np.int8), ("a",), rule)


def spare(shown: list[int], whole: list[int], ranked: list[int], limit: int) -> list[int]:
    caps = [Cap(ALIKE, limit)]
    found = with_spare(lists_of(shown), lists_of(whole), lists_of(ranked), caps)
    assert found.item[0, : len(shown)].tolist() == shown
    behind: list[int] = found.item[0, len(shown) :].tolist()
    return behind


def test_what_a_cap_forbids_beside_those_shown_is_passed_over() -> None:
    # A quota put 2 where 1 stood; another even item would be the third.
    whole, ranked = [0, 1, 4, 3, 5], [0, 1, 2, 4, 3, 5, 6, 8, 9, -1]
    assert spare([0, 2, 1], whole, ranked, limit=3) == [4, 3]
    assert spare([0, 2, 1], whole, ranked, limit=2) == [3, 8]
    assert spare([0, 2, 1], whole, ranked, limit=1) == [8, 9]
    assert spare([0, 2, 1], whole, ranked[:8], limit=1) == [8, -1]


def test_a_list_that_is_not_full_has_no_spare_places() -> None:
    assert spare([0, -1], [0, 2, 4], [0, 2, 4, 8], limit=1) == [-1]


def test_lists_keep_to_a_cap_and_their_length_whatever_is_denied() -> None:
    known = shop.context()
    rules = book(
        'kind = "at_most"\nid = "cap"\nper = "product_type"\nlimit = 1',
        'kind = "quota"\nid = "share"\nitems = { category = "C3" }\nat_least = 2\nof = 4',
        'kind = "pin"\nid = "pin"\nitem = "i38"\nplace = 1',
    )
    shown, spare = 6, 1
    lists = make_lists(
        Popularity().fit(known),
        DISCOVER,
        np.arange(-1, shop.USERS, dtype=np.int32),
        Assortment.of(known, 30.0),
        Policy(size=shown + spare, spare=spare),
        rules=of_context(rules, DISCOVER.name, known),
    )
    types = known.item_features["product_type"].to_numpy()
    full = 0
    for row in lists.item:
        # A quota or a pin may exceed a cap.
        most = Counter(types[row[:shown]].tolist())
        full += bool((row != UNKNOWN).all())
        for denied in combinations(range(shown), spare):
            left = [item for place, item in enumerate(row) if place not in denied]
            now = Counter(types[item] for item in left[:shown] if item != UNKNOWN)
            assert all(count <= max(1, most[name]) for name, count in now.items())
    assert full > len(lists.item) / 2
