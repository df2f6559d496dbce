"""What sells and what rises, for everybody, by shop and by category."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from models.core.interactions import UNKNOWN
from models.lists import keyed
from models.lists.keyed import KeyedScores, chosen_keys, keyed_events, sales, trends

AS_OF = date(2026, 1, 31)
ITEMS = np.array(["beer", "eggs", "milk", "wine"], dtype=object)
BEER, EGGS, MILK, WINE = range(4)


@pytest.fixture(autouse=True)
def two_users_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed, "MINIMUM_USERS", 2)


def events(*rows: tuple[str, str, int, str | None]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "age", "store_id"])
    days = [AS_OF - timedelta(days=age) for age in frame["age"]]
    return frame.assign(event_date=days).drop(columns="age")


def scores(ranked: KeyedScores) -> dict[str, list[float]]:
    return dict(zip(ranked.user_ids, ranked.scores.toarray().tolist(), strict=True))


def test_sales_decay_and_a_shop_of_few_people_has_no_list() -> None:
    frame = events(
        ("ann", "milk", 1, "north"),
        ("bob", "milk", 2, "north"),
        ("bob", "wine", 1, "north"),
        ("bob", "gone", 1, "north"),
        ("cat", "eggs", 1, "south"),
        ("cat", "eggs", 1, None),
    )
    found = keyed_events(frame, ["store_id"], ITEMS, as_of=AS_OF)
    ranked = sales(found, len(ITEMS), half_life_days=1, name="popularity")
    assert scores(ranked) == {
        "": [0, 1.0, 0.75, 0.5],
        "store_id=north": [0, 0, 0.75, 0.5],
    }
    assert scores(chosen_keys(ranked, ranked.user_ids == "")) == {"": [0, 1.0, 0.75, 0.5]}
    # Of ties the lower item comes first; what is not known ranks nothing.
    best = ranked.rank(np.array([1, UNKNOWN, 0], np.int32), 3, filter_seen=False)
    assert best.item.tolist() == [[MILK, WINE, -1], [-1, -1, -1], [EGGS, MILK, WINE]]
    allowed = np.array([True, True, False, True])
    best = ranked.rank(np.array([1], np.int32), 3, filter_seen=False, items_to_recommend=allowed)
    assert best.item.tolist() == [[WINE, -1, -1]]
    assert ranked.seen.nnz == 0


def test_what_rises_is_above_what_four_weeks_made_expect() -> None:
    frame = events(
        *(("ann", "milk", age, None) for age in (1, 2, 3, 7, 8, 20, 35, 36)),
        *(("bob", "wine", 2, None) for _ in range(4)),
        *(("bob", "beer", 5, None) for _ in range(6)),
        *(("bob", "beer", age, None) for age in range(8, 24)),
        ("cat", "eggs", 9, None),
    )
    found = keyed_events(frame, ["store_id"], ITEMS, as_of=AS_OF)
    # Milk: 4 against 3 / 4; beer: 6 against 16 / 4, not a standard deviation; wine: 4 against 0.
    expected = [0, 0, (4 - 0.75) / 1.75**0.5, 4.0]
    np.testing.assert_allclose(scores(trends(found, len(ITEMS), name="trending"))[""], expected)


def test_nothing_known_of_contexts_leaves_everybody() -> None:
    found = keyed_events(events(("ann", "milk", 1, None)), ["store_id"], ITEMS, as_of=AS_OF)
    assert found.keys.tolist() == [""]
