"""Do higher scores mean more hits? What became of the places of a method's lists."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models import metrics
from models.base import BaseRecommender
from models.evaluation import Task

TENTHS: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """The places that a method filled by scores of its own: ``score``, and whether it was a hit.

    Those filled up by popularity have scores of another scale and are left out.
    """

    score: NDArray[np.float32]
    hit: NDArray[np.bool_]


def places_of(model: BaseRecommender, task: Task, *, n: int = 10) -> Places:
    """The first ``n`` places of the task's lists."""
    lists = model.recommend(task.users, n, new_only=task.new_only, among=task.among)
    own = lists.source == 0
    hits = metrics.hits_of(lists.item, task.relevant)
    return Places(lists.score[own], hits[own])


def by_score(places: Places) -> pd.DataFrame:
    """The places in ten equally large groups by score, the lowest first.

    Columns ``tenth`` (from 1), ``places``, ``score`` (mean) and ``hit_rate`` (share of hits).
    """
    order = np.argsort(places.score, kind="stable")
    groups = [group for group in np.array_split(order, TENTHS) if len(group)]
    return pd.DataFrame(
        {
            "tenth": range(1, len(groups) + 1),
            "places": [len(group) for group in groups],
            "score": [float(places.score[group].mean()) for group in groups],
            "hit_rate": [float(places.hit[group].mean()) for group in groups],
        }
    )
