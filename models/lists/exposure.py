"""A capped share of places for new items, which no method can know well yet.

Without it a new item is seldom listed, so that nothing is ever learnt of it (exploration, as in
epsilon-greedy bandits). Places are given in the lower half of a list, where they cost least.
"""

import numpy as np
from numpy.typing import NDArray

from models.core.interactions import UNKNOWN
from models.core.lists import NO_RULE, Lists

EXPLORATION_SOURCE = "exploration"


def draws_needed(size: int) -> int:
    """How many random numbers ``expose`` takes for each list of ``size`` places."""
    return 2 * size + 1


def expose(lists: Lists, fresh: Lists, *, share: float, drawn: NDArray[np.float64]) -> Lists:
    """``lists`` with some of ``fresh`` put in, each marked with the source ``exploration``.

    Both are of the same users and length; ``drawn`` holds ``draws_needed`` numbers in [0, 1) for
    each. Of a list's places ``share`` (at most 0.5) go to new items on average, rounded up at most:
    it has the whole part of ``share`` times its length, and one more with the rest as probability.
    Which of a user's fresh items, and where below the first half of the list, is drawn; the list's
    own last items give way. Items that a list holds already are not put in.
    """
    n = lists.item.shape[1]
    chance, which, where = drawn[:, 0], drawn[:, 1 : n + 1], drawn[:, n + 1 :]
    known = (fresh.item[:, :, None] == lists.item[:, None, :]).any(axis=2)
    draw = np.where(known | (fresh.item == UNKNOWN), np.inf, which)
    length = (lists.item != UNKNOWN).sum(axis=1)
    expected = share * length
    granted = np.floor(expected) + (chance < expected % 1)
    order = np.argsort(draw, axis=1, kind="stable")
    place = np.argsort(order, axis=1, kind="stable")
    put_in = (place < granted[:, None]) & np.isfinite(draw)

    length = length[:, None]
    below = length // 2
    # Half a place before the item that gives way; what is not put in goes behind everything.
    spot = below + np.floor(where * np.maximum(length - below, 1)) - 0.5
    own = np.where(lists.item == UNKNOWN, np.inf, np.arange(n))
    kept = own < length - put_in.sum(axis=1, keepdims=True)
    spot = np.minimum(spot, kept.sum(axis=1, keepdims=True) - 0.5)
    key = np.concatenate([np.where(kept, own, np.inf), np.where(put_in, spot, np.inf)], axis=1)
    first = np.argsort(key, axis=1, kind="stable")[:, :n]
    gone = np.isinf(np.take_along_axis(key, first, axis=1))

    def together(one: np.ndarray, other: np.ndarray, nothing: int) -> np.ndarray:
        joined = np.take_along_axis(np.concatenate([one, other], axis=1), first, axis=1)
        return np.where(gone, nothing, joined).astype(one.dtype)

    names = (*lists.source_names, EXPLORATION_SOURCE)
    return Lists(
        item=together(lists.item, fresh.item, UNKNOWN),
        score=together(lists.score, fresh.score, 0),
        source=together(
            lists.source, np.full(fresh.item.shape, len(names) - 1, dtype=np.int8), UNKNOWN
        ),
        source_names=names,
        rule=together(lists.rule, np.full(fresh.item.shape, NO_RULE, dtype=np.int16), NO_RULE),
    )
