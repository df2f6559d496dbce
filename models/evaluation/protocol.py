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
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from lakehouse.errors import DataError
from models.core.base import Recommender
from models.core.content import one_hot, unit_rows
from models.core.context import Context
from models.core.interactions import Indices, Interactions, day_number
from models.core.parameters import COLD_USER_DAYS, NEW_ITEM_DAYS
from models.core.topn import row_of_each, stored_in
from models.evaluation import metrics

Protocol = Literal["all", "discover", "cold_users", "cold_items"]
PROTOCOLS: tuple[Protocol, ...] = ("all", "discover", "cold_users", "cold_items")
CONTENT_COLUMNS = ("department", "category", "product_type", "brand", "tags")


class Cold(NamedTuple):
    """Users with at most so many active days, and items without an event so many days ago."""

    user_days: int = COLD_USER_DAYS
    item_days: int = NEW_ITEM_DAYS


COLD = Cold()


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What a recommender is asked for and judged by.

    ``relevant`` is users x items, aligned with ``users``; its stored entries are the items that
    count, their values the revenue with them (0 where unknown). ``among`` masks the items that may
    be listed. ``buyers`` counts each item's users before the window, ``content`` describes items.
    """

    protocol: Protocol
    users: Indices
    relevant: sparse.csr_array
    among: NDArray[np.bool_]
    new_only: bool
    buyers: NDArray[np.int64]
    population: int
    content: sparse.csr_array


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Measures of one method on one task.

    ``metrics`` holds one number per measure, e.g. ``ndcg@10``; ``per_user`` the users' own values
    of those that are means, aligned with ``users``.
    """

    users: Indices
    metrics: dict[str, float]
    per_user: dict[str, NDArray[np.float64]]


def task(protocol: Protocol, context: Context, window: Interactions, cold: Cold = COLD) -> Task:
    """The task of ``protocol`` on the events of ``window``, of days from ``context.as_of`` on.

    ``window`` shares the context's vocabularies. Raises ``DataError`` where no user has an item
    that counts.
    """
    history = context.interactions
    if (window.day < day_number(context.as_of)).any():
        raise ValueError(f"the window holds events before the context's end, {context.as_of}")
    seen = _stored_as_ones(history.matrix())
    since = context.as_of - timedelta(days=cold.item_days)
    among = (
        history.items_without_event_before(since) if protocol == "cold_items" else context.sellable
    )
    new_only = protocol in ("discover", "cold_items")
    counts = among[window.item]
    days = active_days(history)
    counts = (
        counts & (days <= cold.user_days if protocol == "cold_users" else days > 0)[window.user]
    )
    relevant = window.select(counts).matrix(np.nan_to_num(window.value[counts]))
    if new_only:
        relevant = _without(relevant, seen)
    users = np.flatnonzero(np.diff(relevant.indptr)).astype(np.int32)
    if not len(users):
        raise DataError(
            f"no user has an item that counts for {protocol!r} in the window from {context.as_of}"
        )
    content = one_hot(context.item_features, CONTENT_COLUMNS)
    return Task(
        protocol=protocol,
        users=users,
        relevant=relevant[users],
        among=among,
        new_only=new_only,
        buyers=np.bincount(seen.indices, minlength=history.items),
        population=len(np.unique(history.user)),
        content=unit_rows(content.matrix),
    )


def evaluate(model: Recommender, task: Task, *, n: int = 10) -> Evaluation:
    """Ask ``model`` for the task's lists and measure their first ``n`` places.

    ``model`` must be fitted on the task's context (the same vocabularies).
    """
    lists = model.recommend(task.users, n, new_only=task.new_only, among=task.among)
    return measure(lists.item, task)


def measure(item: Indices, task: Task) -> Evaluation:
    """Measure lists (users x n, aligned with ``task.users``), whoever made them."""
    n = item.shape[1]
    hits = metrics.hits_of(item, task.relevant)
    relevant = metrics.relevant_counts(task.relevant)
    per_user = {
        "ndcg": metrics.ndcg(hits, relevant),
        "map": metrics.average_precision(hits, relevant),
        "precision": metrics.precision(hits),
        "recall": metrics.recall(hits, relevant),
        "hit_rate": metrics.hit_rate(hits),
        "mrr": metrics.reciprocal_rank(hits),
        "novelty": metrics.novelty(item, task.buyers, task.population),
        "average_popularity": metrics.average_popularity(item, task.buyers),
    }
    if task.relevant.data.any():
        per_user["revenue_recall"] = metrics.revenue_recall(item, hits, task.relevant)
    if task.content.nnz:
        per_user["diversity"] = metrics.intra_list_diversity(item, task.content)
    candidates = int(task.among.sum())
    of_all = {
        "coverage": metrics.coverage(item, candidates),
        "gini": metrics.gini(item, candidates),
    }
    means = {name: _mean(values) for name, values in per_user.items()}
    return Evaluation(
        users=task.users,
        metrics={f"{name}@{n}": value for name, value in (means | of_all).items()},
        per_user={f"{name}@{n}": values for name, values in per_user.items()},
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
