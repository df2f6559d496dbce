"""Every setting arrives: each field set to another value changes what it is about.

A field without another value here fails the tests, so that no setting is declared and then lost.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.sparse.linalg import svds

from jobs.config.environment import sections_of
from jobs.config.methods import all_methods
from jobs.config.settings import Gate, Models, Recommend, Settings, Train
from jobs.night.inputs import newest_versions, read_gold, read_nights
from jobs.night.lists import served_lists
from jobs.night.recipes import (
    cold,
    newcomers_recipe,
    policy,
    recipe,
    recipes,
    served_policy,
    terms,
)
from jobs.steps.gate import _list_figures
from lakehouse.lists import ALL
from lakehouse.tables import ITEM_FEATURES, SILVER_FEEDBACK, USER_FEATURES
from models.core.base import BaseRecommender
from models.core.capabilities import LearnsInPasses
from models.core.context import Context
from models.core.memory import Memory
from models.core.registration import REGISTERED
from models.evaluation.bootstrap import Difference
from models.evaluation.protocol import Cold, task
from models.lists import catalogue
from models.lists.path import DEFAULT_POLICY
from models.ranking import two_stage
from models.ranking.sources import LATELY_DAYS, TASKS, Given, sources
from models.recommenders import als, content_based, lightfm_model
from models.selection.evidence import Evidence
from models.selection.gate import Limits, ListFigures, Rival, Segment, Served, decide
from models.selection.passes import fit_with_validation
from models.selection.split import Split
from models.selection.training import train
from models.tracking.versions import Provenance
from tests import shop
from tests.nights import NIGHT, POPULARITY, Event, settings_in, write_lake
from tests.rows import put

SMALL_LIGHTFM = {"components": 4, "max_epochs": 20, "minimum_buyers": 1, "loss": "warp"}
# What a method is configured with where one parameter is changed.
BASES: Mapping[str, Mapping[str, Any]] = {
    "content_based": {"dimensions": 3},
    "user_knn": {"weighting": "log"},
    "item_knn": {"minimum_buyers": 1},
    "implicit_als": {"factors": 4},
    "lightfm": SMALL_LIGHTFM,
    "hybrid_lightfm": {**SMALL_LIGHTFM, "user_columns": ["club"]},
    "two_stage": {"nights": 2, "label_days": 20, "rounds": 5},
}
OTHER: Mapping[str, Any] = {
    "alpha": 1.0,
    "asymmetry": 0.25,
    "bias_shrinkage": 50.0,
    "catalogue": 10,
    "column": "department",
    "components": 3,
    "days_apart": 10,
    "dimensions": 2,
    "factors": 3,
    "feature_share": 0.5,
    "further_sources": ["content"],
    "group_decay": 0.9,
    "groups": 2,
    "half_life_days": 5.0,
    "item_columns": ["department"],
    "items_each": 2,
    "iterations": 2,
    "keep": 3,
    "label_days": 10,
    "learning_rate": 0.02,
    "leaves": 3,
    "locality": 1.0,
    "loss": "logistic",
    "max_epochs": 1,
    "max_sampled": 1,
    "minimum_buyers": 25,
    "minimum_rows": 25,
    "negatives": 10,
    "neighbours": 2,
    "new_item_days": 75,
    "nights": 1,
    "own_share": 0.9,
    "patience": 1,
    "popularity_half_life_days": 3.0,
    "popularity_penalty": 2.0,
    "popularity_weight": 0.1,
    "prior_half_life_days": 1.0,
    "prior_weight": 0.1,
    "regularisation": 0.01,
    "rounds": 2,
    "seed": 7,
    "share_half_life_days": 3.0,
    "text_columns": [],
    "user_bands": [],
    "user_columns": [],
    "validation_protocol": "all",
    "weight_half_life_days": 0.0,
    "weighting": "bm25",
    "window_days": 5,
    "within_decay": 0.5,
    "without": ["pair recency and frequency"],
}
# Spark's own test needs a JVM. How many threads work, and where a decomposition that converges
# starts from, is not seen in what comes of it (see below).
PARAMETERS = [
    (name, field)
    for name, method in all_methods().items()
    if not method.only_when_named
    for field in method.Configuration.model_fields
    if field != "threads" and (name, field) != ("content_based", "seed")
]


def context() -> Context:
    """The made-up shop, with numbers of its users too."""
    numbers = np.random.default_rng(3).integers(1, 90, (shop.USERS, 2))
    users = pd.DataFrame(numbers, columns=["events_total", "days_since_last"])
    return replace(shop.context(), user_features=users)


def fitted(model: BaseRecommender) -> BaseRecommender:
    known = context()
    if isinstance(model, LearnsInPasses):
        events = shop.interactions()
        later = events.select(events.day > np.max(known.interactions.day))
        judged = task(model.validation_protocol, known, later)
        return fit_with_validation(model, known, judged, DEFAULT_POLICY)
    return model.fit(known)


def traces(model: BaseRecommender) -> Iterator[NDArray[Any]]:
    """Everything that was learnt, and everybody's lists."""
    yield from (array for _, array in sorted(model._arrays().items()))
    yield np.array([point["epoch"] for point in getattr(model, "curve", ())])
    for filter_seen in (False, True):
        yield from model.rank(
            np.arange(-1, shop.USERS, dtype=np.int32), 10, filter_seen=filter_seen
        )


