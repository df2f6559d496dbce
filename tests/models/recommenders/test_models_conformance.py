"""What every recommender has to do; each method is a subclass with its own parameters."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from lakehouse.errors import ConfigurationError, DataError
from models.core.base import BaseRecommender
from models.core.context import Context
from models.core.interactions import UNKNOWN, Interactions
from models.core.lists import Lists
from models.core.registration import register
from models.lists import catalogue as methods
from models.recommenders.decayed_counts import DecayedCounts
from models.recommenders.popularity import Popularity
from tests import shop
from tests.listed import listed

ALL_USERS = np.arange(shop.USERS, dtype=np.int32)
PARTS = ("item", "score", "source")


def assert_equal_lists(one: Lists, other: Lists) -> None:
    for part in PARTS:
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part), err_msg=part)
    assert one.source_names == other.source_names


class Conformance:
    """The tests; ``kind`` and ``parameters`` say of what."""

    kind: ClassVar[str]
    parameters: ClassVar[dict[str, Any]] = {}

    @classmethod
    def build(cls) -> BaseRecommender:
        return methods.build(cls.kind, cls.parameters)

    @pytest.fixture(scope="class")
    @classmethod
    def context(cls) -> Context:
        return shop.context()

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, context: Context) -> BaseRecommender:
        return cls.build().fit(context)

    @pytest.mark.parametrize("filter_seen", [False, True])
    @pytest.mark.parametrize("n", [1, 10, 60])
    def test_lists_are_well_formed(
        self, model: BaseRecommender, context: Context, n: int, filter_seen: bool
    ) -> None:
        lists = listed(model, context, ALL_USERS, n, filter_seen=filter_seen)
        seen = context.interactions.matrix().toarray() > 0
        for part in PARTS:
            assert getattr(lists, part).shape == (shop.USERS, n)
        assert lists.item.dtype == np.int32
        assert lists.score.dtype == np.float32
        assert lists.source.dtype == np.int8
        assert np.isfinite(lists.score).all()
        assert ((lists.item == UNKNOWN) == (lists.source == UNKNOWN)).all()
        assert np.max(lists.source) < len(lists.source_names)
        for user in ALL_USERS:
            items = lists.item[user][lists.item[user] != UNKNOWN]
            assert (lists.item[user][: len(items)] == items).all(), "gaps stand at the end"
            assert len(set(items)) == len(items)
            assert context.sellable[items].all()
            if filter_seen:
                assert not seen[user, items].any()
            available = context.sellable & (seen.any(axis=0))
            if filter_seen:
                available &= ~seen[user]
            assert len(items) >= min(n, available.sum())

    @pytest.mark.parametrize("filter_seen", [False, True])
    def test_scores_fall_within_a_source(
        self, model: BaseRecommender, context: Context, filter_seen: bool
    ) -> None:
        lists = listed(model, context, ALL_USERS, 10, filter_seen=filter_seen)
        together = lists.source[:, 1:] == lists.source[:, :-1]
        rises = (np.diff(lists.score, axis=1) > 0) & together
        assert not rises.any()

    def test_a_short_list_is_the_start_of_a_long_one(
        self, model: BaseRecommender, context: Context
    ) -> None:
        long = listed(model, context, ALL_USERS, 20, filter_seen=False)
        assert_equal_lists(listed(model, context, ALL_USERS, 5, filter_seen=False), long.head(5))

    def test_a_users_list_does_not_depend_on_who_else_asks(
        self, model: BaseRecommender, context: Context
    ) -> None:
        everyone = listed(model, context, ALL_USERS, 10, filter_seen=True)
        chosen = np.array([17, 3, 17], dtype=np.int32)
        alone = listed(model, context, chosen, 10, filter_seen=True)
        np.testing.assert_array_equal(alone.item, everyone.item[chosen])

    def test_items_to_recommend_take_the_place_of_the_sellable(
        self, model: BaseRecommender, context: Context
    ) -> None:
        among = np.zeros(shop.ITEMS, dtype=bool)
        among[[shop.UNSELLABLE_ITEM, 4, 7]] = True
        lists = listed(model, context, ALL_USERS, 10, filter_seen=False, items_to_recommend=among)
        assert set(np.unique(lists.item)) == {UNKNOWN, shop.UNSELLABLE_ITEM, 4, 7}

    def test_unknown_users_get_what_is_popular(
        self, model: BaseRecommender, context: Context
    ) -> None:
        unknown = listed(model, context, np.array([UNKNOWN], np.int32), 10, filter_seen=False)
        expected = listed(
            Popularity().fit(context), context, np.array([0], np.int32), 10, filter_seen=False
        )
        np.testing.assert_array_equal(unknown.item, expected.item)
        assert [unknown.source_names[code] for code in unknown.source[0]] == ["popularity"] * 10

    def test_a_user_outside_the_vocabulary_is_an_error(self, model: BaseRecommender) -> None:
        with pytest.raises(IndexError, match="user indices must lie in"):
            model.rank(np.array([shop.USERS], np.int32), 3, filter_seen=False)

    def test_no_users_get_no_lists(self, model: BaseRecommender, context: Context) -> None:
        lists = listed(model, context, np.array([], np.int32), 3, filter_seen=True)
        assert lists.item.shape == (0, 3)

    def test_fitting_again_gives_the_same_model(
        self, model: BaseRecommender, context: Context
    ) -> None:
        again = self.build().fit(context)
        assert_equal_lists(
            listed(again, context, ALL_USERS, 10, filter_seen=False),
            listed(model, context, ALL_USERS, 10, filter_seen=False),
        )

    def test_the_future_changes_nothing(self, model: BaseRecommender, context: Context) -> None:
        events = shop.interactions()
        future = replace(
            events, item=np.where(events.day >= np.max(events.day) - 20, 1, events.item)
        )
        cut = Context.build(
            future,
            as_of=shop.AS_OF,
            user_attributes=shop.user_attributes(),
            item_features=shop.item_features(),
        )
        assert_equal_lists(
            listed(self.build().fit(cut), cut, ALL_USERS, 10, filter_seen=False),
            listed(model, context, ALL_USERS, 10, filter_seen=False),
        )

    def test_saving_and_loading_keeps_all(
        self, model: BaseRecommender, context: Context, tmp_path: Path
    ) -> None:
        model.save(tmp_path / "model")
        loaded = methods.load(tmp_path / "model")
        assert type(loaded) is type(model)
        assert loaded.parameters == model.parameters
        assert loaded.name == model.name
        assert loaded.user_ids.tolist() == model.user_ids.tolist()
        assert loaded.item_ids.tolist() == model.item_ids.tolist()
        for filter_seen in (False, True):
            assert_equal_lists(
                listed(loaded, context, ALL_USERS, 10, filter_seen=filter_seen),
                listed(model, context, ALL_USERS, 10, filter_seen=filter_seen),
            )

    def test_equal_models_are_equal_bytes(self, model: BaseRecommender, tmp_path: Path) -> None:
        model.save(tmp_path / "one")
        methods.load(tmp_path / "one").save(tmp_path / "two")
        for name in ("arrays.npz", "model.json"):
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()

    def test_a_damaged_file_is_an_error(self, model: BaseRecommender, tmp_path: Path) -> None:
        model.save(tmp_path)
        content = bytearray((tmp_path / "arrays.npz").read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / "arrays.npz").write_bytes(content)
        with pytest.raises(DataError, match="the file was damaged"):
            methods.load(tmp_path)

    def test_learnt_numbers_are_finite(self, model: BaseRecommender) -> None:
        assert model.is_finite()

    def test_nothing_to_learn_from_is_an_error(self, context: Context) -> None:
        empty = Context.build(shop.interactions(), as_of=shop.FIRST_DAY)
        with pytest.raises(DataError, match="no events before 2024-01-01"):
            self.build().fit(empty)

    def test_a_single_event_is_enough(self) -> None:
        frame = shop.events().head(1)
        day = frame["event_date"].iloc[0].date() + timedelta(days=1)
        context = Context.build(Interactions.from_frame(frame), as_of=day)
        lists = listed(
            self.build().fit(context), context, np.array([0, -1], np.int32), 2, filter_seen=False
        )
        assert lists.item.tolist() == [[0, UNKNOWN], [0, UNKNOWN]]

    def test_ids_may_hold_any_text(self, tmp_path: Path) -> None:
        names = {"u00": "a\x00b", "u01": "\N{CAT}", "u02": "", "i00": "'; DROP", "i02": "é" * 5000}
        frame = shop.events()
        frame = frame.assign(
            user_id=frame["user_id"].replace(names), item_id=frame["item_id"].replace(names)
        )
        context = Context.build(Interactions.from_frame(frame), as_of=shop.AS_OF)
        model = self.build().fit(context)
        model.save(tmp_path)
        assert methods.load(tmp_path).user_ids.tolist() == sorted(frame["user_id"].unique())
        assert methods.load(tmp_path).item_ids.tolist() == sorted(frame["item_id"].unique())


class PersonalConformance(Conformance):
    """Of methods that find new items by the user's taste."""

    def test_tastes_are_told_apart(self, model: BaseRecommender, context: Context) -> None:
        """In the shop even users take even items only; the new ones for them are even too."""
        lists = listed(model, context, ALL_USERS[: shop.COLD_USER], 3, filter_seen=True)
        own = lists.source == 0
        assert own.any()
        matching = (lists.item % 2 == ALL_USERS[: shop.COLD_USER, None] % 2)[own]
        assert matching.mean() > 0.9


