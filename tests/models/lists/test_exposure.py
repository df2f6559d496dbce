"""New items get a capped, seeded share of places, and cost the best places nothing."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.core.interactions import UNKNOWN
from models.core.lists import NO_RULE, Lists
from models.lists.exposure import EXPLORATION_SOURCE, draws_needed, expose
from models.lists.spare import with_spare

FIRST_NEW = 100


def lists_of(rows: list[list[int]], width: int, source: str = "counts") -> Lists:
    item = np.full((len(rows), width), UNKNOWN, dtype=np.int32)
    for row, items in enumerate(rows):
        item[row, : len(items)] = items
    filled = item != UNKNOWN
    score = np.where(filled, 50.0 - np.arange(width), 0).astype(np.float32)
    return Lists(
        item=item,
        score=score,
        source=np.where(filled, 0, UNKNOWN).astype(np.int8),
        source_names=(source,),
        rule=np.full_like(item, NO_RULE, dtype=np.int16),
    )


def draws(lists: Lists, seed: int) -> NDArray[np.float64]:
    users, size = lists.item.shape
    return np.random.default_rng(seed).random((users, draws_needed(size)))


def test_a_new_item_takes_a_place_in_the_lower_half_and_the_last_item_gives_way() -> None:
    lists, fresh = lists_of([[1, 2, 3, 4]], 4), lists_of([[100]], 4, "discover")
    seen = {
        tuple(expose(lists, fresh, share=0.25, drawn=draws(lists, seed)).item[0].tolist())
        for seed in range(20)
    }
    assert seen == {(1, 2, 100, 3), (1, 2, 3, 100)}


def test_what_is_put_in_is_marked() -> None:
    lists, fresh = lists_of([[1, 2]], 2), lists_of([[100]], 2, "discover")
    exposed = expose(lists, fresh, share=0.5, drawn=draws(lists, 0))
    assert exposed.item.tolist() == [[1, 100]]
    assert exposed.score.tolist() == [[50.0, 50.0]]
    assert exposed.source.tolist() == [[0, 1]]
    assert exposed.source_names == ("counts", EXPLORATION_SOURCE)


def test_a_list_that_holds_the_new_item_already_stays_as_it_is() -> None:
    lists, fresh = lists_of([[100, 2]], 2), lists_of([[100]], 2)
    exposed = expose(lists, fresh, share=0.5, drawn=draws(lists, 0))
    assert exposed.item.tolist() == [[100, 2]]
    assert exposed.source.tolist() == [[0, 0]]


def test_a_part_of_a_place_is_given_to_that_part_of_users() -> None:
    users = 4000
    lists, fresh = lists_of([[1, 2, 3, 4]] * users, 4), lists_of([[100, 101]] * users, 4)
    exposed = expose(lists, fresh, share=0.05, drawn=draws(lists, 7))
    put_in = (exposed.source == 1).sum(axis=1)
    assert set(put_in.tolist()) == {0, 1}
    assert abs(put_in.mean() - 0.2) < 0.02


@given(
    lengths=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 4)), min_size=1, max_size=6),
    share=st.floats(0, 0.5),
    seed=st.integers(0, 2**32 - 1),
)
def test_lists_stay_well_formed(lengths: list[tuple[int, int]], share: float, seed: int) -> None:
    lists = lists_of([list(range(own)) for own, _ in lengths], 8)
    fresh = lists_of([list(range(FIRST_NEW, FIRST_NEW + new)) for _, new in lengths], 8)
    exposed = expose(lists, fresh, share=share, drawn=draws(lists, seed))
    again = expose(lists, fresh, share=share, drawn=draws(lists, seed))
    np.testing.assert_array_equal(exposed.item, again.item)
    assert ((exposed.item == UNKNOWN) == (exposed.source == UNKNOWN)).all()
    for row, (own, _) in enumerate(lengths):
        items = exposed.item[row][exposed.item[row] != UNKNOWN].tolist()
        assert items == exposed.item[row][: len(items)].tolist(), "gaps stand at the end"
        assert len(items) == own
        assert len(set(items)) == own
        assert items[: own // 2] == list(range(own // 2))
        kept = [item for item in items if item < FIRST_NEW]
        assert kept == list(range(len(kept)))
        assert own - len(kept) <= math.ceil(share * own)


def test_what_gave_way_comes_first_behind_the_places_shown() -> None:
    whole = lists_of([[1, 2, 3, 4, 100], [1], []], 5)
    fresh = lists_of([[100], [], []], 2)
    shown = expose(whole.head(2), fresh, share=0.5, drawn=draws(whole.head(2), 0))
    spare = with_spare(shown, whole, whole)
    assert spare.item.tolist() == [[1, 100, 2, 3, 4], [1, -1, -1, -1, -1], [-1] * 5]
    assert spare.score.tolist() == [[50, 50, 49, 48, 47], [50, 0, 0, 0, 0], [0] * 5]
    assert spare.source.tolist() == [[0, 1, 0, 0, 0], [0, -1, -1, -1, -1], [-1] * 5]


@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(1, 4))
def test_spare_places_change_nothing_of_those_shown(seed: int, length: int, shown: int) -> None:
    whole = lists_of([[*range(1, length + 1)]], 6)
    fresh = lists_of([[2, 100, 101]], 6)
    drawn = draws(whole.head(shown), seed)
    without = expose(whole.head(shown), fresh.head(shown), share=0.5, drawn=drawn)
    spare = with_spare(without, whole, whole)
    np.testing.assert_array_equal(spare.head(shown).item, without.item)
    listed = spare.item[spare.item != UNKNOWN].tolist()
    assert len(set(listed)) == len(listed)
    behind = listed[shown:]
    assert behind == sorted(behind)
    assert len(listed) >= length
