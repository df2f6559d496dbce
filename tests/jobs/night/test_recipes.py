"""The methods by name, as settings configure them."""

from pathlib import Path

import pytest

from jobs.config.methods import all_methods
from jobs.config.settings import Models, Settings, load
from jobs.night.recipes import chosen_methods, recipe, recipes
from lakehouse.errors import ConfigurationError
from tests.project import ROOT

CONFIG = ROOT / "infra" / "config" / "complete_journey.toml"


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load(CONFIG)


@pytest.mark.parametrize("name", all_methods())
def test_a_model_has_its_method_s_name(settings: Settings, name: str) -> None:
    assert recipe(name, settings).build().name == name


def test_a_night_tries_the_configured_methods_in_their_order(settings: Settings) -> None:
    names = ("two_stage", "popularity")
    chosen = settings.model_copy(
        update={"train": settings.train.model_copy(update={"methods": names})}
    )
    assert [made.kind for made in recipes(chosen)] == list(names)


def test_the_settings_reach_the_recipes(settings: Settings) -> None:
    train = settings.train.model_copy(
        update={"seed": 7, "test_days": 9, "counts_half_life_days": 11.0, "threads": 2}
    )
    models = Models.model_validate(
        {"two_stage": {"nights": 2, "seed": 8}, "hybrid_lightfm": {"components": 5}}
    )
    changed = settings.model_copy(update={"train": train, "models": models})
    # What a method's own table says goes before what all share.
    assert recipe("two_stage", changed).parameters == {
        "popularity_half_life_days": 30.0,
        "label_days": 9,
        "half_life_days": 11.0,
        "new_item_days": 28,
        "nights": 2,
        "seed": 8,
    }
    assert recipe("decayed_counts", changed).parameters == {"half_life_days": 11.0}
    assert recipe("lightfm", changed).build().parameters["components"] == 64
    hybrid = recipe("hybrid_lightfm", changed).build().parameters
    assert hybrid["user_columns"][:2] == ["age", "home_ownership"]
    assert (hybrid["components"], hybrid["threads"], hybrid["seed"]) == (5, 2, 7)


def test_methods_are_picked_by_name() -> None:
    assert set(all_methods()) - set(chosen_methods(None)) == {"spark_als"}
    assert chosen_methods("popularity, ease") == ("ease", "popularity")
    with pytest.raises(ConfigurationError, match=r"no method 'nearest'; there are buy_again, cat"):
        chosen_methods("nearest,ease")


def test_a_method_named_twice_is_a_mistake(tmp_path: Path) -> None:
    text = f'{CONFIG.read_text()}\n[train]\nmethods = ["ease", "ease"]\n'
    wrong = tmp_path / "config.toml"
    wrong.write_text(text)
    with pytest.raises(ConfigurationError, match=r"train\.methods: must name each method once"):
        load(wrong)
