"""Which method fills a list: the best one that can be used and is no needless complication."""

import logging
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.core.lists import Lists
from models.evaluation.bootstrap import paired_bootstrap
from models.evaluation.protocol import Task
from models.selection.gate import Served, served

logger = logging.getLogger(__name__)


class Terms(NamedTuple):
    """By what methods are chosen: the bootstrap's seed, and the limit of lists with one score."""

    seed: int
    constant_share: float


def choose(
    ndcg: Mapping[str, NDArray[np.float64]],
    *,
    heuristics: Collection[str],
    usable: Collection[str],
    seed: int,
) -> str:
    """The method with the highest mean that may be chosen; the first named wins a tie.

    ``ndcg`` holds each method's NDCG@10, the same user at the same place. A method may be chosen if
    it is ``usable`` and is one of ``heuristics`` or surely better than all of them (the lower end
    of the paired bootstrap's interval is above 0). Where none may, the best is returned all the
    same, and the gate refuses it. ``seed`` is the bootstrap's.
    """
    ranked = sorted(ndcg, key=lambda name: -float(ndcg[name].mean()))
    for name in ranked:
        rivals = () if name in heuristics else [rival for rival in ndcg if rival in heuristics]
        better = all(
            paired_bootstrap(ndcg[name], ndcg[rival], seed=seed).low > 0 for rival in rivals
        )
        if better and name in usable:
            return name
        why = "its scores are constant or not finite" if better else "a heuristic does as well"
        logger.info("%s is passed over: %s", name, why)
    return ranked[0]


def look_at(lists: Lists, task: Task, *, finite: bool) -> Served:
    """What lists made for ``task`` look like; are the numbers that the model has learnt finite?"""
    return served(lists, sellable=int(task.items_to_recommend.sum()), finite=finite)


def is_sane(look: Served, terms: Terms) -> bool:
    """Whether lists tell items apart by scores that are numbers."""
    return look.finite and look.constant_share <= terms.constant_share
