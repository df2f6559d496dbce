"""Do higher scores mean more hits? What became of the places of a method's lists."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from models.core.lists import Lists
from models.evaluation import metrics

TENTHS: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """The places that a method filled by scores of its own: ``score``, and whether it was a hit.

    Those filled up by popularity have scores of another scale and are left out.
    """

    score: NDArray[np.float32]
    hit: NDArray[np.bool_]


def places_of(lists: Lists, relevant: sparse.csr_array) -> Places:
    """The places of ``lists``; ``relevant`` (users x items) stores the hits of the same users."""
    own = lists.source == 0
    hits = metrics.hits_of(lists.item, relevant)
    return Places(lists.score[own], hits[own])


def by_score(places: Places) -> pd.DataFrame:
    """The places in ten equally large groups by score, the lowest first.

    Columns ``tenth`` (from 1), ``places``, ``score`` (mean) and ``hit_rate`` (share of hits). No
    row where the method filled no place itself.
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
    ).astype({"tenth": int, "places": int, "score": float, "hit_rate": float})