def differ(one: BaseRecommender, other: BaseRecommender) -> bool:
    pairs = list(zip(traces(one), traces(other), strict=False))
    return any(
        a.shape != b.shape or not np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in pairs
    )


@pytest.fixture(scope="module")
def models() -> dict[str, BaseRecommender]:
    return {
        name: fitted(catalogue.build(name, BASES.get(name, {})))
        for name, method in all_methods().items()
        if not method.only_when_named
    }


@pytest.mark.parametrize(("name", "field"), PARAMETERS)
def test_each_parameter_of_a_method_changes_what_it_learns(
    models: Mapping[str, BaseRecommender], name: str, field: str
) -> None:
    now = models[name]
    other = now.changed(**{field: OTHER[field]})
    assert other.parameters[field] != now.parameters[field]
    assert differ(now, fitted(other))


def test_equal_parameters_change_nothing(models: Mapping[str, BaseRecommender]) -> None:
    for model in models.values():
        assert not differ(model, fitted(model.changed())), model.name


def test_threads_reach_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, set[object]] = {"lightfm": set(), "als": set(), "pool": set()}
    passes, library, pool = lightfm_model._passes, AlternatingLeastSquares, ThreadPoolExecutor

    def spied_passes(model: Any, data: Any, threads: int, epochs: int) -> None:
        told["lightfm"].add(threads)
        passes(model, data, 1, epochs)

    def spied_library(**given: Any) -> Any:
        told["als"].add(given["num_threads"])
        return library(**{**given, "num_threads": 1})

    def spied_pool(threads: int) -> Any:
        told["pool"].add(threads)
        return pool(threads)

    monkeypatch.setattr(lightfm_model, "_passes", spied_passes)
    monkeypatch.setattr(als, "AlternatingLeastSquares", spied_library)
    monkeypatch.setattr(two_stage, "ThreadPoolExecutor", spied_pool)
    monkeypatch.setattr(two_stage, "_memory", Memory(1))
    for name in ("lightfm", "implicit_als", "two_stage"):
        catalogue.build(name, {**BASES[name], "threads": 3}).fit(context())
    assert told == {"lightfm": {3}, "als": {3}, "pool": {3}}


