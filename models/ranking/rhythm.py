"""The rhythm of repeat purchases: how often a pair comes round, and whether it is due.

Time is counted in days and in the user's own orders. What is known of a pair is drawn towards what
is known of its item, an item towards its product type, a type towards all (empirical Bayes), so
that one purchase makes no rhythm.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.core.context import Context
from models.core.interactions import Indices, day_number
from models.core.totals import Totals, group_starts, ratio, sums
from models.evaluation.metrics import ideal_gain
from models.evaluation.primary import PLACES
from models.recommenders.baskets import Baskets

Numbers = NDArray[np.float64]

TYPE_COLUMN: Final = "product_type"
# What an order weighs against the user's next one: kernels from short to long memory.
DECAYS: Final = (0.7, 0.85, 0.93, 0.98)
# As if so many further gaps, orders, buyers or days had been seen that are like those of all.
PRIOR_GAPS: Final = 5.0
PRIOR_PAIR_GAPS: Final = 2.0
PRIOR_ORDERS: Final = 20.0
PRIOR_BUYERS: Final = 10.0
PRIOR_DAYS: Final = 60.0
PRIOR_VISITS: Final = 2.0
RATE_DAYS: Final = 45.0
# A user whose visits tell nothing comes once a week.
VISIT_GAP_DAYS: Final = 7.0
# The hazard is told apart by how many orders ago the last purchase was, up to these.
HAZARD_BOUNDS: Final = (0, 1, 2, 4, 8, 16, 32)
PRIOR_HAZARD: Final = 30.0
# An item's hazard may be so many times that of its type.
MOST_RELATIVE: Final = 20.0
LEAST_SPREAD: Final = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class _Purchases:
    """One entry per pair and order, sorted by pair, then time; ``start`` and ``end`` bound pairs.

    ``since`` counts the user's orders after the entry's, ``size`` the items in its order; ``gap``
    and ``order_gap`` are the days and orders since the pair's entry before, where there is one
    (``again``).
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    day: NDArray[np.int64]
    since: NDArray[np.int64]
    size: NDArray[np.int64]
    again: NDArray[np.bool_]
    gap: NDArray[np.int64]
    order_gap: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    @classmethod
    def of(cls, baskets: Baskets, items: int) -> Self:
        """The entries of ``baskets``."""
        key = baskets.user * items + baskets.item
        order = np.lexsort((baskets.position, key))
        key = key[order]
        start = group_starts(key)
        again = np.ones(len(key), dtype=np.bool_)
        again[start] = False
        day, since = baskets.day[order], baskets.since()[order]
        return cls(
            user=baskets.user[order],
            item=baskets.item[order],
            day=day,
            since=since,
            size=baskets.sizes()[order],
            again=again,
            gap=np.where(again, np.diff(day, prepend=0), 0),
            order_gap=np.where(again, -np.diff(since, prepend=0), 0),
            start=start,
            end=np.append(start[1:], len(key)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Items:
    """By item, drawn towards its type: gaps in days and orders, and how surely it is bought again.

    ``log_gap`` and ``spread`` are mean and standard deviation of the logarithm of gaps in days,
    ``hazard`` the share of the orders after a first purchase that repeat it, ``rate`` the
    repurchases a day, ``repeaters`` the share of buyers that came back.
    """

    type_of: NDArray[np.int64]
    gap: Numbers
    order_gap: Numbers
    log_gap: Numbers
    spread: Numbers
    hazard: Numbers
    rate: Numbers
    repeaters: Numbers

    @classmethod
    def of(cls, bought: _Purchases, type_of: NDArray[np.int64], as_of_day: int) -> Self:
        """What all of an item's buyers tell of it."""
        items = len(type_of)
        first, pairs = bought.start, bought.item[bought.start]
        repeats = (bought.end - first - 1).astype(np.float64)

        def total(values: NDArray[Any]) -> Numbers:
            """Of the repurchases of each item."""
            of = bought.item[bought.again]
            return np.bincount(of, values[bought.again], items).astype(np.float64)

        def shrunk(numerator: Numbers, denominator: Numbers, prior: float) -> Numbers:
            return _shrunk(numerator, denominator, type_of, prior)

        log_gap = np.log(np.maximum(bought.gap, 1))
        gaps = total(bought.again)
        mean = shrunk(total(log_gap), gaps, PRIOR_GAPS)
        square = shrunk(total(log_gap**2), gaps, PRIOR_GAPS)
        came_again = np.bincount(pairs, repeats, items)
        buyers = np.bincount(pairs, minlength=items).astype(np.float64)
        orders = np.bincount(pairs, bought.since[first], items)
        days = np.bincount(pairs, as_of_day - bought.day[first], items)
        return cls(
            type_of=type_of,
            gap=shrunk(total(bought.gap), gaps, PRIOR_GAPS),
            order_gap=shrunk(total(bought.order_gap), gaps, PRIOR_GAPS),
            log_gap=mean,
            spread=np.sqrt(np.maximum(square - mean**2, LEAST_SPREAD**2)),
            hazard=shrunk(came_again, orders, PRIOR_ORDERS),
            rate=shrunk(came_again, days, PRIOR_DAYS),
            repeaters=shrunk(np.bincount(pairs, repeats > 0, items), buyers, PRIOR_BUYERS),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Users:
    """By user: the usual days between orders, those since the last, and until the next is likely.

    ``size`` is the mean number of items in an order, ``orders`` how many there were.
    """

    gap: Numbers
    wait: Numbers
    late: Numbers
    size: Numbers
    orders: Numbers

    @classmethod
    def of(cls, baskets: Baskets, as_of_day: int) -> Self:
        """The rhythm of each user's orders."""
        users = len(baskets.count)
        first = np.full(users, as_of_day)
        last = np.zeros(users, dtype=np.int64)
        np.minimum.at(first, baskets.user, baskets.day)
        np.maximum.at(last, baskets.user, baskets.day)
        known = baskets.count > 0
        span = np.where(known, last - first, 0)
        gap = (span + VISIT_GAP_DAYS * PRIOR_VISITS) / (
            np.maximum(baskets.count - 1, 0) + PRIOR_VISITS
        )
        since = np.where(known, as_of_day - last, 0)
        entries = np.bincount(baskets.user, minlength=users)
        return cls(
            gap=gap,
            wait=np.maximum(gap - since, 1.0),
            late=since / gap,
            size=entries / np.maximum(baskets.count, 1),
            orders=baskets.count.astype(np.float64),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Rhythm:
    """What is known on a night of every pair's, item's and user's rhythm; see ``describe``."""

    items: int
    pairs: Totals
    of_item: dict[str, NDArray[np.float32]]
    of_user: dict[str, NDArray[np.float32]]

    @classmethod
    def of(cls, context: Context) -> Self:
        """The rhythm of the orders in ``context``."""
        events, as_of_day = context.interactions, day_number(context.as_of)
        baskets = Baskets.of(events)
        bought = _Purchases.of(baskets, events.items)
        items = _Items.of(bought, _types(context), as_of_day)
        users = _Users.of(baskets, as_of_day)
        user, item = bought.user[bought.start], bought.item[bought.start]
        measures: dict[str, NDArray[Any]] = {
            **_shares(bought, baskets.count),
            **_dueness(bought, items, users, as_of_day),
            **_rates(bought, items, as_of_day),
            **_hazards(bought, items),
        }
        value = 1 / ideal_gain(bought.size, PLACES)
        return cls(
            items=events.items,
            pairs=Totals(
                user * events.items + item,
                {name: values.astype(np.float32) for name, values in measures.items()},
            ),
            of_item={
                "item_hazard": _single(items.hazard),
                "item_repeaters": _single(items.repeaters),
                "item_gap": _single(items.gap),
                "item_order_gap": _single(items.order_gap),
                "item_order_gain": ratio(
                    np.bincount(bought.item, value, events.items),
                    np.bincount(bought.item, minlength=events.items),
                ),
            },
            of_user={
                "user_gap": _single(users.gap),
                "user_wait": _single(users.wait),
                "user_late": _single(users.late),
                "user_order_size": _single(users.size),
                "user_orders": _single(users.orders),
            },
        )

    def describe(self, user: Indices, item: Indices) -> pd.DataFrame:
        """One row of float32 per candidate; NaN where a pair has never been.

        ``share_{d}`` is the share of the user's orders that hold the item, an order weighing
        ``d`` hundredths of the next one; ``gain_share_{d}`` the same with each order worth what one
        hit in it adds to NDCG, so that small orders count more. ``gap`` and ``order_gap`` are the
        pair's usual gaps, ``due`` and ``order_due`` the gap at the user's next order in terms of
        these, ``due_deviations`` in standard deviations of the logarithm. ``rate`` is the pair's
        repurchases a day (Poisson-Gamma), ``modified_rate`` that of Bhagat et al. (KDD 2018),
        ``repeat_rate`` the latter times the item's share of buyers that come back.
        ``type_hazard`` is the chance that an order holds the item after so many without, by the
        item's type; ``hazard`` by the item.
        """
        found = self.pairs.at(user.astype(np.int64) * self.items + item)
        found |= {name: values[item] for name, values in self.of_item.items()}
        found |= {name: values[user] for name, values in self.of_user.items()}
        return pd.DataFrame({f"rhythm_{name}": values for name, values in found.items()})


def _types(context: Context) -> NDArray[np.int64]:
    """Each item's product type; those without share one, all do where there are none."""
    if TYPE_COLUMN not in context.item_features:
        return np.zeros(context.interactions.items, dtype=np.int64)
    codes, found = pd.factorize(context.item_features[TYPE_COLUMN].astype(object), sort=True)
    return np.where(codes < 0, len(found), codes).astype(np.int64)


def _shrunk(
    numerator: Numbers, denominator: Numbers, type_of: NDArray[np.int64], prior: float
) -> Numbers:
    """Each item's quotient as if ``prior`` more of its type had been seen, of types so of all."""
    mean = numerator.sum() / max(denominator.sum(), 1.0)
    of_type = (np.bincount(type_of, numerator) + prior * mean) / (
        np.bincount(type_of, denominator) + prior
    )
    shrunk: Numbers = (numerator + prior * of_type[type_of]) / (denominator + prior)
    return shrunk


def _shares(bought: _Purchases, count: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
    user, gain = bought.user[bought.start], 1 / ideal_gain(bought.size, PLACES)
    found = {}
    for decay in DECAYS:
        weight = decay ** bought.since.astype(np.float64)
        of_all = ((1 - decay ** count.astype(np.float64)) / (1 - decay))[user]
        hundredths = round(100 * decay)
        found[f"share_{hundredths}"] = ratio(sums(weight, bought.start), of_all)
        found[f"gain_share_{hundredths}"] = ratio(sums(weight * gain, bought.start), of_all)
    found["order_gain"] = ratio(sums(gain, bought.start), bought.end - bought.start)
    return found


def _dueness(
    bought: _Purchases, items: _Items, users: _Users, as_of_day: int
) -> dict[str, Numbers]:
    """How the gap at the user's next order compares with the pair's usual ones."""
    user, item = bought.user[bought.start], bought.item[bought.start]
    gaps = bought.end - bought.start - 1

    def usual(values: NDArray[Any], prior: Numbers) -> Numbers:
        total = np.add.reduceat(np.where(bought.again, values, 0), bought.start)
        mean: Numbers = (total + PRIOR_PAIR_GAPS * prior[item]) / (gaps + PRIOR_PAIR_GAPS)
        return mean

    gap = usual(bought.gap, items.gap)
    order_gap = usual(bought.order_gap, items.order_gap)
    log_gap = usual(np.log(np.maximum(bought.gap, 1)), items.log_gap)
    last = bought.end - 1
    at_next = as_of_day - bought.day[last] + users.wait[user]
    return {
        "gap": gap,
        "order_gap": order_gap,
        "due": at_next / np.maximum(gap, 1.0),
        "order_due": (bought.since[last] + 1) / np.maximum(order_gap, 1.0),
        "due_deviations": (np.log(at_next) - log_gap) / items.spread[item],
        "days_to_next": at_next,
    }


def _rates(bought: _Purchases, items: _Items, as_of_day: int) -> dict[str, Numbers]:
    """Poisson-Gamma rates, in repurchases a day.

    The modified one measures time since the last purchase by its distance from the usual gap, so
    that the rate falls right after a purchase and rises until the next is due; when that is long
    overdue, all time counts (Bhagat et al. 2018, section 4.3).
    """
    item, last = bought.item[bought.start], bought.end - 1
    repeats = (last - bought.start).astype(np.float64)
    between = (bought.day[last] - bought.day[bought.start]).astype(np.float64)
    since = (as_of_day - bought.day[last]).astype(np.float64)
    usual = (between + PRIOR_PAIR_GAPS * items.gap[item]) / (repeats + PRIOR_PAIR_GAPS)
    counted = np.where(since < 2 * usual, 2 * np.abs(usual - since), since)
    events = repeats + items.rate[item] * RATE_DAYS
    modified = events / (between + counted + RATE_DAYS)
    return {
        "rate": events / (between + since + RATE_DAYS),
        "modified_rate": modified,
        "repeat_rate": modified * items.repeaters[item],
    }


def _hazards(bought: _Purchases, items: _Items) -> dict[str, Numbers]:
    """The chance that the next order holds the item, given how many orders went by without."""
    bounds = np.array([*HAZARD_BOUNDS, np.iinfo(np.int64).max])
    types = int(np.max(items.type_of)) + 1
    pair_type = items.type_of[bought.item[bought.start]]
    without = bought.since[bought.end - 1]
    gap, gap_type = bought.order_gap[bought.again], items.type_of[bought.item[bought.again]]

    def bucket(order: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of the orders counted from 1 since the last purchase."""
        return np.searchsorted(bounds, order) - 1

    shape = (len(HAZARD_BOUNDS), types)
    came = np.zeros(shape)
    np.add.at(came, (bucket(gap), gap_type), 1)
    asked = np.zeros(shape)
    for place, (low, high) in enumerate(pairwise(bounds)):
        for orders, of_type in ((gap, gap_type), (without, pair_type)):
            asked[place] += np.bincount(of_type, np.clip(orders, low, high) - low, types)
    of_all = came.sum(axis=1) / np.maximum(asked.sum(axis=1), 1)
    hazard = (came + PRIOR_HAZARD * of_all[:, None]) / (asked + PRIOR_HAZARD)
    by_type = hazard[bucket(without + 1), pair_type]
    usual = came.sum(axis=0) / np.maximum(asked.sum(axis=0), 1)
    item = bought.item[bought.start]
    relative = ratio(items.hazard[item], usual[pair_type])
    return {
        "type_hazard": by_type,
        "hazard": by_type * np.minimum(np.nan_to_num(relative, nan=1.0), MOST_RELATIVE),
    }


def _single(values: Numbers) -> NDArray[np.float32]:
    return values.astype(np.float32)
