"""What is left of a user's reactions on a night."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from models.core.assortment import Assortment
from models.core.reactions import Reactions
from tests import shop

USERS = np.array(["abe", "ann", "bob"], dtype=object)
ITEMS = np.array(["jam", "salt", "tea"], dtype=object)
JAM, SALT, TEA = range(3)

HEARD = [
    # Shown twice before a click, then once, and once on the run date.
    ("ann", "tea", "impression", "2024-03-01 10:00"),
    ("ann", "tea", "impression", "2024-03-03 10:00"),
    ("ann", "tea", "click", "2024-03-03 10:01"),
    ("ann", "tea", "impression", "2024-03-07 23:59"),
    ("ann", "tea", "impression", "2024-03-11 00:00"),
    ("ann", "jam", "impression", "2024-03-07 10:00"),
    ("ann", "jam", "impression", "2024-03-03 10:00"),
    ("bob", "tea", "purchase", "2024-03-01 10:00"),
    ("bob", "tea", "purchase", "2024-03-09 10:00"),
    ("bob", "salt", "dismissal", "2024-03-10 10:00"),
    ("bob", "salt", "dismissal", "2024-03-10 11:00"),
    ("bob", "jam", "dismissal", "2024-03-11 10:00"),
    ("eve", "tea", "dismissal", "2024-03-01 10:00"),
    ("ann", "gone", "dismissal", "2024-03-01 10:00"),
]


def heard(rows: list[tuple[str, str, str, str]] = HEARD) -> Reactions:
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "event_type", "event_ts"])
    return Reactions.of(
        frame.assign(event_ts=pd.to_datetime(frame["event_ts"], utc=True)),
        USERS,
        ITEMS,
        as_of=date(2024, 3, 11),
        half_life_days=4,
        weight=0.5,
    )


def test_what_was_shown_since_the_last_click_counts_by_its_age() -> None:
    ignored = heard().ignored.toarray()
    # Four days ago half, eight days ago a quarter, each times the weight.
    np.testing.assert_array_equal(ignored, [[0.25 + 0.125, 0, 0.25], [0, 0, 0]])


def test_what_is_bought_and_dismissed() -> None:
    reactions = heard()
    assert reactions.user_ids.tolist() == ["ann", "bob"]
    np.testing.assert_array_equal(reactions.bought.toarray(), [[0, 0, 0], [0, 0, 2]])
    np.testing.assert_array_equal(reactions.dismissed.toarray(), [[0, 0, 0], [0, 1, 0]])


def test_no_feedback_is_no_reaction() -> None:
    none = heard([])
    assert len(none.user_ids) == 0
    assert none.dismissed.nnz == none.bought.nnz == none.ignored.nnz == 0


def test_an_assortment_keeps_them(tmp_path: Path) -> None:
    known = shop.context()
    plain = Assortment.of(known, 30.0)
    plain.save(tmp_path / "plain")
    assert Assortment.load(tmp_path / "plain").reactions is None
    assert known.reactions is None
    Assortment(plain.as_of, plain.sellable, plain.popularity, plain.age_days, heard()).save(
        tmp_path / "heard"
    )
    loaded = Assortment.load(tmp_path / "heard").reactions
    assert loaded is not None
    assert loaded.user_ids.tolist() == heard().user_ids.tolist()
    for name in ("dismissed", "bought", "ignored"):
        now, before = (getattr(of, name) for of in (loaded, heard()))
        assert now.dtype == before.dtype
        np.testing.assert_array_equal(now.toarray(), before.toarray())