def test_the_seed_reaches_the_decomposition_of_contents(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = []

    def spied(matrix: Any, **given: Any) -> Any:
        starts.append(given["v0"])
        return svds(matrix, **given)

    monkeypatch.setattr(content_based, "svds", spied)
    monkeypatch.setattr(content_based, "_memory", Memory(1))
    for seed in (42, 7):
        catalogue.build("content_based", {"dimensions": 3, "seed": seed}).fit(context())
    assert not np.array_equal(*starts)


def test_what_methods_share_reaches_the_ranker_s_sources() -> None:
    given = Given(3.0, 5.0, 9, 7, further=("lightfm", "content"))
    for what in TASKS:
        for name, source in sources(what, given).items():
            said = source.method.parameters
            memory = LATELY_DAYS if name == "popular_lately" else 3.0
            assert said.get("popularity_half_life_days", memory) == memory
            assert said.get("half_life_days", 5.0) == 5.0
            assert said.get("seed", 7) == 7


def changed(settings: Settings, section: str, **values: object) -> Settings:
    table = getattr(settings, section).model_copy(update=values)
    return settings.model_copy(update={section: table})


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A night of a small shop where some items are new, people go to two stores."""
    folder = tmp_path_factory.mktemp("night")
    methods = '["popularity", "decayed_counts", "implicit_als"]'
    return changed(settings_in(folder, train={"methods": methods}), "recommend", new_item_share=0.4)


def written(settings: Settings) -> Settings:
    ages = (1, 3, 5, 8, 10, 12, 16, 20, 26, 33, 41, 50, 60)
    events = [
        Event(f"user-{user:02}", f"item-{(user * step + step) % 14}", age, f"store-{user % 2}")
        for user in range(40)
        for step, age in enumerate(ages[: 11 + user % 3])
    ]
    events += [Event(f"user-{user:02}", "item-new", 20, "store-0") for user in range(3)]
    items = {
        item: {"sellable": True, "category": item[-1]}
        for item in sorted({event.item for event in events})
    }
    write_lake(settings, events, items)
    day = NIGHT - timedelta(days=8)
    shown = [
        {
            "event_id": f"{user}-{item}-{time}",
            "user_id": f"user-{user:02}",
            "item_id": f"item-{item}",
        }
        | {"event_type": "impression", "event_date": day, "event_ts": _noon(day)}
        for user in range(40)
        for item in range(0, 14, 2)
        for time in range(10)
    ]
    put(settings.paths.lake, SILVER_FEEDBACK, shown, {"ingest_date": NIGHT})
    return settings


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def night(settings: Settings) -> dict[str, object]:
    """What a night makes: parameters, figures of both windows, lists."""
    written(settings)
    versions = newest_versions(settings.paths.lake)
    nights = read_nights(settings, versions, run_date=NIGHT)
    trained = train(
        recipes(settings),
        nights,
        terms(settings),
        newcomers=newcomers_recipe(settings),
        policy=policy(settings, NIGHT),
    )
    users = read_gold(settings.paths.lake, USER_FEATURES, versions, NIGHT, NIGHT)
    source = Provenance(NIGHT, versions, settings.digest(), settings.train.seed)
    lists = pd.concat(
        served_lists(
            settings,
            source,
            trained.published,
            users["user_id"],
            read_gold(settings.paths.lake, ITEM_FEATURES, versions, NIGHT, NIGHT),
            policy=served_policy(settings, NIGHT),
            shelf=None,
        )
    )
    return {
        "learnt": dict(trained.learnt),
        "validation": {m: e.metrics for m, e in trained.validation["all"].items()},
        "test": {m: e.metrics for m, e in trained.test["all"].items()},
        "lists": lists.to_csv(),
        "newcomers": trained.published.newcomers.name,
    }


NIGHTS: Mapping[str, Mapping[str, tuple[object, str]]] = {
    "train": {
        "methods": (("popularity", "decayed_counts"), "learnt"),
        "seed": (7, "learnt"),
        "threads": (2, "learnt"),
        "test_days": (2, "test"),
        "validation_days": (14, "validation"),
        "popularity_half_life_days": (2.0, "lists"),
        "counts_half_life_days": (2.0, "test"),
    },
    "recommend": {
        "size": (2, "lists"),
        "spare_places": (0, "lists"),
        "new_item_days": (1, "lists"),
        "new_item_share": (0.0, "lists"),
        "ignored_weight": (0.0, "lists"),
        "ignored_half_life_days": (0.5, "lists"),
        "contexts": (("store_id",), "lists"),
        "newcomers": ("ease_of_mine", "newcomers"),
        "rules": (Path(__file__).with_name("rules.toml"), "test"),
    },
}
# Looked at elsewhere: nights that go on from others in test_train, cold users below.
ELSEWHERE = {"train": {"warm_start", "cold_user_days"}, "recommend": set[str]()}


@pytest.fixture(scope="module")
def usual(settings: Settings) -> dict[str, object]:
    return night(settings)


@pytest.mark.parametrize(
    ("section", "field"), [(section, field) for section in NIGHTS for field in NIGHTS[section]]
)
def test_each_setting_changes_the_night(
    settings: Settings,
    usual: Mapping[str, object],
    monkeypatch: pytest.MonkeyPatch,
    section: str,
    field: str,
) -> None:
    monkeypatch.setitem(REGISTERED, "ease_of_mine", _ease_of_mine())
    value, what = NIGHTS[section][field]
    assert night(changed(settings, section, **{field: value}))[what] != usual[what]


def _ease_of_mine() -> type[BaseRecommender]:
    ease = catalogue.method("ease")
    return type("EaseOfMine", (ease,), {"kind": "ease_of_mine"})


def test_no_setting_of_the_night_is_left_out() -> None:
    for section, model in (("train", Train), ("recommend", Recommend)):
        assert {*NIGHTS[section], *ELSEWHERE[section]} == set(model.model_fields)
        assert sections_of(Settings)[section] is model


def test_a_method_s_table_reaches_the_night(settings: Settings) -> None:
    models = Models.model_validate({"implicit_als": {"factors": 3}, "ease": {"catalogue": 5}})
    made = settings.model_copy(update={"models": models})
    learnt = night(made)["learnt"]
    assert isinstance(learnt, dict)
    assert learnt["implicit_als"]["factors"] == 3
    assert newcomers_recipe(made).build().parameters["catalogue"] == 5


def test_cold_users_and_items_are_those_of_the_settings(settings: Settings) -> None:
    other = changed(changed(settings, "train", cold_user_days=20), "recommend", new_item_days=9)
    assert (cold(settings), cold(other)) == (Cold(5, 28), Cold(20, 9))
    versions = newest_versions(written(settings).paths.lake)
    nights = read_nights(settings, versions, run_date=NIGHT)
    users = [
        len(Split.of(nights, ["cold_users"], lists=(), cold=asked).test["cold_users"].users)
        for asked in (Cold(8, 28), cold(other))
    ]
    assert users[0] < users[1]
    assert recipe("two_stage", other).parameters["new_item_days"] == 9


SEEN = Served(finite=True, constant_share=0.5, coverage=0.2, popular_share=0.5)
WORSE = Difference(-0.02, -0.03, -0.01)
FIGURES = ListFigures(
    list_name="all",
    challenger=SEEN,
    ndcg=0.4,
    heuristics=(Rival("popularity", 0.3, Difference(0.1, 0.09, 0.11)),),
    cold=Segment(40, 0.28, (Rival("popularity", 0.30, WORSE),)),
    champion=replace(SEEN, coverage=0.3),
    champion_recipe=Rival("champion", 0.42, WORSE),
    churn=0.5,
)
LIMITS: Mapping[str, float] = {
    "tolerance": 0.1,
    "coverage_ratio": 0.5,
    "constant_share": 0.9,
    "popular_share": 0.9,
    "churn": 0.9,
    "cold_users": 30,
    "cold_tolerance": 0.1,
}
STRICTER: Mapping[str, float] = {
    "tolerance": 0.0,
    "coverage_ratio": 0.9,
    "constant_share": 0.4,
    "popular_share": 0.4,
    "churn": 0.4,
    "cold_tolerance": 0.01,
}


def limits(cold_user_days: int, **changed: float) -> Limits:
    gate = Gate(**{**LIMITS, **changed})
    return Limits(**gate.model_dump(), cold_user_days=cold_user_days)


@pytest.mark.parametrize("field", STRICTER)
def test_each_limit_of_the_gate_can_refuse(field: str) -> None:
    usual = limits(10)
    stricter = limits(10, **{field: STRICTER[field]})
    assert decide([FIGURES], usual).passed
    assert not decide([FIGURES], stricter).passed


def test_how_many_cold_users_it_takes_is_the_gate_s() -> None:
    rival = Rival("popularity", 0.9, Difference(-0.6, -0.7, -0.5))
    worse = replace(FIGURES, cold=Segment(40, 0.28, (rival,)))
    for needed, passed in ((40, False), (41, True)):
        assert decide([worse], limits(10, cold_users=needed)).passed == passed
    assert set(Gate.model_fields) == {*STRICTER, "cold_users"} == set(LIMITS)


@pytest.mark.parametrize(("days", "users"), [(5, 2), (9, 3)])
def test_who_is_cold_to_the_gate_is_who_is_cold_elsewhere(days: int, users: int) -> None:
    evidence = Evidence(
        recipes={"popularity": POPULARITY},
        choice={"all": "popularity"},
        ndcg={"all": {"popularity": np.ones(4)}},
        active_days={"all": np.array([1, 5, 9, 20])},
    )
    version: Any = SimpleNamespace(evidence=evidence, served=lambda _name: SEEN)
    figures = _list_figures(ALL, version, None, None, limits(days), seed=42)
    assert figures.cold.users == users
