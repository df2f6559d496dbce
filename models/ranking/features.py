"""What a ranker is told of a candidate on a night: pair, user, item and the user's categories."""

from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.core.context import Context
from models.core.interactions import Indices, Interactions, day_number
from models.core.totals import Floats, Keys, Totals, distinct, group_starts, ratio, sums, totals

PAIR_HALF_LIVES: Final = (7, 14, 30, 60, 120, 240)
PAIR_WINDOWS: Final = (30, 90, 180)
HALF_LIVES: Final = (7, 30, 120)
WINDOWS: Final = (7, 28, 84)
NEW_BUYER_WINDOWS: Final = (14, 30, 90)
GROUP_COLUMNS: Final = ("product_type", "category")
NEW_SHARE_WINDOW: Final = 60
BUYER_WINDOWS: Final = (30, 90)
REBUY_PRIOR: Final = 10.0
REBUY_WINDOW: Final = 90
PROMOTION_WINDOWS: Final = (14, 28)
RELATIVE_TO_BEST: Final = ("decayed_30", "decayed_60", "decayed_120")


@dataclass(frozen=True, slots=True, eq=False)
class _Days:
    """One entry per pair and day, sorted by user, item and day: a day's lines are one choice."""

    user: Indices
    item: Indices
    age: NDArray[np.int32]
    units: NDArray[np.float64]
    value: NDArray[np.float64]
    discount: NDArray[np.float64]

    def since(self, window: int) -> "_Days":
        """Those of the last ``window`` days."""
        late = self.age <= window
        return _Days(*(getattr(self, entry.name)[late] for entry in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """A level of the catalogue: each item's group (``size`` of them), and users' totals in it."""

    of_item: NDArray[np.int64]
    size: int
    taken: Totals


@dataclass(frozen=True, slots=True, eq=False)
class NightFeatures:
    """All that is needed to describe any candidate as of one night; see ``describe``."""

    items: int
    pairs: Totals
    user: dict[str, Floats]
    item: dict[str, Floats]
    groups: dict[str, _Groups]
    trips: Keys
    as_of_day: int

    @classmethod
    def of(cls, context: Context, *, rebuy_days: int) -> Self:
        """Total the events of ``context``.

        ``rebuy_days`` is the horizon of the share of buyers that buy an item again.
        """
        events = context.interactions
        as_of_day = day_number(context.as_of)
        days = _days(events, as_of_day)
        key = days.user.astype(np.int64) * events.items + days.item
        pairs = totals(key, days.age, half_lives=PAIR_HALF_LIVES, windows=PAIR_WINDOWS)
        _add_amounts(pairs, key, days)
        trips = distinct(days.user.astype(np.int64) * (1 << 20) + as_of_day - days.age)
        groups = {
            column: _group(context.item_features, column, days, events.users)
            for column in GROUP_COLUMNS
            if column in context.item_features
        }
        return cls(
            items=events.items,
            pairs=pairs,
            user=_user_measures(days, pairs, trips, as_of_day, events),
            item=_item_measures(days, pairs, groups, events, rebuy_days),
            groups=groups,
            trips=trips,
            as_of_day=as_of_day,
        )

    def describe(self, user: Indices, item: Indices) -> pd.DataFrame:
        """One row of float32 per candidate, sorted by ``user``; NaN where nothing is known."""
        columns = self.pairs.at(user.astype(np.int64) * self.items + item)
        for column, groups in self.groups.items():
            key = user.astype(np.int64) * groups.size + groups.of_item[item]
            found = groups.taken.at(key)
            columns |= {f"{column}_{name}": values for name, values in found.items()}
            for half_life in (30, 120):
                columns[f"share_of_{column}_{half_life}"] = ratio(
                    columns[f"decayed_{half_life}"], found[f"decayed_{half_life}"]
                )
        columns |= {f"user_{name}": values[user] for name, values in self.user.items()}
        columns |= {f"item_{name}": values[item] for name, values in self.item.items()}
        columns |= self._rhythm(user, columns)
        columns["overdue_by_item"] = ratio(columns["since_last"], columns["item_mean_gap"])
        start = group_starts(user)
        length = np.diff(np.append(start, len(user)))
        for name in RELATIVE_TO_BEST:
            best = np.maximum.reduceat(columns[name], start) if len(start) else columns[name]
            columns[f"{name}_relative"] = ratio(columns[name], np.repeat(best, length))
        return pd.DataFrame(columns)

    def _rhythm(self, user: Indices, columns: dict[str, Floats]) -> dict[str, Floats]:
        """The pair's rhythm in the user's own trips instead of days."""
        since_last = self._trips_since(user, columns["since_last"] - 1)
        since_first = self._trips_since(user, columns["since_first"])
        between = since_first - since_last - 1
        return {
            "trips_since_last": since_last,
            "share_of_trips": ratio(columns["active_days"], since_first),
            "overdue_in_trips": ratio(since_last * (columns["active_days"] - 1), between),
        }

    def _trips_since(self, user: Indices, age: Floats) -> Floats:
        """Days on which the user took anything, from ``age`` days ago on; NaN where age is."""
        known = ~np.isnan(age)
        base = user.astype(np.int64) << 20
        day = self.as_of_day - np.where(known, age, 0).astype(np.int64)
        count = np.searchsorted(self.trips, base + (1 << 20)) - np.searchsorted(
            self.trips, base + day
        )
        return np.where(known, count, np.nan).astype(np.float32)


def _days(events: Interactions, as_of_day: int) -> _Days:
    order = np.lexsort((events.day, events.item, events.user))
    user, item, day = events.user[order], events.item[order], events.day[order]
    changes = (np.diff(user) != 0) | (np.diff(item) != 0) | (np.diff(day) != 0)
    start = np.flatnonzero(np.concatenate([[True], changes]))
    return _Days(
        user=user[start],
        item=item[start],
        age=(as_of_day - day[start]).astype(np.int32),
        units=np.add.reduceat(events.quantity[order].astype(np.float64), start),
        value=_summed(events.value[order], start),
        discount=_summed(events.discount[order], start),
    )


def _summed(amount: Floats, start: NDArray[np.int64]) -> NDArray[np.float64]:
    """What is not known counts as nothing."""
    summed: NDArray[np.float64] = np.add.reduceat(np.nan_to_num(amount).astype(np.float64), start)
    return summed


def _add_amounts(pairs: Totals, key: Keys, days: _Days) -> None:
    start = group_starts(key)
    units, value = sums(days.units, start), sums(days.value, start)
    discount = sums(days.discount, start)
    pairs.measures["mean_units"] = ratio(units, pairs.measures["active_days"])
    pairs.measures["value_total"] = value
    pairs.measures["unit_price"] = ratio(value, units)
    pairs.measures["discount_share"] = ratio(discount, value + discount)


def _group(frame: pd.DataFrame, column: str, days: _Days, users: int) -> _Groups:
    """Items without a value share one group."""
    codes, found = pd.factorize(frame[column].astype(object), sort=True)
    of_item = np.where(codes < 0, len(found), codes).astype(np.int64)
    size = len(found) + 1
    key = days.user.astype(np.int64) * size + of_item[days.item]
    horizon = int(np.max(days.age)) + 1
    active = distinct(key * horizon + days.age)
    taken = totals(
        active // horizon, (active % horizon).astype(np.int32), half_lives=HALF_LIVES, windows=()
    )
    pair = distinct(key * len(frame) + days.item)
    taken.measures["active_items"] = np.bincount(
        np.searchsorted(taken.keys, pair // len(frame)), minlength=len(taken.keys)
    ).astype(np.float32)
    return _Groups(of_item=of_item, size=size, taken=taken)


def _user_measures(
    days: _Days, pairs: Totals, trips: Keys, as_of_day: int, events: Interactions
) -> dict[str, Floats]:
    owner, day = trips >> 20, trips & ((1 << 20) - 1)
    active = totals(
        owner, (as_of_day - day).astype(np.int32), half_lives=HALF_LIVES, windows=WINDOWS
    ).at(np.arange(events.users, dtype=np.int64))
    choices = _count(days.user, events.users)
    pair_user = (pairs.keys // events.items).astype(np.int32)
    items = _count(pair_user, events.users)
    lately = _count(days.user[days.age <= NEW_SHARE_WINDOW], events.users)
    new_lately = _count(pair_user[pairs.measures["since_first"] <= NEW_SHARE_WINDOW], events.users)
    return active | {
        "items": items,
        "choices_per_item": ratio(choices, items),
        "choices_per_trip": ratio(choices, active["active_days"]),
        "value_per_trip": ratio(_count(days.user, events.users, days.value), active["active_days"]),
        "new_share": ratio(new_lately, lately),
        "discount_share": _discount_share(days.user, events.users, days),
    }


def _item_measures(
    days: _Days,
    pairs: Totals,
    groups: dict[str, _Groups],
    events: Interactions,
    rebuy_days: int,
) -> dict[str, Floats]:
    items = events.items
    taken = totals(days.item.astype(np.int64), days.age, half_lives=HALF_LIVES, windows=WINDOWS).at(
        np.arange(items, dtype=np.int64)
    )
    pair_item = (pairs.keys % items).astype(np.int32)
    measures = pairs.measures
    buyers = _count(pair_item, items)
    again = ~np.isnan(measures["mean_gap"])
    week, month, quarter = (taken[f"days_in_{window}"] for window in WINDOWS)
    del taken["overdue"], taken["last_gap"]
    rebuy, rebuy_of_group = _rebuy_rates(days, pairs, groups, items, rebuy_days)
    demand: dict[str, Floats] = {
        "buyers": buyers,
        **{
            f"buyers_{window}": _count(pair_item[measures["since_last"] <= window], items)
            for window in BUYER_WINDOWS
        },
        **{
            f"new_buyers_{window}": _count(pair_item[measures["since_first"] <= window], items)
            for window in NEW_BUYER_WINDOWS
        },
        "days_per_buyer": ratio(taken["active_days"], buyers),
        "repeater_share": ratio(_count(pair_item[again], items), buyers),
        "mean_gap": ratio(
            _count(pair_item[again], items, measures["mean_gap"][again]),
            _count(pair_item[again], items),
        ),
        "unit_price": _unit_price(days, items),
        "discount_share": _discount_share(days.item, items, days),
        **_promotions(days, items),
        "week_trend": ratio(week + 1, month / 4 + 1),
        "month_trend": ratio(month + 1, quarter / 3 + 1),
        "rebuy": rebuy,
        "rebuy_of_group": rebuy_of_group,
    }
    return taken | demand


def _promotions(days: _Days, items: int) -> dict[str, Floats]:
    """What of an item's price is taken off lately, and its price lately against its usual one."""
    usual = _unit_price(days, items)
    found: dict[str, Floats] = {}
    for window in PROMOTION_WINDOWS:
        lately = days.since(window)
        found[f"discount_share_{window}"] = _discount_share(lately.item, items, lately)
        found[f"price_change_{window}"] = ratio(_unit_price(lately, items), usual)
    return found


def _unit_price(days: _Days, items: int) -> Floats:
    return ratio(_count(days.item, items, days.value), _count(days.item, items, days.units))


def _discount_share(entity: Indices, size: int, days: _Days) -> Floats:
    """Discount / (value + discount) of each user or item."""
    discount = _count(entity, size, days.discount)
    return ratio(discount, _count(entity, size, days.value) + discount)


def _rebuy_rates(
    days: _Days, pairs: Totals, groups: dict[str, _Groups], items: int, horizon: int
) -> tuple[Floats, Floats]:
    """Share of an item's buyers that bought it again within ``horizon`` days.

    Buyers are those of the ``REBUY_WINDOW`` days before the last ``horizon`` days. An item's share
    is drawn
    towards that of its narrowest group as if by ``REBUY_PRIOR`` further buyers, a group's towards
    the mean of all.
    """
    place = np.searchsorted(pairs.keys, days.user.astype(np.int64) * items + days.item)
    before = np.zeros(len(pairs.keys), dtype=np.bool_)
    before[place[(days.age > horizon) & (days.age <= horizon + REBUY_WINDOW)]] = True
    after = np.zeros(len(pairs.keys), dtype=np.bool_)
    after[place[days.age <= horizon]] = True
    item = pairs.keys % items
    asked = np.bincount(item[before], minlength=items).astype(np.float64)
    came = np.bincount(item[before & after], minlength=items).astype(np.float64)
    mean = came.sum() / max(asked.sum(), 1.0)
    of_item = next((g.of_item for g in groups.values()), np.zeros(items, dtype=np.int64))
    group = (np.bincount(of_item, came) + REBUY_PRIOR * mean) / (
        np.bincount(of_item, asked) + REBUY_PRIOR
    )
    prior = group[of_item]
    share = (came + REBUY_PRIOR * prior) / (asked + REBUY_PRIOR)
    return share.astype(np.float32), prior.astype(np.float32)


def _count(entity: NDArray[Any], size: int, weights: NDArray[Any] | None = None) -> Floats:
    return np.bincount(entity, weights, minlength=size).astype(np.float32)
