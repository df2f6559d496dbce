"""What rules did to a list: which items they brought, moved and left out."""

from datetime import date
from pathlib import Path

import pytest

from jobs.config.settings import Settings
from jobs.reports.rule_effects import Effect, Listed, greatest_effect
from jobs.steps import gate
from lakehouse.errors import DataError
from tests.nights import COUNTS, NIGHT, POPULARITY, Event, plant, settings_in, write_lake

EVENTS = [
    *(Event("ann", item, age) for age, item in enumerate(("milk", "bread", "eggs", "jam"), 1)),
    Event("bob", "tea", 9),
    Event("bob", "tea", 8),
]
RULES = """
[[rules]]
kind = "block"
id = "no-milk"
owner = "us"
reason = "a recall"
items = { item_id = "milk" }
[[rules]]
kind = "pin"
id = "tea-week"
owner = "us"
reason = "tea week"
item = "tea"
place = 2
surfaces = ["all"]
[[rules]]
kind = "boost"
id = "jam-up"
owner = "us"
reason = "jam is fresh"
items = { item_id = "jam" }
places = 9.0
surfaces = ["all"]
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder: Path = tmp_path_factory.mktemp("night")
    (folder / "rules.toml").write_text(RULES)
    plain = settings_in(folder, size=4)
    section = plain.recommend.model_copy(update={"rules": folder / "rules.toml", "spare_places": 0})
    settings = plain.model_copy(update={"recommend": section})
    write_lake(settings, EVENTS, {item: {} for item in ("milk", "bread", "eggs", "jam", "tea")})
    plant(settings, {"all": COUNTS, "discover": POPULARITY})
    gate.run(settings, run_date=NIGHT)
    return settings


def test_the_list_that_rules_changed_most_is_shown_with_what_did_it(settings: Settings) -> None:
    assert greatest_effect(settings, NIGHT, ["ann", "bob"]) == Effect(
        "ann",
        "all",
        (
            Listed("jam", 1, 4, ("jam-up",)),
            Listed("tea", 2, None, ("tea-week",)),
            Listed("bread", 3, 2, ()),
            Listed("eggs", 4, 3, ()),
            Listed("milk", None, 1, ("no-milk",)),
        ),
    )


def test_without_rules_users_or_a_model_there_is_nothing_to_show(settings: Settings) -> None:
    assert greatest_effect(settings, NIGHT, []) is None
    section = settings.recommend.model_copy(update={"rules": None})
    plain = settings.model_copy(update={"recommend": section})
    assert greatest_effect(plain, NIGHT, ["ann"]) is None
    with pytest.raises(DataError):
        greatest_effect(settings, date(2020, 1, 1), ["ann"])