class FactorsConformance(PersonalConformance):
    """Of methods that know people by a vector; who has none is not ranked by an arbitrary order."""

    def test_somebody_of_whom_nothing_is_known_gets_what_is_popular(self, context: Context) -> None:
        nameless = replace(context, user_attributes=context.user_attributes[[]])
        cold = np.array([shop.COLD_USER], np.int32)
        for filter_seen in (False, True):
            lists = listed(self.build().fit(nameless), nameless, cold, 10, filter_seen=filter_seen)
            expected = listed(
                Popularity().fit(nameless), nameless, cold, 10, filter_seen=filter_seen
            )
            assert lists.item.tolist() == expected.item.tolist()
            assert [lists.source_names[code] for code in lists.source[0]] == ["popularity"] * 10


class TestPopularity(Conformance):
    kind = "popularity"


class TestDecayedCounts(Conformance):
    kind = "decayed_counts"


class TestUserKnn(PersonalConformance):
    kind = "user_knn"
    parameters: ClassVar = {"neighbours": 10}


class TestItemKnn(PersonalConformance):
    kind = "item_knn"
    parameters: ClassVar = {"minimum_buyers": 1, "weighting": "bm25"}


class TestEase(PersonalConformance):
    kind = "ease"
    parameters: ClassVar = {"catalogue": 40, "regularisation": 10.0}


