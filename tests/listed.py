"""Lists of a fitted method, made the way that they are served, without exploration."""

import numpy as np
from numpy.typing import NDArray

from lakehouse.lists import ALL, DISCOVER
from models.core.assortment import Assortment
from models.core.base import BaseRecommender
from models.core.context import Context
from models.core.interactions import Indices
from models.core.lists import Lists
from models.core.parameters import POPULARITY_HALF_LIFE_DAYS
from models.lists.path import Policy, make_lists


def listed(
    model: BaseRecommender,
    context: Context,
    users: Indices,
    n: int,
    *,
    filter_seen: bool,
    items_to_recommend: NDArray[np.bool_] | None = None,
) -> Lists:
    """N places for each of ``users``; ``model`` is fitted on ``context``."""
    return make_lists(
        model,
        DISCOVER if filter_seen else ALL,
        users,
        Assortment.of(context, POPULARITY_HALF_LIFE_DAYS),
        Policy(size=n),
        items_to_recommend=items_to_recommend,
    )
