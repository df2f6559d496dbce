"""Which method fills a list: the best one that can be used and is no needless complication."""

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.base import BaseRecommender
from models.bootstrap import paired_bootstrap
from models.evaluation import Task
from models.gate import PLACES, served

CONSTANT_SHARE: Final = 0.95
SEED: Final = 42

logger = logging.getLogger(__name__)


def choose(
    ndcg: Mapping[str, NDArray[np.float64]],
    *,
    heuristics: Collection[str],
    is_usable: Callable[[str], bool],
) -> str:
    """The method with the highest mean that may be chosen; the first named wins a tie.

    ``ndcg`` holds each method's NDCG@10, the same user at the same place. A method may be chosen if
    it ``is_usable`` and is one of ``heuristics`` or surely better than all of them (the lower end
    of the paired bootstrap's interval is above 0). Where none may, the best is returned all the
    same, and the gate refuses it.
    """
    ranked = sorted(ndcg, key=lambda name: -float(ndcg[name].mean()))
    for name in ranked:
        rivals = () if name in heuristics else [rival for rival in ndcg if rival in heuristics]
        better = all(
            paired_bootstrap(ndcg[name], ndcg[rival], seed=SEED).low > 0 for rival in rivals
        )
        if better and is_usable(name):
            return name
        why = "its scores are constant or not finite" if better else "a heuristic does as well"
        logger.info("%s is passed over: %s", name, why)
    return ranked[0]


def is_sane(model: BaseRecommender, task: Task) -> bool:
    """Whether the model's numbers are finite and its scores tell the task's items apart."""
    lists = model.recommend(task.users, PLACES, new_only=task.new_only, among=task.among)
    look = served(lists, sellable=int(task.among.sum()), finite=model.is_finite())
    return look.finite and look.constant_share <= CONSTANT_SHARE
