"""A new method is a file: found, configured, documented and tried without another line of code."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import models.recommenders
from jobs.config.doc import config_doc
from jobs.config.methods import all_methods
from jobs.night.inputs import newest_versions, read_nights
from jobs.night.recipes import chosen_methods, recipes
from lakehouse.errors import ConfigurationError
from models.core.registration import REGISTERED
from models.lists import catalogue
from models.lists.path import DEFAULT_POLICY
from models.selection.training import train
from tests.nights import NEWCOMERS, NIGHT, TERMS, settings_in, shop, write_lake

MINE = '''
"""Popularity that can be told how long a list of the shop's is."""

from pydantic import Field

from models.core.parameters import Whole
from models.core.registration import register
from models.recommenders.popularity import Popularity


@register("mine")
class Mine(Popularity):
    """As popularity."""

    class Configuration(Popularity.Configuration):
        """A method of this shop."""

        shelf: Whole = Field(default=3, ge=1, le=9, description="Length of a shelf.")

    configuration: Configuration
'''


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The file ``mine.py`` among the recommenders', as if somebody had just added it."""
    (tmp_path / "mine.py").write_text(MINE)
    path = [*models.recommenders.__path__, str(tmp_path)]
    monkeypatch.setattr(models.recommenders, "__path__", path)
    monkeypatch.setattr(catalogue, "_loaded", set())
    yield
    REGISTERED.pop("mine", None)
    sys.modules.pop("models.recommenders.mine", None)


@pytest.mark.usefixtures("mine")
def test_a_method_is_added_by_its_file_alone(tmp_path: Path) -> None:
    settings = settings_in(
        tmp_path, train={"methods": '["popularity", "mine"]'}, models={"mine": {"shelf": 7}}
    )
    write_lake(settings, *shop())
    nights = read_nights(settings, newest_versions(settings.paths.lake), run_date=NIGHT)
    trained = train(recipes(settings), nights, TERMS, newcomers=NEWCOMERS, policy=DEFAULT_POLICY)
    assert trained.recipes["mine"].build().parameters == {
        "popularity_half_life_days": 30.0,
        "shelf": 7,
    }
    for measures in (trained.test["all"], trained.validation["discover"]):
        assert measures["mine"].metrics == measures["popularity"].metrics
    assert "mine" in chosen_methods(None)
    assert "### `[models.mine]`" in config_doc()


@pytest.mark.usefixtures("mine")
def test_its_parameters_are_checked_like_all_others(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings_in(tmp_path, models={"mine": {"shelf": 10, "shelv": 1}})
    assert [line.strip() for line in str(caught.value).splitlines()[1:]] == [
        "models.mine.shelf: must be at most 9 (value: 10)",
        "models.mine.shelv: no such setting; did you mean `shelf`?",
    ]


def test_without_its_file_there_is_no_such_method(tmp_path: Path) -> None:
    assert "mine" not in all_methods()
    with pytest.raises(ConfigurationError, match=r"models\.mine: no such setting"):
        settings_in(tmp_path, models={"mine": {"shelf": 7}})


def test_bands_of_what_users_do_not_have_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="did you mean `events_total`") as caught:
        settings_in(tmp_path, models={"hybrid_lightfm": {"user_bands": ["event_total"]}})
    assert "gold.user_features has no number 'event_total'" in str(caught.value)
