"""The first stage: what several methods would list, with what each one thinks of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.core.base import BaseRecommender
from models.core.context import Context
from models.core.interactions import UNKNOWN, Indices, day_number
from models.core.totals import distinct, ratio

RELATIVE = "_relative"


@dataclass(frozen=True, slots=True)
class Source:
    """A method that proposes its first ``candidates`` items, and scores its first ``depth``."""

    method: BaseRecommender
    candidates: int
    depth: int


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Pairs of user and item, sorted and unique, and per source the columns of ``scores``.

    ``{source}_score`` is the source's score, ``{source}_relative`` its quotient with the user's
    best; NaN where the item is not among the source's first ``depth``.
    """

    user: Indices
    item: Indices
    scores: pd.DataFrame


def candidates(
    sources: Mapping[str, Source], context: Context, users: Indices, *, filter_seen: bool
) -> Candidates:
    """Fit every source on ``context`` and collect its candidates for ``users`` (sorted).

    ``filter_seen`` leaves out what a user has taken before.
    """
    items = context.interactions.items
    proposed = []
    scored: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    for name, source in sources.items():
        lists = source.method.fit(context).rank(users, source.depth, filter_seen=filter_seen)
        row, place = np.nonzero(lists.item != UNKNOWN)
        key = users[row].astype(np.int64) * items + lists.item[row, place]
        proposed.append(key[place < source.candidates])
        order = np.argsort(key, kind="stable")
        score = lists.score[row, place]
        scored[name] = key[order], score[order], ratio(score, lists.score[row, 0])[order]
    union = distinct(np.concatenate(proposed))
    columns = {}
    for name, (key, score, relative) in scored.items():
        place = np.minimum(np.searchsorted(key, union), max(len(key) - 1, 0))
        known = key[place] == union if len(key) else np.zeros(len(union), dtype=np.bool_)
        for suffix, values in (("_score", score), (RELATIVE, relative)):
            found = np.full(len(union), np.nan, dtype=np.float32)
            found[known] = values[place[known]]
            columns[f"{name}{suffix}"] = found
    return Candidates(
        user=(union // items).astype(np.int32),
        item=(union % items).astype(np.int32),
        scores=pd.DataFrame(columns, index=pd.RangeIndex(len(union))),
    )


def training_nights(context: Context, *, count: int, days_apart: int) -> list[date]:
    """Up to ``count`` past nights, ``days_apart`` days from each to the next, the last one first.

    The last is so many days before the night of ``context``; those without events are left out.
    """
    first = int(np.min(context.interactions.day))
    nights = (context.as_of - timedelta(days=days_apart * back) for back in range(1, count + 1))
    return [night for night in nights if day_number(night) > first]


def first_rows(
    found: Candidates, score: NDArray[np.float64], allowed: NDArray[np.bool_], n: int
) -> NDArray[np.int64]:
    """The rows of each user's first ``n`` candidates among the ``allowed`` items, by ``score``."""
    order = np.lexsort((found.item, -score, found.user))
    order = order[allowed[found.item[order]]]
    user = found.user[order]
    place = np.arange(len(user)) - np.searchsorted(user, user)
    return np.asarray(order[place < n])
