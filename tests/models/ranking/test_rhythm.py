"""Rates, gaps and hazards of a small shop, written out."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from models.core.context import Context
from models.core.interactions import Interactions
from models.ranking import rhythm
from models.ranking.rhythm import Rhythm

FIRST_DAY = date(2024, 1, 1)
AS_OF_DAY = 30
# User a buys x on days 0, 10 and 20 and y on day 20; user b buys y on day 28.
ROWS = [("a", "x", 0), ("a", "x", 10), ("a", "x", 20), ("a", "y", 20), ("b", "y", 28)]
A_X, A_Y, B_X = 0, 1, 2


def described() -> pd.DataFrame:
    """The pairs a-x, a-y and b-x."""
    frame = pd.DataFrame(ROWS, columns=["user_id", "item_id", "day"])
    frame["event_date"] = pd.Timestamp(FIRST_DAY) + pd.to_timedelta(frame["day"], unit="D")
    context = Context.build(
        Interactions.from_frame(frame.assign(quantity=1.0, value=1.0)),
        as_of=FIRST_DAY + timedelta(days=AS_OF_DAY),
    )
    user, item = np.array([0, 0, 1], np.int32), np.array([0, 1, 0], np.int32)
    return Rhythm.of(context).describe(user, item)


def test_an_order_weighs_less_the_longer_ago() -> None:
    rows = described()
    orders = 1 + 0.7 + 0.7**2
    assert rows["rhythm_share_70"][A_X] == pytest.approx(1.0)
    assert rows["rhythm_share_70"][A_Y] == pytest.approx(1 / orders)
    # The last order has two items: the ideal list gains 1 + 1 / log2(3).
    second = 1 / (1 + 1 / np.log2(3))
    assert rows["rhythm_gain_share_70"][A_Y] == pytest.approx(second / orders)
    assert rows["rhythm_gain_share_70"][A_X] == pytest.approx((second + 0.7 + 0.49) / orders)
    assert rows["rhythm_order_gain"][A_X] == pytest.approx((second + 2) / 3)


def test_gaps_are_drawn_towards_those_of_all_buyers() -> None:
    """All gaps are 10 days and an order, so that whoever is drawn stays there."""
    rows = described()
    for pair in (A_X, A_Y):
        assert rows["rhythm_gap"][pair] == pytest.approx(10)
        assert rows["rhythm_order_gap"][pair] == pytest.approx(1)
    assert rows["rhythm_item_gap"].tolist() == pytest.approx([10, 10, 10])


def test_an_item_is_due_by_the_users_next_order() -> None:
    rows = described()
    # Two gaps of 10 days, and two more of 7 that everybody is given.
    gap = (20 + 2 * 7) / 4
    assert rows["rhythm_user_gap"][A_X] == pytest.approx(gap)
    assert rows["rhythm_user_wait"][A_X] == 1
    assert rows["rhythm_user_late"][A_X] == pytest.approx(10 / gap)
    assert rows["rhythm_days_to_next"][A_X] == 11
    assert rows["rhythm_due"][A_X] == pytest.approx(1.1)
    assert rows["rhythm_order_due"][A_X] == pytest.approx(1)
    spread = rhythm.LEAST_SPREAD
    assert rows["rhythm_due_deviations"][A_X] == pytest.approx(np.log(1.1) / spread, rel=1e-5)


def test_the_modified_rate_forgives_the_time_until_an_item_is_due() -> None:
    rows = described()
    # Of x 2 repurchases in 30 days; of y none in 10 and 2; so 2 in 42 days by all buyers.
    of_type = (2 + 60 * 2 / 42) / (42 + 60)
    rate = (2 + 60 * of_type) / (30 + 60)
    events = 2 + rate * rhythm.RATE_DAYS
    assert rows["rhythm_rate"][A_X] == pytest.approx(events / (20 + 10 + 45), rel=1e-5)
    # x was bought as long ago as it usually takes, which counts as no time at all.
    assert rows["rhythm_modified_rate"][A_X] == pytest.approx(events / (20 + 45), rel=1e-5)


def test_the_hazard_is_that_of_so_many_orders_without() -> None:
    rows = described()
    # In the order right after a purchase x came twice of two times; y was not asked yet.
    assert rows["rhythm_type_hazard"][[A_X, A_Y]].tolist() == pytest.approx([1, 1])


def test_of_a_pair_that_never_was_only_user_and_item_are_known() -> None:
    rows = described().loc[B_X]
    known = rows.index.str.startswith(("rhythm_item_", "rhythm_user_"))
    counted = rows.index.str.startswith(("rhythm_decayed",))
    assert rows[known].notna().all()
    assert rows[~known & ~counted].isna().all()


def test_a_shop_that_never_repeats_has_finite_measures() -> None:
    frame = pd.DataFrame(
        {
            "user_id": ["a", "b"],
            "item_id": ["x", "y"],
            "event_date": pd.Timestamp(FIRST_DAY),
            "quantity": 1.0,
            "value": 1.0,
        }
    )
    context = Context.build(Interactions.from_frame(frame), as_of=FIRST_DAY + timedelta(days=1))
    both = np.array([0, 1], np.int32)
    rows = Rhythm.of(context).describe(both, both)
    assert np.isfinite(rows.to_numpy()).all()
    assert rows["rhythm_hazard"].tolist() == [0, 0]