class TestImplicitAls(FactorsConformance):
    kind = "implicit_als"
    parameters: ClassVar = {"factors": 4}


class TestContentBased(PersonalConformance):
    kind = "content_based"
    parameters: ClassVar = {"dimensions": 8}


class TestPureLightFM(FactorsConformance):
    kind = "lightfm"
    parameters: ClassVar = {"components": 8, "max_epochs": 50}


class TestHybridLightFM(FactorsConformance):
    kind = "hybrid_lightfm"
    parameters: ClassVar = {
        "components": 8,
        "max_epochs": 20,
        "item_columns": ("department", "category", "tags"),
        "user_columns": ("club",),
    }


class TestCategoryPopularity(PersonalConformance):
    kind = "category_popularity"
    parameters: ClassVar = {"column": "department"}


class TestTifuKnn(PersonalConformance):
    kind = "tifuknn"
    parameters: ClassVar = {"neighbours": 10}


class TestUpCf(PersonalConformance):
    kind = "up_cf"


class TestBuyAgain(Conformance):
    kind = "buy_again"
    parameters: ClassVar = {"nights": 3, "rounds": 20}


class TestTwoStage(PersonalConformance):
    kind = "two_stage"
    parameters: ClassVar = {"label_days": 20, "nights": 2, "rounds": 20}


def test_every_method_has_its_line_here() -> None:
    """But for those that need more than this process: they have a test of their own."""
    tested = {
        value.kind
        for value in globals().values()
        if isinstance(value, type) and issubclass(value, Conformance) and hasattr(value, "kind")
    }
    assert tested == {
        name for name, method in methods.methods().items() if not method.only_when_named
    }


def test_a_name_belongs_to_one_method() -> None:
    with pytest.raises(ValueError, match=r"two methods are named 'popularity': models\..*"):
        register("popularity")(type("Other", (Popularity,), {}))


def small(*rows: tuple[str, str, str]) -> Context:
    """A context on the day after the last of the rows (user, item, day in January 2024)."""
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "day"])
    frame = frame.assign(
        event_date=pd.to_datetime("2024-01-" + frame["day"]), quantity=1.0, value=1.0
    )
    last = frame["event_date"].max().date()
    return Context.build(Interactions.from_frame(frame), as_of=last + timedelta(days=1))


