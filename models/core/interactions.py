"""Events as index arrays: the one form in which models see who took what, and when."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from lakehouse.errors import DataError

EPOCH = date(1970, 1, 1)
UNKNOWN = -1

Ids = NDArray[np.object_]
Indices = NDArray[np.int32]


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def index_of(ids: Ids, wanted: Iterable[str]) -> Indices:
    """Position of each of ``wanted`` in the sorted vocabulary ``ids``; ``UNKNOWN`` where absent."""
    positions = pd.Index(ids).get_indexer(pd.Index(list(wanted), dtype=object))
    return positions.astype(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Interactions:
    """One entry per event, over sorted vocabularies of user and item ids.

    ``user`` and ``item`` are positions in ``user_ids`` and ``item_ids``; ``day`` counts from
    1970-01-01; ``order`` numbers orders, later ones higher; ``value``, what was paid, and
    ``discount``, what was taken off before, are NaN where the source has none. The vocabularies may
    hold ids without events: a cut in time keeps them, so that indices mean the same on both sides
    of it.
    """

    user_ids: Ids
    item_ids: Ids
    user: Indices
    item: Indices
    day: Indices
    order: Indices
    quantity: NDArray[np.float32]
    value: NDArray[np.float32]
    discount: NDArray[np.float32]

    @classmethod
    def from_frame(
        cls,
        events: pd.DataFrame,
        *,
        user_ids: Iterable[str] | None = None,
        item_ids: Iterable[str] | None = None,
    ) -> Self:
        """Read columns ``user_id``, ``item_id``, ``event_date``, ``quantity`` and ``value``.

        ``discount`` is read where there is one, and so are ``order_id`` and ``event_time``: an
        order begins with its first event. Events without an order's id are one order a day.
        ``user_ids`` and ``item_ids`` give vocabularies (any order); without them they are the ids
        that occur. Raises ``DataError`` where an event's id is not in the vocabulary given.
        """
        user, users = _encode(events, "user_id", user_ids)
        item, items = _encode(events, "item_id", item_ids)
        discount = events.get("discount", pd.Series(np.nan, index=events.index))
        days = pd.to_datetime(events["event_date"]).to_numpy().astype("datetime64[D]")
        return cls(
            user_ids=users,
            item_ids=items,
            user=user,
            item=item,
            day=days.astype(np.int64).astype(np.int32),
            order=_orders(events, days),
            quantity=events["quantity"].to_numpy(dtype=np.float32),
            value=events["value"].to_numpy(dtype=np.float32, na_value=np.nan),
            discount=discount.to_numpy(dtype=np.float32, na_value=np.nan),
        )

    @property
    def users(self) -> int:
        """Size of the user vocabulary."""
        return len(self.user_ids)

    @property
    def items(self) -> int:
        """Size of the item vocabulary."""
        return len(self.item_ids)

    def __len__(self) -> int:
        return len(self.day)

    def before(self, day: date) -> Self:
        """The events of days before ``day``."""
        return self.select(self.day < day_number(day))

    def between(self, start: date, end: date) -> Self:
        """The events of days from ``start`` to the day before ``end``."""
        return self.select((self.day >= day_number(start)) & (self.day < day_number(end)))

    def select(self, chosen: NDArray[np.bool_]) -> Self:
        """The events where ``chosen`` holds, over the same vocabularies."""
        return replace(
            self,
            user=self.user[chosen],
            item=self.item[chosen],
            day=self.day[chosen],
            order=self.order[chosen],
            quantity=self.quantity[chosen],
            value=self.value[chosen],
            discount=self.discount[chosen],
        )

    def items_without_event_before(self, day: date) -> NDArray[np.bool_]:
        """A mask over the item vocabulary."""
        old = self.item[self.day < day_number(day)]
        return np.asarray(np.bincount(old, minlength=self.items) == 0)

    def matrix(self, weights: NDArray[Any] | None = None) -> sparse.csr_array:
        """Users x items, float64: the sum of ``weights`` (1 without) over each pair's events.

        Column indices are sorted and pairs are unique. Pairs whose weights sum to 0 stay stored.
        """
        entries = np.ones(len(self)) if weights is None else np.asarray(weights, dtype=np.float64)
        built = sparse.coo_array(
            (entries, (self.user, self.item)), shape=(self.users, self.items)
        ).tocsr()
        built.sum_duplicates()
        return built

    def days_since_last(self, as_of: date) -> sparse.csr_array:
        """Users x items: days from each pair's last event to ``as_of``, stored where there is one.

        Events have to lie before ``as_of``, so that nothing stored is 0.
        """
        order = np.lexsort((self.day, self.item, self.user))
        user, item = self.user[order], self.item[order]
        last = np.ones(len(order), dtype=np.bool_)
        last[:-1] = (user[1:] != user[:-1]) | (item[1:] != item[:-1])
        days = day_number(as_of) - self.day[order][last]
        return sparse.csr_array(
            (days.astype(np.int32), (user[last], item[last])), shape=(self.users, self.items)
        )

    def decay(self, as_of: date, half_life_days: float) -> NDArray[np.float64]:
        """``0.5 ** (age / half_life_days)`` of each event, its age in days at ``as_of``."""
        age = (day_number(as_of) - self.day).astype(np.float64)
        return np.asarray(0.5 ** (age / half_life_days))


def _orders(events: pd.DataFrame, days: NDArray[np.datetime64]) -> Indices:
    """The rank of each event's order by when it began, then by its id; ``days`` are the events'."""
    if "order_id" not in events:
        _, rank = np.unique(days, return_inverse=True)
        return np.asarray(rank, dtype=np.int32)
    day = days.astype("datetime64[us]")
    code, _ = pd.factorize(events["order_id"], sort=True)
    time = day
    if "event_time" in events:
        time = pd.to_datetime(events["event_time"]).to_numpy().astype("datetime64[us]")
    began = pd.Series(time).groupby(code).transform("min").to_numpy()
    began = np.where(code == UNKNOWN, day, began)
    order = np.lexsort((code, began))
    starts = np.ones(len(order), dtype=np.bool_)
    starts[1:] = (began[order][1:] != began[order][:-1]) | (np.diff(code[order]) != 0)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.cumsum(starts) - 1
    return rank


def _encode(
    events: pd.DataFrame, column: str, vocabulary: Iterable[str] | None
) -> tuple[Indices, Ids]:
    codes, uniques = pd.factorize(events[column].astype(object), sort=True)
    if (codes == UNKNOWN).any():
        raise DataError(
            f"events: {column} is null in {(codes == UNKNOWN).sum()} rows. Clean first."
        )
    found: Ids = np.asarray(uniques, dtype=object)
    if vocabulary is None:
        return codes.astype(np.int32), found
    ids: Ids = np.array(sorted(set(vocabulary)), dtype=object)
    position = index_of(ids, found)
    if (position == UNKNOWN).any():
        raise DataError(
            f"events: {(position == UNKNOWN).sum()} different values of {column} are not in the "
            f"vocabulary of {len(ids)} ids. Give a vocabulary that covers the events."
        )
    return position[codes], ids
