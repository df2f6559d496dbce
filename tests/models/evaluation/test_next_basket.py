from datetime import date

import numpy as np
import pandas as pd
import pytest

from lakehouse.errors import DataError
from models.core.context import Context
from models.core.interactions import Interactions
from models.evaluation.next_basket import NextBaskets, in_first_order

CUT = date(2024, 2, 1)


def events(*rows: tuple[str, str, str, str]) -> Interactions:
    """Rows of user, item, order and time."""
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "order_id", "time"])
    time = pd.to_datetime(frame.pop("time"))
    return Interactions.from_frame(
        frame.assign(event_date=time.dt.normalize(), event_time=time, quantity=1.0, value=1.0)
    )


YEAR = events(
    ("a", "x", "1", "2024-01-05 10:00"),
    ("a", "y", "2", "2024-01-09 10:00"),
    ("b", "z", "3", "2024-01-09 10:00"),
    ("d", "x", "4", "2024-01-09 10:00"),
    ("a", "z", "6", "2024-02-03 08:00"),
    ("a", "x", "6", "2024-02-03 08:00"),
    ("a", "x", "6", "2024-02-03 08:00"),
    ("a", "y", "5", "2024-02-03 09:00"),
    ("b", "new", "7", "2024-02-02 09:00"),
    ("b", "z", "8", "2024-02-04 09:00"),
    ("c", "x", "9", "2024-02-02 09:00"),
    ("d", "x", "10", "2024-02-09 09:00"),
)


def baskets() -> NextBaskets:
    context = Context.build(YEAR, as_of=CUT)
    return NextBaskets.of(context, YEAR.between(CUT, date(2024, 3, 1)))


def test_the_first_order_is_the_earliest() -> None:
    window = YEAR.between(CUT, date(2024, 3, 1))
    assert in_first_order(window).tolist() == [1, 1, 1, 0, 1, 0, 1, 1]


def test_baskets_are_split_into_what_is_repeated_and_what_is_explored() -> None:
    """User c is not known before, and of the first order of b nothing was sold before."""
    found = baskets()
    assert [YEAR.user_ids[user] for user in found.users] == ["a", "d"]
    # Items new, x, y, z are 0 to 3.
    assert found.parts["all"].toarray().tolist() == [[0, 1, 0, 1], [0, 1, 0, 0]]
    assert found.parts["repeat"].toarray().tolist() == [[0, 1, 0, 0], [0, 1, 0, 0]]
    assert found.parts["explore"].toarray().tolist() == [[0, 0, 0, 1], [0, 0, 0, 0]]


def test_a_part_that_a_basket_lacks_has_no_measure() -> None:
    found = baskets().measure(np.array([[2, 1], [1, -1]], dtype=np.int32))
    second = 1 / np.log2(3)
    expected = {
        "ndcg@10": [second / (1 + second), 1.0],
        "recall@10": [0.5, 1.0],
        "repeat_ndcg@10": [second, 1.0],
        "repeat_recall@10": [1.0, 1.0],
        "explore_ndcg@10": [0.0, np.nan],
        "explore_recall@10": [0.0, np.nan],
    }
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, err_msg=name)


def test_nobody_to_be_judged_by_is_an_error() -> None:
    context = Context.build(YEAR, as_of=CUT)
    with pytest.raises(DataError, match="nobody known before 2024-02-01 ordered anything after"):
        NextBaskets.of(context, YEAR.select(YEAR.day < 0))