def test_popularity_decays() -> None:
    context = small(("a", "x", "01"), ("b", "x", "01"), ("a", "y", "21"))
    users = np.array([0], np.int32)
    for half_life, first in ((1000.0, "x"), (5.0, "y")):
        model = Popularity(popularity_half_life_days=half_life).fit(context)
        item = listed(model, context, users, 1, filter_seen=False).item[0, 0]
        assert model.item_ids[item] == first


def test_decayed_counts_are_the_users_own_and_popularity_fills_up() -> None:
    context = small(
        ("a", "x", "01"), ("a", "x", "02"), ("a", "y", "31"), ("b", "z", "31"), ("b", "v", "30")
    )
    lists = listed(
        DecayedCounts(half_life_days=10).fit(context),
        context,
        np.array([0], np.int32),
        4,
        filter_seen=False,
    )
    # Items v, x, y, z are 0 to 3; x counts 2^-3.0 + 2^-3.1, y 2^-0.1.
    assert lists.item.tolist() == [[2, 1, 3, 0]]
    np.testing.assert_allclose(lists.score[0, :2], [2**-0.1, 2**-3.1 + 2**-3.0], rtol=1e-6)
    assert lists.source.tolist() == [[0, 0, 1, 1]]
    assert lists.source_names == ("decayed_counts", "popularity")


def test_nothing_is_new_to_decayed_counts() -> None:
    context = small(("a", "x", "01"), ("b", "y", "02"))
    lists = listed(
        DecayedCounts().fit(context), context, np.array([0], np.int32), 2, filter_seen=True
    )
    assert lists.item.tolist() == [[1, UNKNOWN]]
    assert lists.source.tolist() == [[1, UNKNOWN]]


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("nearest", {}, r"no method 'nearest'; there are .*, popularity,"),
        ("popularity", {"half_live": 3}, "method popularity: .*half_live"),
    ],
)
def test_an_unknown_method_or_parameter_is_named(
    kind: str, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        methods.build(kind, parameters)


def test_a_method_that_has_not_been_fitted_says_so() -> None:
    with pytest.raises(RuntimeError, match="popularity has not been fitted"):
        Popularity().rank(ALL_USERS, 1, filter_seen=False)


def test_a_model_of_another_format_is_refused(tmp_path: Path) -> None:
    Popularity().fit(shop.context()).save(tmp_path)
    description = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(description.replace('"format": 1', '"format": 0'))
    with pytest.raises(DataError, match="has format 0, this version reads 1"):
        methods.load(tmp_path)


def test_a_missing_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no readable model in"):
        methods.load(tmp_path / "nowhere")


def test_a_model_with_a_number_that_is_none_is_not_finite() -> None:
    model = DecayedCounts().fit(shop.context())
    assert model.is_finite()
    model._scores[0] = np.nan
    assert not model.is_finite()


METHODS_THAT_COMPLETE: dict[str, dict[str, Any]] = {
    "user_knn": {},
    "item_knn": {"minimum_buyers": 1, "weighting": "log"},
    "ease": {"regularisation": 1.0},
    "implicit_als": {"factors": 4, "regularisation": 0.1},
    "lightfm": {"components": 8, "max_epochs": 60, "weight_half_life_days": 0},
}


@pytest.mark.parametrize("kind", METHODS_THAT_COMPLETE)
def test_a_checkerboard_is_completed(kind: str) -> None:
    """As in `implicit`'s tests: user u takes every other item but one, which must come first."""
    size = 50
    user, item = np.nonzero((np.arange(size)[:, None] + np.arange(size)) % 2 == 0)
    kept = user != item
    frame = pd.DataFrame(
        {
            "user_id": [f"{place:02}" for place in user[kept]],
            "item_id": [f"{place:02}" for place in item[kept]],
            "event_date": pd.Timestamp("2024-01-01"),
            "quantity": 1.0,
            "value": 1.0,
        }
    )
    context = Context.build(Interactions.from_frame(frame), as_of=shop.AS_OF)
    model = methods.build(kind, METHODS_THAT_COMPLETE[kind]).fit(context)
    users = np.arange(size, dtype=np.int32)
    assert (
        listed(model, context, users, 1, filter_seen=True).item.ravel().tolist() == users.tolist()
    )


def test_content_reaches_an_item_that_was_never_sold() -> None:
    context = shop.context()
    model = methods.build("content_based", {"dimensions": 8}).fit(context)
    users = np.array([shop.UNSOLD_ITEM - 2], np.int32)
    lists = listed(model, context, users, shop.ITEMS, filter_seen=True)
    place = lists.item[0].tolist().index(shop.UNSOLD_ITEM)
    assert lists.source[0, place] == 0
