"""Buy it again in a shop where everybody buys by the clock."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from models.core.context import Context
from models.core.interactions import Interactions
from models.ranking.buy_again import BuyAgain

FIRST_DAY = date(2024, 1, 1)
DAYS, USERS = 140, 80


def clockwork() -> Context:
    """Every user buys item `weekly` each week and `monthly` every fourth week, on one weekday."""
    rows = []
    for user in range(USERS):
        for week in range(DAYS // 7):
            day = 7 * week + user % 7
            rows.append((f"u{user:02}", "weekly", day))
            if (week + user) % 4 == 0:
                rows.append((f"u{user:02}", "monthly", day))
            rows.append((f"u{user:02}", f"once {user} {week}", day))
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "day"])
    frame["event_date"] = pd.Timestamp(FIRST_DAY) + pd.to_timedelta(frame["day"], unit="D")
    return Context.build(
        Interactions.from_frame(frame.assign(quantity=1.0, value=1.0)),
        as_of=FIRST_DAY + timedelta(days=DAYS),
    )


@pytest.fixture(scope="module")
def context() -> Context:
    return clockwork()


@pytest.fixture(scope="module")
def model(context: Context) -> BuyAgain:
    return BuyAgain(nights=6, rounds=60).fit(context)


def test_what_is_due_comes_before_what_is_not(context: Context, model: BuyAgain) -> None:
    users = np.arange(USERS, dtype=np.int32)
    ranked = model.rank(users, 3, filter_seen=False)
    names = model.item_ids[ranked.item]
    assert (names[:, 0] == "weekly").all()
    is_due = (DAYS // 7 + users) % 4 == 0
    second = names[:, 1] == "monthly"
    assert second[is_due].all()


def test_the_chance_of_what_is_due_is_that_it_comes(context: Context, model: BuyAgain) -> None:
    weekly, monthly = (model.item_ids.tolist().index(name) for name in ("weekly", "monthly"))
    chance = model.due.toarray()
    is_due = (DAYS // 7 + np.arange(USERS)) % 4 == 0
    assert chance[:, weekly].mean() == pytest.approx(1.0, abs=0.02)
    assert chance[is_due, monthly].mean() > 0.9
    assert chance[~is_due, monthly].mean() < 0.1


def test_again_holds_the_scores_of_what_may_be_due(context: Context, model: BuyAgain) -> None:
    again, due = model.again, model.due
    np.testing.assert_array_equal(again.toarray() != 0, due.toarray() > 0)
    seen = context.interactions.matrix().toarray() > 0
    assert (again.toarray() != 0)[~seen].sum() == 0
    row, item = again.nonzero()
    np.testing.assert_array_equal(again[row, item], model._ranked[row, item])


@pytest.mark.parametrize("orders", [1, 6], ids=["one basket a user", "never the same twice"])
def test_where_nothing_comes_again_nothing_is_said_to(orders: int) -> None:
    rows = [
        (f"u{user:02}", f"i{(7 * user + 3 * order) % 50}", 20 * order + user % 7)
        for user in range(40)
        for order in range(orders)
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "day"])
    frame["event_date"] = pd.Timestamp(FIRST_DAY) + pd.to_timedelta(frame["day"], unit="D")
    events = Interactions.from_frame(frame.assign(quantity=1.0, value=1.0))
    model = BuyAgain(nights=4, rounds=5).fit(
        Context.build(events, as_of=FIRST_DAY + timedelta(days=DAYS))
    )
    assert model.again.nnz == model.due.nnz == 0
    assert model.is_finite()


def test_without_past_nights_nothing_is_said_of_chances(context: Context) -> None:
    early = context.earlier(FIRST_DAY + timedelta(days=9))
    model = BuyAgain().fit(early)
    assert model.due.nnz == 0
    assert (model.rank(np.array([0], np.int32), 1, filter_seen=False).item != -1).all()


def test_threads_change_nothing(context: Context, model: BuyAgain) -> None:
    alone = BuyAgain(nights=6, rounds=60, threads=1).fit(context)
    for one, other in ((alone.due, model.due), (alone._ranked, model._ranked)):
        np.testing.assert_array_equal(one.toarray(), other.toarray())
