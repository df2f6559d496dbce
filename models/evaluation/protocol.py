"""Any recommender, judged on a window of days that it has not seen.

A *task* fixes the users, what counts as a hit and what may be listed:

``all``
    An item counts if the user took it in the window, whether or not before.
``discover``
    Lists of items new to the user; an item counts if the user took it in the window, never before.
``cold_users``
    As ``all``, for users with at most ``Cold.user_days`` active days before the window, or none.
``cold_items``
    As ``discover``, lists among the items without an event until ``Cold.item_days`` before the
    window, catalogue items never sold included, and only they count.

In all but ``cold_items`` what counts and what may be listed are the context's ``sellable`` items.
Users without an item that counts are left out, and but for ``cold_users`` those without an event
before the window; means are over the others.

The published figures on Complete Journey are of this protocol: lines with positive quantity and
sales; context as of 2017-12-01 without a ``sellable`` column, so that every item sold before
(65,184) may be listed and counts, fuel and coupons too; window 2017-12-01 to 2018-01-01 inclusive;
2,055 users with a hit who bought before. With these, items by distinct buyers reach NDCG@10 0.178
(new to the user: 0.038) and counts with a half-life of 120 days 0.429.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from lakehouse.errors import DataError
from lakehouse.lists import ALL, DISCOVER, PERSONAL, Surface
from models.core.assortment import Assortment
from models.core.content import one_hot, unit_rows
from models.core.context import Context
from models.core.interactions import Indices, Interactions, day_number
from models.core.parameters import COLD_USER_DAYS, NEW_ITEM_DAYS, POPULARITY_HALF_LIFE_DAYS
from models.core.topn import row_of_each, stored_in
from models.evaluation import metrics
from models.evaluation.measures import MEASURES, Judged

COLD_USERS: Final = "cold_users"
COLD_ITEMS: Final = "cold_items"
# The lists that each is about.
SURFACE_OF: Final[Mapping[str, Surface]] = {
    **{surface.name: surface for surface in PERSONAL},
    COLD_USERS: ALL,
    COLD_ITEMS: DISCOVER,
}
PROTOCOLS: Final = tuple(SURFACE_OF)
CONTENT_COLUMNS = ("department", "category", "product_type", "brand", "tags")


class Cold(NamedTuple):
    """Users with at most so many active days, and items without an event so many days ago."""

    user_days: int = COLD_USER_DAYS
    item_days: int = NEW_ITEM_DAYS


COLD = Cold()


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What a recommender is asked for and judged by; ``context`` is what was known.

    ``relevant`` is users x items, aligned with ``users``; its stored entries are the items that
    count, their values the revenue with them (0 where unknown). ``assortment`` is what there was to
    list, ``items_to_recommend`` masks what of it is asked for. ``buyers`` counts each item's users
    before the window, ``content`` describes items.
    """

    protocol: str
    context: Context
    users: Indices
    relevant: sparse.csr_array
    assortment: Assortment
    items_to_recommend: NDArray[np.bool_]
    buyers: NDArray[np.int64]
    population: int
    content: sparse.csr_array

    @property
    def surface(self) -> Surface:
        """The kind of list that is judged."""
        return SURFACE_OF[self.protocol]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Measures of one method on one task.

    ``metrics`` holds one number per measure, e.g. ``ndcg@10``; ``per_user`` the users' own values
    of those that are means, aligned with ``users``.
    """

    users: Indices
    metrics: dict[str, float]
    per_user: dict[str, NDArray[np.float64]]


def task(
    protocol: str,
    context: Context,
    window: Interactions,
    *,
    cold: Cold = COLD,
    popularity_half_life_days: float = POPULARITY_HALF_LIFE_DAYS,
) -> Task:
    """The task of ``protocol`` on the events of ``window``, of days from ``context.as_of`` on.

    What fills lists up decays with ``popularity_half_life_days``. ``window`` shares the context's
    vocabularies. Raises ``DataError`` where no user has an item that counts.
    """
    history = context.interactions
    if (window.day < day_number(context.as_of)).any():
        raise ValueError(f"the window holds events before the context's end, {context.as_of}")
    seen = _stored_as_ones(history.matrix())
    since = context.as_of - timedelta(days=cold.item_days)
    asked_for = (
        history.items_without_event_before(since) if protocol == COLD_ITEMS else context.sellable
    )
    counts = asked_for[window.item]
    days = active_days(history)
    counts = counts & (days <= cold.user_days if protocol == COLD_USERS else days > 0)[window.user]
    relevant = window.select(counts).matrix(np.nan_to_num(window.value[counts]))
    if SURFACE_OF[protocol].filter_seen:
        relevant = _without(relevant, seen)
    users = np.flatnonzero(np.diff(relevant.indptr)).astype(np.int32)
    if not len(users):
        raise DataError(
            f"no user has an item that counts for {protocol!r} in the window from {context.as_of}"
        )
    content = one_hot(context.item_features, CONTENT_COLUMNS)
    return Task(
        protocol=protocol,
        context=context,
        users=users,
        relevant=relevant[users],
        assortment=Assortment.of(context, popularity_half_life_days),
        items_to_recommend=asked_for,
        buyers=np.bincount(seen.indices, minlength=history.items),
        population=len(np.unique(history.user)),
        content=unit_rows(content.matrix),
    )


def measure(item: Indices, task: Task) -> Evaluation:
    """Measure lists (users x n, aligned with ``task.users``), whoever made them."""
    n = item.shape[1]
    judged = Judged(
        item=item,
        hits=metrics.hits_of(item, task.relevant),
        relevant=task.relevant,
        counts=metrics.relevant_counts(task.relevant),
        buyers=task.buyers,
        population=task.population,
        content=task.content,
        candidates=int(task.items_to_recommend.sum()),
    )
    values = {f"{one.name}@{n}": one.of(judged) for one in MEASURES if one.applies(judged)}
    return Evaluation(
        users=task.users,
        metrics={
            name: value if isinstance(value, float) else _mean(value)
            for name, value in values.items()
        },
        per_user={name: value for name, value in values.items() if not isinstance(value, float)},
    )


def by_segment(evaluation: Evaluation, segments: NDArray[Any]) -> pd.DataFrame:
    """Mean of each measure by segment, with the number of users; one row per segment, sorted.

    ``segments`` labels each user of the vocabulary; users without a label are left out.
    """
    labels = pd.Series(np.asarray(segments)[evaluation.users], name="segment")
    grouped = pd.DataFrame(evaluation.per_user).groupby(labels, sort=True)
    result = grouped.mean()
    result.insert(0, "users", grouped.size())
    return result


def compare_methods(evaluations: Mapping[str, Evaluation], measure_name: str) -> list[str]:
    """Method names by descending ``measure_name``; the first named wins a tie."""
    return sorted(evaluations, key=lambda name: -evaluations[name].metrics[measure_name])


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def _stored_as_ones(matrix: sparse.csr_array) -> sparse.csr_array:
    return sparse.csr_array(
        (np.ones(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape
    )


def _without(matrix: sparse.csr_array, hidden: sparse.csr_array) -> sparse.csr_array:
    """``matrix`` without the entries stored in ``hidden``; entries of value 0 stay stored."""
    row = row_of_each(matrix)
    keep = ~stored_in(hidden, row, matrix.indices)
    return sparse.csr_array(
        (matrix.data[keep], (row[keep], matrix.indices[keep])), shape=matrix.shape
    )


def active_days(history: Interactions) -> NDArray[np.int64]:
    """Days with an event of each user."""
    days = pd.DataFrame({"user": history.user, "day": history.day}).drop_duplicates()
    return np.bincount(days["user"].to_numpy(), minlength=history.users)
