"""The two-stage method and what it is made of."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from lakehouse.errors import ConfigurationError
from models.core.context import Context
from models.core.interactions import UNKNOWN, Interactions
from models.core.memory import Memory
from models.core.parameters import NEW_ITEM_DAYS
from models.core.topn import top_n_sparse
from models.ranking import two_stage
from models.ranking.candidates import Source, candidates
from models.ranking.feature_groups import members
from models.ranking.features import NightFeatures
from models.ranking.sources import offered
from models.ranking.two_stage import TwoStage
from models.recommenders.category_popularity import CategoryPopularity
from models.recommenders.decayed_counts import DecayedCounts
from models.recommenders.popularity import Popularity
from tests import shop
from tests.listed import listed

AS_OF = date(2024, 3, 1)


def context(*events: tuple[str, str, int, float, float]) -> Context:
    """A context of events (user, item, days ago, units, value)."""
    frame = pd.DataFrame(events, columns=["user_id", "item_id", "age", "quantity", "value"])
    frame["event_date"] = pd.Timestamp(AS_OF) - pd.to_timedelta(frame["age"], unit="D")
    items = pd.DataFrame({"item_id": ["x", "y", "z"], "product_type": ["T", "T", None]})
    return Context.build(
        Interactions.from_frame(frame, item_ids=items["item_id"]), as_of=AS_OF, item_features=items
    )


def test_a_candidate_is_described_by_its_history() -> None:
    night = NightFeatures.of(
        context(
            ("a", "x", 30, 1.0, 2.0),
            ("a", "x", 30, 1.0, 2.0),
            ("a", "x", 10, 2.0, 8.0),
            ("a", "y", 20, 1.0, 1.0),
            ("b", "x", 5, 1.0, 3.0),
        ),
        rebuy_days=15,
    )
    # Items x, y and z are 0, 1 and 2; the user is a.
    row = night.describe(np.array([0, 0], np.int32), np.array([0, 2], np.int32))
    assert {str(kind) for kind in row.dtypes} == {"float32"}
    known, new = row.iloc[0], row.iloc[1]
    expected = {
        "active_days": 2,
        "decayed_30": 0.5 + 0.5 ** (1 / 3),
        "days_in_30": 2,
        "since_first": 30,
        "since_last": 10,
        "mean_gap": 20,
        "last_gap": 20,
        "overdue": 0.5,
        "mean_units": 2,
        "value_total": 12,
        "unit_price": 3,
        "trips_since_last": 0,
        "share_of_trips": 2 / 3,
        "overdue_in_trips": 0,
        "product_type_active_days": 3,
        "product_type_since_last": 10,
        "product_type_active_items": 2,
        "user_active_days": 3,
        "user_items": 2,
        "user_choices_per_item": 1.5,
        "user_value_per_trip": 13 / 3,
        "user_new_share": 2 / 3,
        "item_active_days": 3,
        "item_buyers": 2,
        "item_buyers_30": 2,
        "item_new_buyers_14": 1,
        "item_repeater_share": 0.5,
        "item_unit_price": 3,
        "decayed_30_relative": 1,
    }
    assert {name: known[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    missing = {"active_days": 0, "decayed_120": 0, "product_type_active_days": 0}
    assert {name: new[name] for name in missing} == missing
    assert new[["since_last", "overdue", "unit_price", "product_type_since_last"]].isna().all()


def test_promotions_are_known_by_what_was_taken_off_lately() -> None:
    frame = pd.DataFrame(
        [
            ("a", "x", 20, 1.0, 4.0, 0.0),
            ("a", "x", 10, 1.0, 3.0, 1.0),
            ("b", "x", 40, 2.0, 8.0, None),
            ("b", "y", 40, 1.0, 5.0, 5.0),
        ],
        columns=["user_id", "item_id", "age", "quantity", "value", "discount"],
    )
    frame["event_date"] = pd.Timestamp(AS_OF) - pd.to_timedelta(frame["age"], unit="D")
    known = Context.build(Interactions.from_frame(frame), as_of=AS_OF)
    night = NightFeatures.of(known, rebuy_days=30)
    # User a with the items x and y; b's first line says nothing of a discount, which is none.
    rows = night.describe(np.array([0, 0], np.int32), np.array([0, 1], np.int32))
    of_promotions = rows[members("promotions", rows.columns)]
    expected = pd.DataFrame(
        {
            "discount_share": [1 / 8, np.nan],
            "user_discount_share": [1 / 8, 1 / 8],
            "item_discount_share": [1 / 16, 1 / 2],
            "item_discount_share_14": [1 / 4, np.nan],
            "item_price_change_14": [3 / 3.75, np.nan],
            "item_discount_share_28": [1 / 8, np.nan],
            "item_price_change_28": [3.5 / 3.75, np.nan],
        },
        dtype=np.float32,
    )
    pd.testing.assert_frame_equal(of_promotions, expected, check_exact=False, rtol=1e-6)


def test_the_rebuy_rate_is_drawn_towards_that_of_the_type() -> None:
    night = NightFeatures.of(
        context(
            ("a", "x", 40, 1.0, 1.0),
            ("a", "x", 5, 1.0, 1.0),
            ("b", "x", 40, 1.0, 1.0),
            ("b", "y", 40, 1.0, 1.0),
        ),
        rebuy_days=30,
    )
    # Three pairs were bought before, one again: the mean is 1/3, and all are of one type.
    row = night.describe(np.array([0, 0], np.int32), np.array([0, 1], np.int32))
    group = (1 + 10 / 3) / (3 + 10)
    np.testing.assert_allclose(row["item_rebuy_of_group"], [group, group], rtol=1e-6)
    expected = [(1 + 10 * group) / 12, (0 + 10 * group) / 11]
    np.testing.assert_allclose(row["item_rebuy"], expected, rtol=1e-6)


def test_candidates_are_the_union_with_each_sources_opinion() -> None:
    known = context(
        ("a", "x", 10, 1.0, 1.0),
        ("a", "x", 11, 1.0, 1.0),
        ("a", "y", 10, 1.0, 1.0),
        ("b", "z", 0 + 1, 1.0, 1.0),
    )
    found = candidates(
        {
            "own": Source(DecayedCounts(half_life_days=10), candidates=1, depth=2),
            "popular": Source(Popularity(popularity_half_life_days=1), candidates=1, depth=1),
        },
        known,
        np.array([0, 1], np.int32),
        filter_seen=False,
    )
    # a: its best own item x, and the popular z; b: z by both.
    assert found.user.tolist() == [0, 0, 1]
    assert found.item.tolist() == [0, 2, 2]
    x = 0.5 + 0.5**1.1
    expected = pd.DataFrame(
        {
            "own_score": [x, np.nan, 0.5**0.1],
            "own_relative": [1.0, np.nan, 1.0],
            "popular_score": [np.nan, 0.5, 0.5],
            "popular_relative": [np.nan, 1.0, 1.0],
        },
        dtype=np.float32,
    )
    pd.testing.assert_frame_equal(found.scores, expected, rtol=1e-5)


def test_category_popularity_is_taste_times_share() -> None:
    known = context(
        ("a", "x", 30, 1.0, 1.0),
        ("b", "y", 30, 1.0, 1.0),
        ("b", "y", 30, 1.0, 1.0),
        ("b", "z", 1, 1.0, 1.0),
    )
    lists = (
        CategoryPopularity(half_life_days=30, share_half_life_days=30)
        .fit(known)
        .rank(np.array([0], np.int32), 2, filter_seen=False)
    )
    # Taste 0.5 in the type; two thirds of its events are y's, one third x's. z has no type.
    assert lists.item.tolist() == [[1, 0]]
    np.testing.assert_allclose(lists.score, [[1 / 3, 1 / 6]], rtol=1e-6)


def test_without_a_past_night_the_sources_rank() -> None:
    known = context(("a", "y", 1, 1.0, 1.0), ("a", "x", 2, 1.0, 1.0), ("a", "x", 1, 1.0, 1.0))
    model = TwoStage(label_days=30).fit(known)
    lists = model.rank(np.array([0], np.int32), 2, filter_seen=False)
    assert lists.item.tolist() == [[0, 1]]
    assert model.importance("all").empty


def test_what_is_taken_after_the_night_is_learnt_and_nothing_later() -> None:
    model = TwoStage(label_days=20, nights=2, rounds=20)
    events = shop.interactions()
    later = replace(events, item=np.where(events.day >= np.max(events.day) - 25, 1, events.item))
    as_of = shop.AS_OF - timedelta(days=10)
    one = model.fit(Context.build(events, as_of=as_of, item_features=shop.item_features()))
    other = TwoStage(label_days=20, nights=2, rounds=20).fit(
        Context.build(later, as_of=as_of, item_features=shop.item_features())
    )
    everyone = np.arange(shop.USERS, dtype=np.int32)
    np.testing.assert_array_equal(
        one.rank(everyone, 10, filter_seen=True).item,
        other.rank(everyone, 10, filter_seen=True).item,
    )


def test_only_new_items_are_offered_to_the_ranker_of_new_ones() -> None:
    night = context(
        ("a", "x", NEW_ITEM_DAYS + 1, 1.0, 1.0),
        ("a", "x", 1, 1.0, 1.0),
        ("b", "y", NEW_ITEM_DAYS, 1.0, 1.0),
    )
    assert offered("new", night, NEW_ITEM_DAYS).sellable.tolist() == [False, True, False]
    for task in ("all", "discover"):
        assert offered(task, night, NEW_ITEM_DAYS).sellable.tolist() == [True, True, False]


def test_the_list_of_items_new_to_the_user_ends_with_those_new_to_everybody() -> None:
    first = sparse.csr_array([[3.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, -2.0, 0.0, 0.0]])
    then = sparse.csr_array([[0.0, 5.0, 6.0, 4.0], [7.0, 0.0, 8.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    lists = two_stage._followed_by(first, then)
    ranked = top_n_sparse(lists, 4, allowed=np.ones(4, dtype=np.bool_))
    assert ranked.item.tolist() == [
        [0, 1, 2, 3],
        [2, 0, UNKNOWN, UNKNOWN],
        [1, UNKNOWN, UNKNOWN, UNKNOWN],
    ]
    # The first keep their scores.
    np.testing.assert_array_equal(ranked.score[0, :2], [3, 1])


def test_a_new_item_reaches_those_whose_taste_it_meets() -> None:
    """Items i36 (even) and i37 (odd) come up three weeks before the night, sold alike."""
    events = shop.events()
    night = pd.Timestamp(shop.AS_OF)
    launched = events[
        events["event_date"].between(night - pd.Timedelta(days=20), night)
        & events["user_id"].isin([f"u{user:02}" for user in range(12)])
    ]
    even = launched["user_id"].str[1:].astype(int) % 2 == 0
    launched = launched.assign(item_id=np.where(even, "i36", "i37"))
    rest = events[~events["item_id"].isin(["i36", "i37"])]
    known = Context.build(
        Interactions.from_frame(
            pd.concat([rest, launched]),
            item_ids=[f"i{index:02}" for index in range(shop.ITEMS)],
        ),
        as_of=shop.AS_OF,
        item_features=shop.item_features(),
    )
    model = TwoStage(label_days=20, nights=2, rounds=20).fit(known)
    fresh = offered("new", known, NEW_ITEM_DAYS)
    assert fresh.sellable[[35, 36, 37]].tolist() == [False, True, True]
    users = np.arange(12, 40, dtype=np.int32)
    launches = np.isin(np.arange(shop.ITEMS), [36, 37])
    lists = model.rank(users, 2, filter_seen=True, items_to_recommend=launches)
    assert lists.item[:, 0].tolist() == [36 + user % 2 for user in users]
    assert (lists.item != UNKNOWN).all()


def test_a_further_source_is_one_more_opinion_of_each_item() -> None:
    model = TwoStage(label_days=20, nights=2, rounds=20, further_sources=("lightfm",))
    model.fit(shop.context())
    assert {"lightfm_score", "lightfm_relative"} <= set(model.importance("discover").index)
    with pytest.raises(ConfigurationError, match=r"further_sources\.0: Input should be"):
        TwoStage(further_sources=("tarot",))


def test_importance_is_a_share_of_both_boosters_gain() -> None:
    model = TwoStage(label_days=20, nights=2, rounds=20).fit(shop.context())
    for task in ("all", "discover"):
        gains = model.importance(task)
        assert gains.sum() == pytest.approx(1)
        assert gains.is_monotonic_decreasing


def test_a_night_is_described_once_as_the_present_and_as_the_past(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(two_stage, "_memory", Memory(two_stage.MEMORY_NIGHTS))
    described: list[date] = []
    of = NightFeatures.of

    def spy(known: Context, **rest: int) -> NightFeatures:
        described.append(known.as_of)
        return of(known, **rest)

    monkeypatch.setattr(NightFeatures, "of", spy)
    nights = [shop.AS_OF - timedelta(days=days) for days in (80, 60, 40, 20, 0)]
    for as_of in nights[2:]:
        known = Context.build(shop.interactions(), as_of=as_of, item_features=shop.item_features())
        TwoStage(label_days=20, nights=2, rounds=2).fit(known)
    assert sorted(described) == nights


def test_excluded_items_are_no_candidates() -> None:
    known = Context.build(
        shop.interactions(),
        as_of=shop.AS_OF,
        item_features=shop.item_features(),
        excluded_departments=["ODD"],
    )
    model = TwoStage(label_days=20, nights=2, rounds=2).fit(known)
    everyone, everything = (
        np.arange(shop.USERS, dtype=np.int32),
        np.ones(shop.ITEMS, dtype=np.bool_),
    )
    for filter_seen in (False, True):
        lists = model.rank(everyone, 10, filter_seen=filter_seen, items_to_recommend=everything)
        own = lists.item[lists.item != UNKNOWN]
        assert set(own % 2) == {0}


def test_only_candidates_are_kept_and_popularity_fills_up() -> None:
    context = shop.context()
    model = TwoStage(label_days=20, nights=2, rounds=20, keep=3).fit(context)
    lists = listed(model, context, np.array([4], np.int32), 6, filter_seen=False)
    assert lists.source_names == ("two_stage", "popularity")
    assert lists.source[0].tolist() == [0, 0, 0, 1, 1, 1]
    assert (lists.item != UNKNOWN).all()


def test_the_number_of_threads_changes_nothing() -> None:
    one, two = (
        TwoStage(label_days=20, nights=2, rounds=20, threads=threads).fit(shop.context())
        for threads in (1, 2)
    )
    everyone = np.arange(shop.USERS, dtype=np.int32)
    np.testing.assert_array_equal(
        one.rank(everyone, 10, filter_seen=False).item,
        two.rank(everyone, 10, filter_seen=False).item,
    )


def test_describing_users_in_other_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (fitted_in_blocks(monkeypatch, users_at_once) for users_at_once in (1, shop.USERS))
    shuffled = [model.shuffled(shop.context(), "user", seed=1) for model in (one, other)]
    everyone = np.arange(shop.USERS, dtype=np.int32)
    for left, right in ((one, other), shuffled):
        for filter_seen in (False, True):
            lists, others = (
                model.rank(everyone, 10, filter_seen=filter_seen) for model in (left, right)
            )
            np.testing.assert_array_equal(lists.item, others.item)
            np.testing.assert_array_equal(lists.score, others.score)


def fitted_in_blocks(monkeypatch: pytest.MonkeyPatch, users: int) -> TwoStage:
    monkeypatch.setattr(two_stage, "BLOCK_USERS", users)
    return TwoStage(label_days=20, nights=2, rounds=20).fit(shop.context())


def test_who_has_taken_everything_gets_nothing_new() -> None:
    known = context(("a", "x", 1, 1.0, 1.0), ("a", "y", 2, 1.0, 1.0), ("a", "z", 1, 1.0, 1.0))
    model = TwoStage(label_days=30).fit(known)
    lists = model.rank(np.array([0], np.int32), 2, filter_seen=True)
    assert lists.item.tolist() == [[UNKNOWN, UNKNOWN]]
