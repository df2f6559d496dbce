"""Items ranked for what is not a person: everybody, a shop, a segment, a category.

What sells (decayed events) and what rises: the events of the last week against what four weeks
before them would have made expect, in standard deviations of a Poisson count, ``(now - expected) /
sqrt(expected + 1)``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from lakehouse.lists import EVERYBODY
from models.core.interactions import UNKNOWN, Ids, Indices, index_of
from models.core.topn import Ranked, nothing_ranked, rows_of, top_n_sparse

# A context of fewer people has no list: it would say little, and that of few.
MINIMUM_USERS: Final = 20
RECENT_DAYS: Final = 7
BEFORE_DAYS: Final = 28
# What rises by less than two standard deviations may well be chance.
LEAST_RISE: Final = 2.0
TRENDING_SOURCE: Final = "trending"


@dataclass(frozen=True, slots=True, eq=False)
class KeyedScores:
    """Scores (keys x items) that rank items for keys, as a method ranks them for users.

    ``own`` (keys x items) is what a key has itself, such as the item that a list is of. ``about``
    is the id of the item that a key's list is about, if there are such.
    """

    name: str
    user_ids: Ids
    scores: sparse.csr_array
    own: sparse.csr_array | None = None
    about: Ids | None = None

    @property
    def seen(self) -> sparse.csr_array:
        """What a key has itself, if anything."""
        if self.own is not None:
            return self.own
        return sparse.csr_array(self.scores.shape, dtype=np.bool_)

    def rank(
        self,
        users: Indices,
        n: int,
        *,
        filter_seen: bool,
        items_to_recommend: NDArray[np.bool_] | None = None,
        exclude: sparse.csr_array | None = None,
    ) -> Ranked:
        """The N best items for each of ``users`` (keys); see ``models.core.base.Recommender``."""
        if filter_seen:
            exclude = rows_of(self.seen, users)
        is_known = users != UNKNOWN
        every = np.ones(self.scores.shape[1], dtype=np.bool_)
        result = nothing_ranked(len(users), n)
        result.item[is_known], result.score[is_known] = top_n_sparse(
            self.scores[users[is_known]],
            n,
            allowed=every if items_to_recommend is None else items_to_recommend,
            exclude=None if exclude is None else exclude[is_known],
        )
        return result


class KeyedEvents(NamedTuple):
    """Events by what a list can be for: ``key`` is the place in ``keys``, ``age`` in days."""

    keys: Ids
    key: NDArray[np.int64]
    item: Indices
    age: NDArray[np.float64]


def keyed_events(
    events: pd.DataFrame, columns: Sequence[str], item_ids: Ids, *, as_of: date
) -> KeyedEvents:
    """``events`` once for everybody, under an empty key, and once by each context.

    ``events`` (``user_id``, ``item_id``, ``event_date``, ``columns``) lie before ``as_of``; of
    items outside of ``item_ids`` nothing is known. A context's key is e.g. ``store_id=367``; those
    of fewer than ``MINIMUM_USERS`` users are left out.
    """
    # Each id is looked up once, not once per event.
    code, ids = pd.factorize(events["item_id"])
    item = index_of(item_ids, ids)[code]
    events = events[item != UNKNOWN]
    item = item[item != UNKNOWN]
    age = (pd.Timestamp(as_of) - pd.to_datetime(events["event_date"])).dt.days.to_numpy(float)
    keys, parts = [EVERYBODY], [(np.zeros(len(item), dtype=np.int64), np.arange(len(item)))]
    for column in columns:
        code, values = pd.factorize(events[column], sort=True)
        pairs = pd.DataFrame({"code": code, "user": events["user_id"].to_numpy()})
        users = pairs[code >= 0].drop_duplicates()["code"].value_counts()
        enough = np.zeros(len(values) + 1, dtype=np.bool_)  # The last is that of missing values.
        enough[users.index[users >= MINIMUM_USERS]] = True
        rows = np.flatnonzero(enough[code])
        place = np.cumsum(enough) - 1 + len(keys)
        parts.append((place[code[rows]], rows))
        keys += [f"{column}={value}" for value in values[enough[:-1]]]
    row = np.concatenate([rows for _, rows in parts])
    key = np.concatenate([of_part for of_part, _ in parts])
    return KeyedEvents(np.array(keys, dtype=object), key, item[row], age[row])


def sales(events: KeyedEvents, items: int, *, half_life_days: float, name: str) -> KeyedScores:
    """Each event counts ``0.5 ** (age / half_life_days)``."""
    return KeyedScores(
        name, events.keys, _sums(events, items, 0.5 ** (events.age / half_life_days))
    )


def trends(events: KeyedEvents, items: int, *, name: str) -> KeyedScores:
    """How far each item's last week is above what was usual for the key; what rises only."""
    age = events.age
    older = (age > RECENT_DAYS) & (age <= RECENT_DAYS + BEFORE_DAYS)
    # Both are made of the same pairs, so that their entries lie side by side.
    now = _sums(events, items, (age <= RECENT_DAYS).astype(np.float64))
    expected = _sums(events, items, older.astype(np.float64)).data * (RECENT_DAYS / BEFORE_DAYS)
    rise = (now.data - expected) / np.sqrt(expected + 1)
    risen = sparse.csr_array(
        (np.where(rise >= LEAST_RISE, rise, 0.0), now.indices, now.indptr), shape=now.shape
    )
    risen.eliminate_zeros()
    return KeyedScores(name, events.keys, risen)


def of_items(scores: sparse.csr_array, item_ids: Ids, *, name: str) -> KeyedScores:
    """Items ranked for items (items x items, ids of both ``item_ids``): those that have scores.

    No item is ranked for itself on a surface that leaves out what is seen.
    """
    keys = np.flatnonzero(np.diff(scores.indptr))
    shape = (len(keys), len(item_ids))
    own = sparse.csr_array(
        (np.ones(len(keys), np.bool_), (np.arange(len(keys)), keys)), shape=shape
    )
    return KeyedScores(name, item_ids[keys], scores[keys], own, about=item_ids[keys])


def chosen_keys(scores: KeyedScores, chosen: NDArray[np.bool_]) -> KeyedScores:
    """Some of the keys."""
    return KeyedScores(scores.name, scores.user_ids[chosen], scores.scores[np.flatnonzero(chosen)])


def _sums(events: KeyedEvents, items: int, weights: NDArray[np.float64]) -> sparse.csr_array:
    built = sparse.coo_array(
        (weights, (events.key, events.item)), shape=(len(events.keys), items)
    ).tocsr()
    built.sum_duplicates()
    return sparse.csr_array(built)
