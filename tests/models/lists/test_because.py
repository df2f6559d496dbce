"""Which item of a user's a row is about, and what stands in it."""

import numpy as np
import pandas as pd
from scipy import sparse

from models.core.interactions import UNKNOWN
from models.lists.because import LEAST_NEW, RECENT_DAYS, because_you_bought
from models.lists.keyed import KeyedScores, of_items

SHELF = 5
ITEMS = np.array(
    [f"a{n}" for n in range(SHELF)] + [f"b{n}" for n in range(SHELF)] + ["x", "y"], dtype=object
)
USERS = np.array(["ann", "bob", "cat", "dan"], dtype=object)
X, Y = len(ITEMS) - 2, len(ITEMS) - 1


def shelves() -> KeyedScores:
    """With x go the a's, with y the b's, the first ones best."""
    scores = np.zeros((len(ITEMS), len(ITEMS)))
    scores[X, :SHELF] = np.arange(SHELF, 0, -1)
    scores[Y, SHELF : 2 * SHELF] = np.arange(SHELF, 0, -1)
    return of_items(sparse.csr_array(scores), ITEMS, name="bought_together")


def because(*taken: tuple[str, str, int, int], sellable: list[bool] | None = None) -> KeyedScores:
    frame = pd.DataFrame(taken, columns=["user_id", "item_id", "events_total", "days_since_last"])
    may_be_sold = np.ones(len(ITEMS), dtype=np.bool_) if sellable is None else np.array(sellable)
    return because_you_bought(shelves(), frame, USERS, ITEMS, may_be_sold, name="because")


def about(found: KeyedScores) -> list[str]:
    assert found.about is not None
    return list(found.about)


def test_the_row_is_about_what_was_bought_most_often_then_last() -> None:
    found = because(
        ("ann", "x", 3, 9),
        ("ann", "y", 2, 1),
        ("bob", "x", 2, 9),
        ("bob", "y", 2, 1),
        ("cat", "y", 1, 2),
        ("cat", "b0", 1, 2),
        ("nobody", "x", 9, 1),
        ("ann", "gone", 9, 1),
    )
    assert about(found) == ["x", "y", "y", ""]
    ranked = found.rank(np.array([0, 1, 2, 3, UNKNOWN], dtype=np.int32), SHELF, filter_seen=True)
    b = list(range(SHELF, 2 * SHELF))
    assert ranked.item.tolist() == [
        list(range(SHELF)),
        b,
        [*b[1:], UNKNOWN],
        [UNKNOWN] * SHELF,
        [UNKNOWN] * SHELF,
    ]


def test_what_was_bought_long_ago_or_has_little_new_is_no_source() -> None:
    known = [("bob", f"b{n}", 1, 99) for n in range(SHELF - LEAST_NEW + 1)]
    found = because(
        ("ann", "y", 9, RECENT_DAYS + 1),
        ("ann", "x", 1, RECENT_DAYS),
        ("bob", "y", 9, 1),
        *known,
        ("cat", "a0", 9, 1),
    )
    assert about(found) == ["x", "", "", ""]


def test_what_cannot_be_sold_is_neither_source_nor_shelf() -> None:
    no_x = [item != "x" for item in ITEMS]
    assert about(because(("ann", "x", 1, 1), ("bob", "y", 1, 1), sellable=no_x))[:2] == ["", "y"]
    few_b = [item not in ("b0", "b1") for item in ITEMS]
    assert about(because(("ann", "x", 1, 1), ("bob", "y", 1, 1), sellable=few_b))[:2] == ["x", ""]


def test_nobody_who_bought_anything_leaves_everybody_without_a_row() -> None:
    found = because()
    assert about(found) == [""] * len(USERS)
    assert found.scores.nnz == 0
