"""Popular items by shop or segment, to the row."""

from datetime import date

import pandas as pd
import pytest

from models.lists import context_popularity
from models.lists.context_popularity import popular_in_context

AS_OF = date(2026, 1, 31)
EVENTS = pd.DataFrame(
    [
        ("ann", "milk", date(2026, 1, 30), "north"),
        ("bob", "milk", date(2026, 1, 29), "north"),
        ("bob", "wine", date(2026, 1, 30), "north"),
        ("bob", "beer", date(2026, 1, 30), "north"),
        ("cat", "eggs", date(2026, 1, 30), "south"),
        ("cat", "eggs", date(2026, 1, 30), None),
    ],
    columns=["user_id", "item_id", "event_date", "store_id"],
)


@pytest.fixture(autouse=True)
def two_users_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_popularity, "MINIMUM_USERS", 2)


def test_items_rank_by_decayed_events_and_a_shop_of_few_people_has_no_list() -> None:
    found = popular_in_context(EVENTS, "store_id", as_of=AS_OF, half_life_days=1, size=2)
    expected = pd.DataFrame(
        {
            "context": ["store_id=north", "store_id=north"],
            "rank": pd.array([1, 2], dtype="int32"),
            "item_id": ["milk", "beer"],
            "score": [0.5 + 0.25, 0.5],
        }
    )
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert found["rank"].dtype == "int32"


def test_nothing_known_of_contexts_gives_no_rows() -> None:
    events = EVENTS.assign(store_id=None)
    found = popular_in_context(events, "store_id", as_of=AS_OF, half_life_days=1, size=2)
    assert found.empty
    assert list(found.columns) == ["context", "rank", "item_id", "score"]
