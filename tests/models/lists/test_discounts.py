"""What was ignored sinks, what was dismissed goes, on the one path to a list."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from scipy import sparse

from lakehouse.lists import ALL, DISCOVER, POPULAR, Surface
from models.core.assortment import Assortment
from models.core.interactions import UNKNOWN
from models.core.lists import Lists
from models.core.reactions import Reactions
from models.evaluation.protocol import task
from models.lists import path
from models.lists.discounts import Reacting, discounted
from models.lists.path import Policy, lists_for, make_lists
from models.lists.published import Published
from models.lists.rules.night import of_context
from models.recommenders.ease import Ease
from models.recommenders.popularity import Popularity
from tests import shop
from tests.models.lists.rules.test_book import book

KNOWN = shop.context()
PLAIN = Assortment.of(KNOWN, 30.0)
SHAPE = (KNOWN.interactions.users, KNOWN.interactions.items)
EVERYBODY = np.arange(SHAPE[0], dtype=np.int32)
EIGHT = Policy(size=8)
USER_IDS = KNOWN.interactions.user_ids


def lists_of(*rows: list[int]) -> Lists:
    item = np.array(rows, dtype=np.int32)
    source = np.where(item == UNKNOWN, UNKNOWN, 0).astype(np.int8)
    return Lists(
        item, -item.astype(np.float32), source, ("method",), np.full_like(item, -1, np.int16)
    )


def entries(shape: tuple[int, int], values: dict[tuple[int, int], float]) -> sparse.csr_array:
    dense = np.zeros(shape, dtype=np.float32)
    for place, value in values.items():
        dense[place] = value
    return sparse.csr_array(dense)


def test_a_place_is_multiplied_by_one_and_its_discount() -> None:
    ranked = lists_of([4, 3, 2, 1, 0], [4, 3, 2, 1, 0], [3, 0, UNKNOWN, UNKNOWN, UNKNOWN])
    # 4 goes from 1 to where 2.5 is, 3 from 2 to 4, behind 2 and before 1, which stood at 4.
    of_each = entries((3, 5), {(0, 4): 1.5, (0, 3): 1.0, (1, 4): np.inf, (2, 3): np.inf})
    np.testing.assert_array_equal(
        discounted(ranked, of_each, 4)[0].item,
        [[4, 2, 3, 1], [3, 2, 1, 0], [0, UNKNOWN, UNKNOWN, UNKNOWN]],
    )


@given(
    nps.arrays(np.float32, (3, 12), elements=st.sampled_from([0, 0, 0, 0.5, 3, np.inf])),
    st.integers(1, 12),
    st.integers(0, 11),
)
def test_a_ranking_that_is_not_too_short_is_as_good_as_the_whole(
    dense: np.ndarray, size: int, more: int
) -> None:
    whole = lists_of(*[np.random.default_rng(row).permutation(12).tolist() for row in range(3)])
    of_each = sparse.csr_array(dense)
    short, is_short = discounted(whole.head(size + more), of_each, size)
    best, _ = discounted(whole, of_each, size)
    np.testing.assert_array_equal(short.item[~is_short], best.item[~is_short])
    listed, row = best.item != UNKNOWN, np.arange(3)[:, np.newaxis]
    assert not np.isinf(dense[row, best.item][listed]).any()
    np.testing.assert_array_equal(
        listed.sum(axis=1), np.minimum(size, (~np.isinf(dense)).sum(axis=1))
    )
    if not np.any(dense):
        assert not is_short.any()


def reacted(**matrices: dict[tuple[int, int], float]) -> Assortment:
    none: dict[str, dict[tuple[int, int], float]] = {"dismissed": {}, "bought": {}, "ignored": {}}
    given = {name: entries(SHAPE, values) for name, values in (none | matrices).items()}
    return replace(PLAIN, reactions=Reactions(USER_IDS, **given))


def made(assortment: Assortment, surface: Surface, policy: Policy = EIGHT) -> np.ndarray:
    return make_lists(Popularity().fit(KNOWN), surface, EVERYBODY, assortment, policy).item


@pytest.mark.parametrize("surface", [ALL, DISCOVER])
def test_only_whom_it_concerns_gets_another_list(surface: Surface) -> None:
    before = made(PLAIN, surface)
    nobody = sparse.csr_array((0, SHAPE[1]), dtype=np.float32)
    nothing = Reactions(USER_IDS[:0], nobody, nobody, nobody)
    np.testing.assert_array_equal(made(replace(PLAIN, reactions=nothing), surface), before)
    first, second = before[3, :2].tolist()
    # The first was shown so often that it goes behind the second; the second was bought by eve.
    after = made(reacted(ignored={(3, first): 1.5}, bought={(4, before[4, 0]): 2}), surface)
    if surface is DISCOVER:
        assert after[3, :2].tolist() == [second, first]
        assert before[4, 0] not in after[4]
        assert (after[4] != UNKNOWN).all()
    concerned = [3, 4] if surface is DISCOVER else []
    others = np.delete(EVERYBODY, concerned)
    np.testing.assert_array_equal(after[others], before[others])
    # What is dismissed is in no list, spare places and new items' share included.
    gone = {(3, item): 1.0 for item in before[3].tolist()}
    policy = Policy(size=8, spare=3, new_item_share=0.5, new_item_days=80)
    assert not set(before[3].tolist()) & set(made(reacted(dismissed=gone), surface, policy)[3])


def test_a_list_as_long_as_the_catalogue_is_discounted_too() -> None:
    long = Policy(size=SHAPE[1] + 20)
    before = made(PLAIN, ALL, long)[0].tolist()
    after = made(reacted(dismissed={(0, before[0]): 1.0}), ALL, long)[0].tolist()
    assert after == [*before[1:], UNKNOWN]


def test_lists_that_are_nobody_s_stay() -> None:
    everything = {(user, item): 1.0 for user in range(2) for item in range(SHAPE[1])}
    np.testing.assert_array_equal(
        made(reacted(dismissed=everything), POPULAR), made(PLAIN, POPULAR)
    )


def test_rules_do_not_bring_back_what_is_out() -> None:
    assortment = reacted(dismissed={(0, 7): 1.0}, bought={(1, 8): 3, (2, 9): 30})

    def ruled(*rules: str, surface: Surface = ALL) -> np.ndarray:
        night = of_context(book(*rules), surface.name, KNOWN)
        model = Popularity().fit(KNOWN)
        policy = Policy(size=40)
        return make_lists(model, surface, EVERYBODY, assortment, policy, rules=night).item

    pinned = ruled('kind = "pin"\nid = "y"\nitem = "i07"\nplace = 1')
    assert 7 not in pinned[0]
    assert pinned[1, 0] == 7
    # Neither user has taken the other kind of items by way of the tills.
    again = 'kind = "repeat"\nid = "x"\nitems = { item_id = ["i08", "i09"] }\nafter_days = 7'
    lists = ruled(again)
    assert 8 not in lists[1]
    assert 9 in lists[2]


def test_reactions_are_those_of_the_user_whatever_the_vocabularies() -> None:
    reactions = reacted(dismissed={(3, 1): 1.0}, ignored={(5, 2): 0.5}).reactions
    assert reactions is not None
    others = np.array(["nobody", *USER_IDS[[5, 3]]], dtype=object)
    reacting = Reacting.of(reactions, DISCOVER, others)
    assert reacting is not None
    found = reacting.discounts(np.array([2, UNKNOWN, 0, 1], np.int32)).toarray()
    expected = np.zeros((4, SHAPE[1]))
    expected[0, 1], expected[3, 2] = np.inf, 0.5
    np.testing.assert_array_equal(found, expected)
    assert Reacting.of(reactions, POPULAR, others) is None


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(1)
    places = {(int(u), int(i)): 2.0 for u, i in chance.integers(0, SHAPE, (60, 2))}
    assortment = reacted(ignored=places)
    whole = made(assortment, DISCOVER)
    monkeypatch.setattr(path, "POOL_CELLS", 1)
    np.testing.assert_array_equal(made(assortment, DISCOVER), whole)


def test_what_is_judged_is_discounted_as_what_is_served() -> None:
    events = shop.interactions()
    window = events.select(~np.isin(events.day, KNOWN.interactions.day))
    first = made(PLAIN, DISCOVER)[:, 0]
    reactions = reacted(dismissed=dict.fromkeys(enumerate(first), 1.0)).reactions
    model = Popularity().fit(KNOWN)
    asked = task("discover", replace(KNOWN, reactions=reactions), window)
    judged = lists_for(model, asked, EIGHT).item
    np.testing.assert_array_equal(judged, made(asked.assortment, DISCOVER)[asked.users])
    assert not (judged == first[asked.users][:, np.newaxis]).any()


def test_what_could_be_listed_is_counted_without_what_is_out() -> None:
    model = Popularity().fit(KNOWN)
    out = reacted(dismissed={(0, 1): 1.0, (0, 2): 1.0}, bought={(0, 3): 1.0})
    by_list = {"all": model, "discover": model}
    published = [Published(by_list, Ease().fit(KNOWN), which) for which in (PLAIN, out)]
    for surface, fewer in ((ALL, 2), (DISCOVER, 3)):
        before, after = (one.possible(surface, EVERYBODY[:2]) for one in published)
        listable = PLAIN.sellable & (PLAIN.popularity > 0)
        assert before[0] - after[0] == listable[1 : 1 + fewer].sum()
        assert before[1] == after[1]
    again = 'kind = "repeat"\nid = "x"\nitems = { item_id = ["i03", "i04"] }\nafter_days = 7'
    rules = of_context(book(again), "all", KNOWN)
    before, after = (one.possible(ALL, EVERYBODY[:1], rules) for one in published)
    assert before[0] - after[0] == listable[1:4].sum()
