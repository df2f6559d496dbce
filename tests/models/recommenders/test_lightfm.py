import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lightfm import LightFM

from lakehouse.errors import ConfigurationError, DataError
from models.core.capabilities import newest
from models.core.context import Context
from models.core.interactions import UNKNOWN, Interactions, day_number
from models.evaluation.protocol import task
from models.lists.path import DEFAULT_POLICY, evaluate
from models.recommenders.lightfm_model import HybridLightFM, PureLightFM
from models.recommenders.lightfm_state import PARTS, LightFMState
from models.recommenders.popularity import Popularity
from models.selection.passes import fit_with_validation
from tests import shop

HYBRID: dict[str, Any] = {
    "components": 8,
    "loss": "warp",
    "max_epochs": 10,
    "prior_weight": 0.0,
    "minimum_buyers": 1,
    "feature_share": 0.2,
    "learning_rate": 0.05,
    "weight_half_life_days": 60.0,
    "item_columns": ["department", "category", "tags"],
    "user_columns": ["club"],
}
PLAIN: dict[str, Any] = {"components": 4, "minimum_buyers": 1, "prior_weight": 0}
GOLDEN = [[4, 2, 6, 8, 10], [1, 3, 5, 9, 7], [4, 2, 6, 8, 10], [1, 3, 5, 9, 7]]
GOLDEN_SCORES = [2.7072, 2.318, 2.0558, 1.9757, 1.8608]
COLD_USER = np.array([shop.COLD_USER], np.int32)


def window() -> Interactions:
    events = shop.interactions()
    return events.select(~np.isin(events.day, events.before(shop.AS_OF).day))


def test_one_thread_gives_these_very_lists() -> None:
    model = HybridLightFM(**HYBRID).fit(shop.context())
    users = np.array([0, 1, 30, 31], np.int32)
    lists = model.rank(users, 5, filter_seen=False)
    assert lists.item.tolist() == GOLDEN
    np.testing.assert_allclose(lists.score[0], GOLDEN_SCORES, atol=1e-4)


def test_another_seed_gives_other_numbers() -> None:
    context = shop.context()
    users = np.arange(10, dtype=np.int32)
    one = HybridLightFM(**HYBRID).fit(context).rank(users, 5, filter_seen=False)
    other = HybridLightFM(**HYBRID, seed=43).fit(context).rank(users, 5, filter_seen=False)
    assert not np.array_equal(one.score, other.score)


def test_scores_are_those_of_the_library() -> None:
    context = shop.context()
    model = HybridLightFM(**HYBRID, bias_shrinkage=0).fit(context)
    data = model._training(context)
    library = LightFM(no_components=8, loss="warp", learning_rate=0.05, random_state=42)
    library.fit(
        data.pairs,
        data.users.train,
        data.items.train,
        sample_weight=data.weights,
        epochs=10,
    )
    lists = model.rank(np.array([5], np.int32), 8, filter_seen=False)
    place = np.searchsorted(data.items.trained, lists.item[0])
    biases = data.users.train[[5]] @ library.user_biases
    expected = library.predict(5, place.astype(np.int32), data.items.train, data.users.train)
    np.testing.assert_allclose(lists.score[0], expected - biases, rtol=1e-5, atol=1e-6)


def test_attributes_and_identity_of_each_row_sum_to_1() -> None:
    data = HybridLightFM(**HYBRID)._training(shop.context())
    for side in (data.users, data.items):
        assert side.train.shape == (len(side.trained), side.everyone.shape[1])
        np.testing.assert_allclose(side.train.sum(axis=1), 1, rtol=1e-6)
        assert (side.train[:, : len(side.trained)].diagonal() >= 0.8 - 1e-6).all()


def test_sample_weights_halve_with_age_and_never_exceed_1() -> None:
    model = PureLightFM(weight_half_life_days=10)
    weights = model._sample_weights(np.array([11, 1, 21]))
    assert weights is not None
    assert weights.tolist() == [0.5, 1, 0.25]
    assert PureLightFM(weight_half_life_days=0)._sample_weights(np.array([3])) is None


