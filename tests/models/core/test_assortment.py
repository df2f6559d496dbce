"""What there was to list on a night."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lakehouse.errors import DataError
from models.core.assortment import NEVER, Assortment
from models.core.context import Context
from models.core.interactions import Interactions
from models.recommenders.popularity import Popularity

AS_OF = date(2024, 1, 31)


def context() -> Context:
    """a is taken on the 1st and the 21st, b on the 30th, c on the night itself, d never."""
    frame = pd.DataFrame(
        {
            "user_id": ["ann", "bob", "ann", "ann"],
            "item_id": ["a", "a", "b", "c"],
            "event_date": pd.to_datetime(["2024-01-01", "2024-01-21", "2024-01-30", "2024-01-31"]),
            "quantity": 1.0,
            "value": 1.0,
        }
    )
    events = Interactions.from_frame(frame, item_ids=["a", "b", "c", "d"])
    items = pd.DataFrame({"item_id": ["a", "b", "d"], "sellable": [True, True, True]})
    return Context.build(events, as_of=AS_OF, item_features=items)


def test_it_counts_decayed_events_and_days_since_the_first() -> None:
    found = Assortment.of(context(), 10.0)
    assert found.as_of == AS_OF
    assert found.sellable.tolist() == [True, True, False, True]
    np.testing.assert_allclose(found.popularity, [0.5**3 + 0.5, 0.5**0.1, 0, 0])
    assert found.age_days.tolist() == [30, 1, NEVER, NEVER]


@pytest.mark.parametrize(
    ("days", "fresh"), [(0, []), (1, ["b"]), (29, ["b"]), (30, ["a", "b"]), (999, ["a", "b"])]
)
def test_fresh_items_are_sellable_and_had_their_first_event_lately(
    days: int, fresh: list[str]
) -> None:
    known = context()
    mask = Assortment.of(known, 10.0).fresh(days)
    assert known.interactions.item_ids[mask].tolist() == fresh


def test_it_is_kept_as_it_is(tmp_path: Path) -> None:
    made = Assortment.of(context(), 10.0)
    made.save(tmp_path)
    read = Assortment.load(tmp_path)
    assert read.as_of == made.as_of
    for name in ("sellable", "popularity", "age_days"):
        np.testing.assert_array_equal(getattr(read, name), getattr(made, name))


def test_another_thing_in_its_place_is_an_error(tmp_path: Path) -> None:
    Popularity().fit(context()).save(tmp_path)
    with pytest.raises(DataError, match="holds a 'popularity', not an 'assortment'"):
        Assortment.load(tmp_path)
