"""Rules on the one path to a list: what is measured has gone through them."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from lakehouse.lists import ALL, DISCOVER, Surface
from models.core.assortment import Assortment
from models.core.interactions import UNKNOWN
from models.core.lists import Lists
from models.evaluation.protocol import Task, task
from models.lists.path import Policy, lists_for, make_lists
from models.lists.rules.book import RuleBook
from models.lists.rules.night import of_context
from models.recommenders.decayed_counts import DecayedCounts
from models.recommenders.popularity import Popularity
from models.selection.rule_costs import rule_costs
from tests import shop
from tests.models.lists.rules.test_book import book

CONTEXT = replace(
    shop.context(),
    user_attributes=pd.DataFrame({"club": ["gold", "iron"] * (shop.USERS // 2)}),
)
ASSORTMENT = Assortment.of(CONTEXT, 30.0)
EVERYBODY = np.array([UNKNOWN, *range(shop.USERS)], np.int32)
DEPARTMENT = CONTEXT.item_features["department"].to_numpy()
CATEGORY = CONTEXT.item_features["category"].to_numpy()


def made(*rules: str, surface: Surface = ALL, size: int = 10) -> Lists:
    return make_lists(
        DecayedCounts().fit(CONTEXT),
        surface,
        EVERYBODY,
        ASSORTMENT,
        Policy(size=size),
        rules=of_context(book(*rules), surface.name, CONTEXT),
    )


def test_no_rules_change_nothing() -> None:
    plain = make_lists(DecayedCounts().fit(CONTEXT), ALL, EVERYBODY, ASSORTMENT, Policy(size=10))
    np.testing.assert_array_equal(made().item, plain.item)


@pytest.mark.parametrize("surface", [ALL, DISCOVER])
def test_what_is_blocked_is_in_no_list_and_lists_stay_full(surface: Surface) -> None:
    lists = made('kind = "block"\nid = "x"\nitems = { category = "C1" }', surface=surface)
    assert (lists.item != UNKNOWN).all()
    assert not (CATEGORY[lists.item] == "C1").any()


def test_a_block_for_some_leaves_the_others_alone() -> None:
    lists = made(
        'kind = "block"\nid = "x"\nitems = { department = "EVEN" }\nusers = { club = "gold" }'
    )
    plain = made()
    gold = np.array([False, *(CONTEXT.user_attributes["club"] == "gold")])
    assert (DEPARTMENT[lists.item[gold]] == "ODD").all()
    np.testing.assert_array_equal(lists.item[~gold], plain.item[~gold])


def test_lists_are_full_however_few_of_a_ranking_are_let_in() -> None:
    cap = 'kind = "at_most"\nid = "x"\nper = "product_type"\nlimit = 2'
    lists = made(cap, size=16)
    types = CONTEXT.item_features["product_type"].to_numpy()
    for row in lists.item:
        assert (row != UNKNOWN).all()
        assert np.unique(types[row], return_counts=True)[1].tolist() == [2] * 8
    # Of eight types with two each no list can be longer.
    assert ((made(cap, size=20).item != UNKNOWN).sum(axis=1) == 16).all()


@pytest.mark.parametrize(("after", "days"), [("after_days = 20", 20), ("", 10_000)])
def test_what_was_taken_lately_is_not_shown_again(after: str, days: int) -> None:
    lists = made(f'kind = "repeat"\nid = "x"\nitems = {{ department = "EVEN" }}\n{after}')
    since = CONTEXT.interactions.days_since_last(CONTEXT.as_of).toarray()
    for user, items in zip(EVERYBODY[1:], lists.item[1:], strict=True):
        taken = since[user, items]
        lately = (taken > 0) & (taken < days)
        assert not (lately & (DEPARTMENT[items] == "EVEN")).any()
    assert (lists.item != UNKNOWN).all()
    plain = made().item
    assert (plain != lists.item).any()


def test_quotas_and_pins_hold_for_everybody_and_say_by_which_rule() -> None:
    lists = made(
        'kind = "quota"\nid = "x"\nitems = { category = "C3" }\nat_least = 3\nof = 5',
        'kind = "pin"\nid = "y"\nitem = "i07"\nplace = 2',
        'kind = "pin"\nid = "z"\nitem = "i00"\nplace = 1',
    )
    assert (lists.item[:, 1] == 7).all()
    assert ((CATEGORY[lists.item[:, :6]] == "C3").sum(axis=1) >= 3).all()
    # i00 may not be sold: who pins it gets another item there.
    assert not (lists.item == shop.UNSELLABLE_ITEM).any()
    assert (lists.rule[:, 1] == 1).all()
    assert {lists.source_names[code] for code in lists.source[:, 1]} == {"rule"}
    assert (lists.rule == 0).any()


def test_a_pin_is_not_for_who_took_it_where_lists_are_of_new_items() -> None:
    lists = made('kind = "pin"\nid = "y"\nitem = "i07"\nplace = 1', surface=DISCOVER)
    took = CONTEXT.interactions.matrix().toarray()[:, 7] > 0
    assert (lists.item[1:][~took][:, 0] == 7).all()
    assert not (lists.item[1:][took] == 7).any()


def test_a_quota_that_cannot_be_filled_has_what_there_is_and_lists_stay_full() -> None:
    quota = 'kind = "quota"\nid = "x"\nitems = { item_id = ["i02", "i00"] }\nat_least = 2\nof = 3'
    lists = made(quota)
    assert (lists.item != UNKNOWN).all()
    assert ((lists.item[:, :3] == 2).sum(axis=1) == 1).all()
    assert not (lists.item == shop.UNSELLABLE_ITEM).any()


def test_more_places_than_items_and_a_surface_of_nobody_are_no_trouble() -> None:
    lists = made('kind = "pin"\nid = "y"\nitem = "i07"\nplace = 2', size=60)
    assert lists.item.shape == (shop.USERS + 1, 60)
    assert (lists.item[:, 1] == 7).all()
    nobody = make_lists(
        Popularity().fit(CONTEXT),
        ALL,
        np.empty(0, np.int32),
        ASSORTMENT,
        Policy(size=10),
        rules=of_context(book('kind = "pin"\nid = "y"\nitem = "i07"\nplace = 2'), "all", CONTEXT),
    )
    assert nobody.item.shape == (0, 10)


def asked() -> Task:
    events = shop.interactions()
    window = events.between(shop.AS_OF, shop.AS_OF + timedelta(days=20))
    return task("all", CONTEXT, window)


def test_what_is_measured_has_gone_through_the_rules() -> None:
    rules = book('kind = "block"\nid = "x"\nitems = { department = "EVEN" }')
    lists = lists_for(DecayedCounts().fit(CONTEXT), asked(), Policy(size=10, book=rules))
    assert (DEPARTMENT[lists.item] == "ODD").all()


def test_what_rules_cost_is_told_for_all_and_for_each() -> None:
    rules = book(
        'kind = "block"\nid = "even"\nitems = { department = "EVEN" }',
        'kind = "boost"\nid = "nothing"\nplaces = 1.0\nitems = { department = "NONE" }',
        'kind = "block"\nid = "elsewhere"\nitems = { department = "ODD" }\nsurfaces = ["discover"]',
    )
    judged = asked()
    costs = rule_costs(DecayedCounts().fit(CONTEXT), judged, Policy(size=10, book=rules), seed=1)
    assert [cost.rule for cost in costs] == ["all rules", "even", "nothing"]
    whole, even, nothing = costs
    assert whole.as_row() | {"rule": "even"} == even.as_row()
    assert (whole.users, whole.places, whole.short) == (44, 247, 0)
    assert whole.ndcg.low > 0.1
    assert whole.ndcg_without > whole.ndcg.mean
    assert whole.coverage > 0.3
    assert nothing.as_row() == {
        "rule": "nothing",
        "users": 0,
        "places": 0,
        "short": 0,
        "ndcg_lost": 0.0,
        "ndcg_low": 0.0,
        "ndcg_high": 0.0,
        "coverage_lost": 0.0,
        "revenue_recall_lost": 0.0,
    }
    popular = Popularity().fit(CONTEXT)
    assert rule_costs(popular, judged, Policy(book=RuleBook()), seed=1) == ()
