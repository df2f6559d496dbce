"""Lists for people of whom only a few items are known, without learning anew."""

import io

import pandas as pd
import pytest
from rich.console import Console

from jobs import newcomer
from jobs.train import open_registry
from lakehouse.errors import ConfigurationError, DataError
from models.context import Context
from models.decayed_counts import DecayedCounts
from models.ease import Ease
from models.interactions import Interactions
from models.popularity import Popularity
from models.published import Published
from models.registry import CHAMPION
from tests.nights import COUNTS, NIGHT, POPULARITY, Event, plant, settings_in, write_lake

EVENTS = [
    Event("ann", "milk", 9),
    Event("ann", "bread", 9),
    Event("bob", "milk", 30),
    Event("bob", "bread", 30),
    Event("cat", "wine", 60),
]
# Of milk and bread X'X + I is [[3, 2], [2, 3]], its inverse [[3, -2], [-2, 3]] / 5.
TOGETHER = 2 / 3


@pytest.fixture(scope="module")
def published() -> Published:
    events = pd.DataFrame(
        [
            {
                "user_id": event.user,
                "item_id": event.item,
                "event_date": NIGHT - pd.Timedelta(days=event.days_ago),
                "quantity": 1,
                "value": 1.0,
            }
            for event in EVENTS
        ]
    )
    interactions = Interactions.from_frame(events, item_ids={"bread", "milk", "soap", "wine"})
    items = pd.DataFrame({"item_id": ["bread", "milk", "soap", "wine"]})
    context = Context.build(interactions, as_of=NIGHT, item_features=items)
    methods = {"all": DecayedCounts().fit(context), "discover": Popularity().fit(context)}
    return Published(methods, Ease(regularisation=1.0).fit(context))


def test_what_is_taken_together_comes_first_and_the_history_not_at_all(published):
    rows = published.rows_for(["milk"], 5)
    expected = pd.DataFrame(
        {
            "row": [0, 0],
            "rank": pd.array([1, 2], dtype="int32"),
            "item_id": ["bread", "wine"],
            "score": [TOGETHER, 0.0],
            "source": ["ease", "ease"],
        }
    )
    pd.testing.assert_frame_equal(rows, expected, check_dtype=False, atol=1e-6)


def test_unknown_items_of_a_history_are_passed_over(published):
    known = published.rows_for(["milk"], 5)
    pd.testing.assert_frame_equal(published.rows_for(["moon", "milk", "milk"], 5), known)


def test_a_history_without_any_known_item_is_refused(published):
    with pytest.raises(DataError, match="none of the items moon, sun: give item ids"):
        published.rows_for(["moon", "sun"], 5)


def test_what_nobody_took_tells_nothing_so_that_popularity_answers(published):
    rows = published.rows_for(["soap"], 2)
    assert rows[["item_id", "source"]].to_numpy().tolist() == [
        ["bread", "popularity"],
        ["milk", "popularity"],
    ]


def printed(renderable) -> list[str]:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(renderable)
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_the_command_prints_names_and_the_model(tmp_path):
    settings = settings_in(tmp_path)
    write_lake(settings, EVENTS, {"milk": {"title": "Milk, 1 l"}, "bread": {"title": "Bread"}})
    with pytest.raises(DataError, match="no model serves yet"):
        newcomer.recommend(settings, "milk")
    version = plant(settings, {"all": COUNTS, "discover": POPULARITY})
    open_registry(settings).set_alias(CHAMPION, version)

    lines = printed(newcomer.recommend(settings, "milk, moon"))
    assert lines[0].strip() == "after Milk, 1 l (milk)"
    assert lines[2].split() == ["1", "Bread", "(bread)", "0.003984", "ease"]
    assert lines[-1].strip() == f"model {version.label}; 1 of the items given are unknown"
    with pytest.raises(ConfigurationError, match="--history names no item"):
        newcomer.recommend(settings, " ,")
