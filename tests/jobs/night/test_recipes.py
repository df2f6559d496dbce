"""The methods by name, as settings configure them."""

from pathlib import Path

import pytest

from jobs.config.settings import MethodName, Settings, load
from jobs.night.recipes import METHOD_NAMES, chosen_methods, recipe, recipes
from lakehouse.errors import ConfigurationError
from models.lists.catalogue import ELSEWHERE, METHODS
from tests.project import ROOT

CONFIG = ROOT / "infra" / "config" / "complete_journey.toml"


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load(CONFIG)


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_a_model_has_its_recipe_s_name(settings: Settings, name: MethodName) -> None:
    assert recipe(name, settings).build().name == name


def test_every_method_has_a_recipe(settings: Settings) -> None:
    assert {recipe(name, settings).kind for name in METHOD_NAMES} == {*METHODS, *ELSEWHERE}


def test_a_night_tries_the_configured_methods_in_their_order(settings: Settings) -> None:
    names = ("two_stage", "popularity")
    chosen = settings.model_copy(
        update={"train": settings.train.model_copy(update={"methods": names})}
    )
    assert [made.kind for made in recipes(chosen)] == list(names)


def test_the_settings_reach_the_recipes(settings: Settings) -> None:
    train = settings.train.model_copy(
        update={"seed": 7, "test_days": 9, "ranker_nights": 2, "counts_half_life_days": 11.0}
    )
    changed = settings.model_copy(update={"train": train})
    two_stage = recipe("two_stage", changed).build().parameters
    assert (two_stage["seed"], two_stage["label_days"], two_stage["nights"]) == (7, 9, 2)
    assert recipe("decayed_counts", changed).parameters == {
        "popularity_half_life_days": 30.0,
        "half_life_days": 11.0,
    }
    assert recipe("lightfm", changed).parameters["components"] == settings.train.components
    hybrid = recipe("hybrid_lightfm", changed).parameters
    assert hybrid["user_columns"][:2] == ["age", "home_ownership"]


def test_methods_are_picked_by_name() -> None:
    assert set(METHOD_NAMES) - set(chosen_methods(None)) == {"spark_als"}
    assert chosen_methods("ease, popularity") == ("popularity", "ease")
    with pytest.raises(ConfigurationError, match=r"no method 'nearest'; there are popularity,"):
        chosen_methods("nearest,ease")


def test_a_method_named_twice_is_a_mistake(tmp_path: Path) -> None:
    text = CONFIG.read_text().replace("[train]", '[train]\nmethods = ["ease", "ease"]')
    wrong = tmp_path / "config.toml"
    wrong.write_text(text)
    with pytest.raises(ConfigurationError, match=r"train\.methods: must name each method once"):
        load(wrong)
