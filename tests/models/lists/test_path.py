"""One path to a list: what is judged is what is served, whoever else is in the block."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from lakehouse.lists import ALL, DISCOVER, Surface
from models.core.assortment import Assortment
from models.core.context import Context
from models.core.interactions import UNKNOWN, Interactions
from models.evaluation.protocol import measure, task
from models.lists import path
from models.lists.path import Policy, evaluate, lists_for, make_lists
from models.recommenders.decayed_counts import DecayedCounts
from models.recommenders.popularity import Popularity
from tests import shop

ANN, BOB = 0, 1
A, B, C, D, E, F = range(6)


def context() -> Context:
    """Ann took a and b, Bob b, c and d, Cid the rest; e is new since yesterday, d not sold."""
    rows = [
        ("ann", "a", 1),
        ("ann", "b", 2),
        ("bob", "b", 1),
        ("bob", "b", 3),
        ("bob", "c", 1),
        ("bob", "d", 1),
        ("cid", "a", 1),
        ("cid", "c", 1),
        ("cid", "f", 1),
        ("cid", "f", 1),
        ("cid", "e", 30),
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "day"])
    frame = frame.assign(
        event_date=pd.to_datetime([f"2024-01-{day:02}" for day in frame["day"]]),
        quantity=1.0,
        value=1.0,
    )
    items = pd.DataFrame(
        {"item_id": list("abcdef"), "sellable": [name != "d" for name in "abcdef"]}
    )
    return Context.build(
        Interactions.from_frame(frame), as_of=date(2024, 1, 31), item_features=items
    )


def made(surface: Surface, users: list[int], policy: Policy) -> list[list[tuple[int, str]]]:
    known = context()
    lists = make_lists(
        DecayedCounts().fit(known),
        surface,
        np.array(users, np.int32),
        Assortment.of(known, 1e4),
        policy,
    )
    return [
        [
            (item, lists.source_names[source])
            for item, source in zip(items, sources, strict=True)
            if item != UNKNOWN
        ]
        for items, sources in zip(lists.item.tolist(), lists.source.tolist(), strict=True)
    ]


def test_what_the_method_does_not_fill_popular_items_do() -> None:
    assert made(ALL, [ANN, UNKNOWN], Policy(size=3)) == [
        [(B, "decayed_counts"), (A, "decayed_counts"), (C, "popularity")],
        [(B, "popularity"), (A, "popularity"), (C, "popularity")],
    ]


def test_what_was_taken_before_and_what_may_not_be_sold_is_left_out() -> None:
    assert made(DISCOVER, [ANN, BOB], Policy(size=3)) == [
        [(C, "popularity"), (F, "popularity"), (E, "popularity")],
        [(A, "popularity"), (F, "popularity"), (E, "popularity")],
    ]


def test_new_items_get_their_share_where_the_surface_explores() -> None:
    policy = Policy(size=2, new_item_share=0.5, new_item_days=1)
    assert made(ALL, [BOB], policy) == [[(B, "decayed_counts"), (C, "decayed_counts")]]
    assert made(DISCOVER, [ANN], policy) == [[(C, "popularity"), (E, "exploration")]]
    none = Policy(size=2, new_item_share=0.5, new_item_days=0)
    assert made(DISCOVER, [ANN], none) == [[(C, "popularity"), (F, "popularity")]]


@pytest.mark.parametrize("surface", [ALL, DISCOVER])
def test_nobodys_list_depends_on_who_is_in_the_block(
    monkeypatch: pytest.MonkeyPatch, surface: Surface
) -> None:
    known = shop.context()
    model, assortment = Popularity().fit(known), Assortment.of(known, 30.0)
    users = np.array([5, UNKNOWN, *range(shop.USERS)], np.int32)
    policy = Policy(size=10, new_item_share=0.3, new_item_days=80)
    whole = make_lists(model, surface, users, assortment, policy)
    monkeypatch.setattr(path, "BLOCK_USERS", 7)
    parts = make_lists(model, surface, users, assortment, policy)
    for name in ("item", "score", "source"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    assert whole.source_names == parts.source_names
    assert ("exploration" in whole.source_names) == surface.explores
    np.testing.assert_array_equal(whole.item[0], whole.item[2 + 5])


def test_what_is_measured_is_the_head_of_what_is_served() -> None:
    events = shop.interactions()
    known = shop.context()
    window = events.select(~np.isin(events.day, known.interactions.day))
    asked = task("discover", known, window)
    model, policy = Popularity().fit(known), Policy(size=12, new_item_share=0.5, new_item_days=80)
    served = make_lists(model, DISCOVER, asked.users, asked.assortment, policy)
    assert (served.source == served.source_names.index("exploration")).any()
    assert evaluate(model, asked, policy).metrics == measure(served.head(10).item, asked).metrics
    # Lists that are served shorter are judged as if they were long enough.
    short = lists_for(model, asked, Policy(size=3).at_least(10))
    assert evaluate(model, asked, Policy(size=3)).metrics == measure(short.item, asked).metrics