def test_weights_with_k_os_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'warp-kos' ignores sample weights"):
        PureLightFM(loss="warp-kos")
    ranked = (
        PureLightFM(loss="warp-kos", weight_half_life_days=0, components=4)
        .fit(shop.context())
        .rank(np.array([1], np.int32), 3, filter_seen=False)
    )
    assert (ranked.item != UNKNOWN).all()


@pytest.mark.parametrize("loss", ["bpr", "logistic"])
def test_the_other_losses_learn_tastes(loss: str) -> None:
    model = PureLightFM(loss=loss, components=8, max_epochs=40, prior_weight=0).fit(shop.context())
    users = np.arange(shop.COLD_USER, dtype=np.int32)
    lists = model.rank(users, 5, filter_seen=False)
    assert (lists.item % 2 == users[:, None] % 2).mean() > 0.8


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"loss": "hinge"}, "method hybrid_lightfm: loss: Input should be 'warp', 'bpr'"),
        ({"feature_share": 1.0}, "feature_share: Input should be less than 1"),
    ],
)
def test_a_wrong_parameter_is_named(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        HybridLightFM(**parameters)


def test_a_run_away_learning_rate_is_an_error() -> None:
    model = PureLightFM(components=4, max_epochs=20)
    model.configuration = model.configuration.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(DataError, match=r"LightFM diverged .*: lower learning_rate"):
        model.fit(shop.context())


def test_the_best_pass_on_the_validation_window_is_kept() -> None:
    context = shop.context()
    told: list[tuple[int, dict[str, float]]] = []
    judged = task("discover", context, window())
    model = fit_with_validation(
        HybridLightFM(**{**HYBRID, "max_epochs": 30, "patience": 3}),
        context,
        judged,
        DEFAULT_POLICY,
        lambda *args: told.append(args),
    )
    curve = [point["ndcg@10"] for point in model.curve]
    assert [epoch for epoch, _ in told] == [point["epoch"] for point in model.curve]
    assert [measures["ndcg@10"] for _, measures in told] == curve
    assert model.best_epoch == 1 + int(np.argmax(curve))
    assert len(curve) == min(30, model.best_epoch + 3)
    assert evaluate(model, judged).metrics["ndcg@10"] == max(curve)
    again = HybridLightFM(**{**model.parameters, "max_epochs": model.best_epoch}).fit(context)
    users = np.arange(shop.USERS, dtype=np.int32)
    np.testing.assert_array_equal(
        again.rank(users, 10, filter_seen=True).item,
        model.rank(users, 10, filter_seen=True).item,
    )


def test_a_user_without_events_is_served_by_attributes() -> None:
    context = shop.context()
    hybrid = HybridLightFM(**HYBRID).fit(context).rank(COLD_USER, 5, filter_seen=False)
    pure = PureLightFM(components=8).fit(context).rank(COLD_USER, 5, filter_seen=False)
    assert (hybrid.item != UNKNOWN).all()
    assert (pure.item == UNKNOWN).all()


def test_an_item_never_sold_is_ranked_by_attributes_and_does_not_sink() -> None:
    context = shop.context()
    users = np.arange(1, shop.COLD_USER, 2, dtype=np.int32)
    lists = HybridLightFM(**HYBRID).fit(context).rank(users, shop.ITEMS, filter_seen=False)
    place = (lists.item == shop.UNSOLD_ITEM).argmax(axis=1)
    assert (lists.item == shop.UNSOLD_ITEM).any(axis=1).all()
    # Odd users take odd items: the odd newcomer stands before the even half of the catalogue.
    assert place.mean() < shop.ITEMS / 2
    pure = PureLightFM(components=8).fit(context).rank(users, shop.ITEMS, filter_seen=False)
    assert not (pure.item == shop.UNSOLD_ITEM).any()


def test_the_biases_of_rare_items_are_drawn_to_the_mean() -> None:
    context = shop.context()
    free = PureLightFM(**PLAIN, bias_shrinkage=0).fit(context)
    drawn = PureLightFM(**PLAIN, bias_shrinkage=10).fit(context)
    sold = np.unique(context.interactions.item)
    buyers = np.bincount(context.interactions.matrix().indices)[sold]
    before, after = free._item_vectors[sold, -1], drawn._item_vectors[sold, -1]
    expected = before.mean() + (before - before.mean()) * buyers / (buyers + 10)
    np.testing.assert_allclose(after, expected, rtol=1e-4, atol=1e-6)


def test_recent_popularity_is_added_to_the_biases() -> None:
    context = shop.context()
    events = context.interactions
    without = PureLightFM(**PLAIN).fit(context)
    added = PureLightFM(**{**PLAIN, "prior_weight": 2}, prior_half_life_days=10).fit(context)
    recent = np.zeros(shop.ITEMS)
    for user in range(shop.USERS):
        for item in range(shop.ITEMS):
            days = events.day[(events.user == user) & (events.item == item)]
            if len(days):
                recent[item] += 0.5 ** ((day_number(shop.AS_OF) - np.max(days)) / 10)
    difference = added._item_vectors - without._item_vectors
    sold = np.arange(shop.ITEMS) != shop.UNSOLD_ITEM
    assert not difference[:, :-1].any()
    np.testing.assert_allclose(difference[sold, -1], 2 * np.log1p(recent)[sold], rtol=1e-5)


def test_items_of_few_buyers_have_no_identity() -> None:
    context = shop.context()
    buyers = np.bincount(context.interactions.matrix().indices, minlength=shop.ITEMS)
    few = int(np.median(buyers))
    data = HybridLightFM(**{**HYBRID, "minimum_buyers": few})._training(context)
    assert data.items.trained.tolist() == np.flatnonzero(buyers >= few).tolist()
    impossible = PureLightFM(minimum_buyers=shop.USERS)._training(context)
    assert impossible.items.trained.tolist() == np.flatnonzero(buyers == np.max(buyers)).tolist()


LATER = date(2024, 1, 9)
WARM: dict[str, Any] = {
    "components": 3,
    "minimum_buyers": 1,
    "minimum_rows": 1,
    "item_columns": ["brand"],
}


def small_night(as_of: date, pairs: str, brands: dict[str, str]) -> Context:
    """Purchases on the day before, written as user and item, e.g. ``ax by``."""
    frame = pd.DataFrame([tuple(pair) for pair in pairs.split()], columns=["user_id", "item_id"])
    frame = frame.assign(
        event_date=pd.Timestamp(as_of) - pd.Timedelta(days=1), quantity=1.0, value=1.0
    )
    items = pd.DataFrame({"item_id": list(brands), "brand": list(brands.values())})
    return Context.build(Interactions.from_frame(frame), as_of=as_of, item_features=items)


def last_night() -> Context:
    return small_night(date(2024, 1, 8), "bx by cy cz dx dz", {"x": "P", "y": "N", "z": "Q"})


def state_of(model: HybridLightFM) -> LightFMState:
    assert model.state is not None
    return model.state


def rows(state: LightFMState, side: str) -> dict[str, list[float]]:
    """Everything that is kept of each name, as one row."""
    parts = [state.arrays[f"{side}_{part}"] for part in PARTS]
    kept = np.column_stack([part.reshape(len(state.names[side]), -1) for part in parts])
    return dict(zip(state.names[side], kept.tolist(), strict=True))


def test_rows_are_carried_over_by_name() -> None:
    old = state_of(HybridLightFM(**WARM).fit(last_night()))
    # User b and item x left, a and e, w and y's new brand came: every place has changed.
    tonight = small_night(LATER, "ay aw cw cz dz ey", {"w": "P", "y": "Q", "z": "O"})
    unpassed = {**WARM, "max_epochs": 0}
    new = state_of(HybridLightFM(**unpassed).fit(tonight, start=old))
    drawn = state_of(HybridLightFM(**unpassed).fit(tonight))
    for side, carried, fresh in (
        ("user", {"=c", "=d"}, {"=a", "=e"}),
        ("item", {"=y", "=z", "brand=P", "brand=Q"}, {"=w", "brand=O"}),
    ):
        before, first, after = (rows(state, side) for state in (old, drawn, new))
        assert set(after) == carried | fresh
        for name in carried:
            assert after[name] == before[name] != first[name]
        for name in fresh:
            assert after[name] == first[name]
            assert after[name][3:] == [1, 1, 1, 0, 1], "gradient sums, bias and its sum"


def test_a_fit_that_goes_on_without_a_pass_gives_the_same_lists() -> None:
    context = shop.context()
    old = HybridLightFM(**HYBRID).fit(context)
    new = HybridLightFM(**{**HYBRID, "max_epochs": 0}).fit(context, start=old.state)
    users = np.arange(shop.USERS, dtype=np.int32)
    one, other = (model.rank(users, 10, filter_seen=True) for model in (old, new))
    np.testing.assert_array_equal(one.item, other.item)
    np.testing.assert_array_equal(one.score, other.score)
    assert (old.started_from, new.started_from) == (None, shop.AS_OF)


def test_who_goes_on_may_keep_what_was_known() -> None:
    context, learnt = shop.context(), {**HYBRID, "max_epochs": 30}
    judged = task("discover", context, window())
    old = fit_with_validation(HybridLightFM(**learnt), context, judged, DEFAULT_POLICY)
    new = fit_with_validation(
        HybridLightFM(**learnt), context, judged, DEFAULT_POLICY, start=old.state
    )
    kept = max(point["ndcg@10"] for point in old.curve)
    assert [point["epoch"] for point in new.curve[:2]] == [0, 1]
    assert new.curve[0]["ndcg@10"] == kept
    assert new.best_epoch == int(np.argmax([point["ndcg@10"] for point in new.curve]))
    assert evaluate(new, judged).metrics["ndcg@10"] >= kept


def test_a_fit_may_not_start_from_one_that_knows_more() -> None:
    state = PureLightFM(**PLAIN).fit(shop.context()).state
    day = shop.AS_OF - timedelta(days=1)
    earlier = shop.context().earlier(day)
    message = f"before {day} may not start from one on events before {shop.AS_OF}"
    with pytest.raises(ConfigurationError, match=message):
        PureLightFM(**PLAIN).fit(earlier, start=state)
    with pytest.raises(ConfigurationError, match=message):
        PureLightFM(**PLAIN).trainer(earlier, start=state)


def test_the_newest_state_of_those_allowed_is_chosen() -> None:
    days = [shop.AS_OF - timedelta(days=back) for back in (30, 60, 0)]
    states = [LightFMState(day, {}, {}, {}) for day in days]
    for back, chosen in ((61, None), (60, days[1]), (31, days[1]), (30, days[0]), (0, days[2])):
        found = newest(states, shop.AS_OF - timedelta(days=back))
        assert (found and found.as_of) == chosen


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"components": 4}, "components is 4, was 3"),
        ({"loss": "warp"}, "loss is 'warp', was 'bpr'"),
        ({"item_columns": []}, r"item_columns is \[\], was \['brand'\]"),
    ],
)
def test_another_recipe_starts_cold_and_says_why(
    changed: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    state = HybridLightFM(**WARM).fit(last_night()).state
    model = HybridLightFM(**{**WARM, **changed}).fit(last_night(), start=state)
    cold = HybridLightFM(**{**WARM, **changed}).fit(last_night())
    assert model.started_from is None
    np.testing.assert_array_equal(model._user_vectors, cold._user_vectors)
    (message,) = caplog.messages
    assert re.search(f"lightfm starts cold: {reason}", message)


def test_a_saved_state_is_the_same_start(tmp_path: Path) -> None:
    state = state_of(HybridLightFM(**HYBRID).fit(shop.context()))
    state.save(tmp_path)
    loaded = LightFMState.load(tmp_path)
    assert (loaded.as_of, loaded.recipe) == (state.as_of, state.recipe)
    for side in ("user", "item"):
        assert rows(loaded, side) == rows(state, side)
    from_both = [
        HybridLightFM(**HYBRID).fit(shop.context(), start=start) for start in (state, loaded)
    ]
    assert [model.started_from for model in from_both] == [shop.AS_OF] * 2
    one, other = (model._item_vectors for model in from_both)
    np.testing.assert_array_equal(one, other)


def test_another_model_is_no_state(tmp_path: Path) -> None:
    Popularity().fit(shop.context()).save(tmp_path)
    with pytest.raises(DataError, match="a model of kind 'popularity', not 'lightfm_state'"):
        LightFMState.load(tmp_path)
