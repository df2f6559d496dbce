"""What rules make of rankings: by hand, and by brute force on made-up ones."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.core.interactions import UNKNOWN
from models.core.lists import NO_RULE, Lists
from models.lists.rules.night import Plan
from models.lists.rules.rule import Affinity, Cap, Pin, Quota
from models.lists.rules.select import arranged, fill_quota, pin, reachable

NOBODY = np.zeros(0, np.int32)
SHOWN = np.zeros(10, np.bool_)


def ranked(*rows: Sequence[int], width: int | None = None) -> Lists:
    width = width or max(map(len, rows))
    item = np.full((len(rows), width), UNKNOWN, dtype=np.int32)
    for row, items in enumerate(rows):
        item[row, : len(items)] = items
    filled = item != UNKNOWN
    return Lists(
        item=item,
        score=np.where(filled, 9.0 - np.arange(width), 0).astype(np.float32),
        source=np.where(filled, 0, UNKNOWN).astype(np.int8),
        source_names=("ranker",),
        rule=np.full_like(item, NO_RULE, dtype=np.int16),
    )


def items(lists: Lists) -> list[list[int]]:
    return [[item for item in row if item != UNKNOWN] for row in lists.item.tolist()]


def users(lists: Lists) -> np.ndarray:
    return np.arange(len(lists.item), dtype=np.int32)


def arrange(lists: Lists, plan: Plan, size: int) -> list[list[int]]:
    return items(arranged(lists, plan, users(lists), size)[0])


def test_moves_count_in_places_and_ties_go_to_whom_the_ranking_has_first() -> None:
    lists = ranked([0, 1, 2, 3, 4])
    for places, expected in ((3.5, [3, 0, 1]), (3.0, [0, 3, 1])):
        moves = np.array([0, 0, 0, places, 0])
        assert arrange(lists, Plan(SHOWN, moves=moves), 3) == [expected]
    down = np.array([-2.5, 0, 0, 0, 0, 0])
    assert arrange(lists, Plan(SHOWN, moves=down), 5) == [[1, 2, 0, 3, 4]]


def test_a_price_that_suits_goes_before_one_that_does_not() -> None:
    lists = ranked([0, 1, 2], [0, 1, 2])
    bands = np.array([5.0, 1.0, np.nan])
    plan = Plan(SHOWN, affinities=(Affinity(bands, np.array([1.0, np.nan]), 0.5),))
    # Item 0 is four bands off for the first user: two places.
    assert arrange(lists, plan, 3) == [[1, 0, 2], [0, 1, 2]]


def test_caps_let_in_so_many_alike_and_the_next_others() -> None:
    lists = ranked([0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5])
    brand = Cap(np.array([7, 7, 7, 8, 8, -1]), 1)
    assert arrange(lists, Plan(SHOWN, caps=(brand,)), 3) == [[0, 3, 5], [0, 3, 5]]
    # An item that one cap keeps out does not count for another one.
    maker = Cap(np.array([1, 2, 2, 2, 3, 2]), 1)
    assert arrange(lists, Plan(SHOWN, caps=(brand, maker)), 4) == [[0, 3], [0, 3]]
    assert arrange(lists, Plan(SHOWN, caps=(Cap(np.array([1, 1, -1, 1, 1, 1]), 0),)), 4) == [
        [2],
        [2],
    ]


def test_alike_items_stand_apart() -> None:
    lists = ranked([0, 1, 2, 3])
    likeness = np.array([[1, 1, 2, 2], [5, 5, 5, 6]])
    # Item 1 is like 0 in all, 2 in half; 3 is like 2 in half.
    plan = Plan(SHOWN, spread=1.5, likeness=likeness)
    assert arrange(lists, plan, 4) == [[0, 1, 2, 3]]
    plan = Plan(SHOWN, spread=4.0, likeness=likeness)
    assert arrange(lists, plan, 4) == [[0, 3, 2, 1]]


def test_a_quota_replaces_the_last_others_in_front_by_the_best() -> None:
    lists = ranked([0, 1, 2, 3, 4, 8], [7, 0, 1, 2, 3, 4], [0, 1])
    wanted = np.isin(np.arange(10), [7, 8, 9])
    best = ranked([8, 7], [7, 8], [9])
    filled = fill_quota(lists, 3, Quota(wanted, 2, 4), best)
    # The second list has one already; in the first, 8 moves up and 2 takes its place.
    assert items(filled) == [[0, 1, 8, 7, 4, 2], [7, 0, 1, 8, 3, 4], [0, 1, 9]]
    assert filled.rule.tolist()[0] == [NO_RULE, NO_RULE, 3, 3, NO_RULE, NO_RULE]
    assert filled.rule.tolist()[2][:3] == [NO_RULE, NO_RULE, 3]


def test_a_pin_stands_at_its_place_and_others_go_one_down() -> None:
    lists = ranked([0, 1, 2, 3], [0, 9, 2, 3], [0, 1, 2, 9], [0, 1], [0, 1, 2, 3])
    rows = np.array([True, True, True, True, False])
    pinned = pin(lists, 5, Pin(9, 3), rows, 0)
    assert items(pinned) == [
        [0, 1, 9, 2],
        [0, 2, 9, 3],
        [0, 1, 9, 2],
        [0, 1, 9],
        [0, 1, 2, 3],
    ]
    assert pinned.rule.tolist()[1] == [NO_RULE, NO_RULE, 5, NO_RULE]
    assert items(pin(ranked([0, 1, 2]), 5, Pin(9, 1), np.array([True]), 0)) == [[9, 0, 1]]
    assert items(pin(ranked([0, 1, 2]), 5, Pin(9, 3), np.array([True]), 0)) == [[0, 1, 9]]
    assert items(pin(ranked([0], width=3), 5, Pin(9, 3), np.array([True]), 0)) == [[0, 9]]


def test_how_long_a_list_can_be() -> None:
    allowed = np.array([True, True, True, False, True])
    cap = Cap(np.array([0, 0, 0, 1, -1]), 2)
    assert reachable(Plan(SHOWN, caps=(cap,)), allowed) == 3
    assert reachable(Plan(SHOWN), allowed) == 4


def by_hand(row: list[int], plan: Plan, size: int) -> list[int]:
    """The same, item by item."""
    left = list(row)
    taken: list[int] = []
    value = {item: -place for place, item in enumerate(row)}
    if plan.moves is not None:
        value = {item: at + plan.moves[item] for item, at in value.items()}
    while left and len(taken) < size:
        allowed = [
            item
            for item in left
            if all(
                cap.codes[item] < 0
                or sum(cap.codes[other] == cap.codes[item] for other in taken) < cap.limit
                for cap in plan.caps
            )
        ]
        if not allowed:
            break

        def worth(item: int) -> float:
            if plan.likeness is None or not taken:
                return value[item]
            own = plan.likeness[:, item]
            alike = max(
                float(((own == plan.likeness[:, other]) & (own >= 0)).mean()) for other in taken
            )
            return value[item] - plan.spread * alike

        best = max(allowed, key=lambda item: (worth(item), -row.index(item)))
        taken.append(best)
        left.remove(best)
    return taken


@given(st.data())
def test_for_everybody_at_once_is_as_for_each_alone(data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    rows = [random.permutation(10)[: random.integers(0, 11)].tolist() for _ in range(5)]
    lists = ranked(*rows, width=10)
    caps = tuple(
        Cap(random.integers(-1, 3, 10).astype(np.int32), int(random.integers(0, 4)))
        for _ in range(data.draw(st.integers(0, 2)))
    )
    spread = data.draw(st.sampled_from([0.0, 0.5, 3.25]))
    plan = Plan(
        SHOWN,
        moves=(random.integers(-4, 5, 10) + 0.125).astype(np.float64)
        if data.draw(st.booleans())
        else None,
        caps=caps,
        spread=spread,
        likeness=random.integers(-1, 2, (2, 10)).astype(np.int32) if spread else None,
    )
    size = data.draw(st.integers(1, 10))
    assert arrange(lists, plan, size) == [by_hand(row, plan, size) for row in rows]


@pytest.mark.parametrize("seed", range(20))
def test_after_quota_and_pin_nothing_is_lost_but_the_end(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = [random.permutation(10)[: random.integers(1, 7)].tolist() for _ in range(8)]
    lists = ranked(*rows, width=6)
    wanted = random.random(10) < 0.4
    best = ranked(*[np.flatnonzero(wanted).tolist()[:2] for _ in rows], width=2)
    made = pin(
        fill_quota(lists, 0, Quota(wanted, 2, 4), best), 1, Pin(3, 2), np.ones(8, np.bool_), 0
    )
    for row, before in zip(items(made), rows, strict=True):
        assert len(set(row)) == len(row)
        assert len(row) >= len(before)
        assert row[min(1, len(row) - 1)] == 3
    gaps = made.item == UNKNOWN
    assert (gaps[:, 1:] >= gaps[:, :-1]).all()
