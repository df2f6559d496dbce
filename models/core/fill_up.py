"""Popular items for the places that nobody filled."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.core.interactions import UNKNOWN
from models.core.topn import Ranked

BLOCK_ROWS = 1024


def fill_up(
    ranked: Ranked, popularity: NDArray[np.float64], exclude: sparse.csr_array | None
) -> None:
    """Fill the ``UNKNOWN`` ends of lists with items of positive ``popularity`` not yet in them.

    Ties go to the lower item. The stored entries of ``exclude`` (users x items) are left out. The
    arrays of ``ranked`` are written to.
    """
    item, score = ranked
    short = np.flatnonzero((item == UNKNOWN).any(axis=1))
    candidates = np.flatnonzero(popularity > 0)
    popular = candidates[np.argsort(-popularity[candidates], kind="stable")]
    if not len(short) or not len(popular):
        return
    place = np.full(len(popularity), len(popular))
    place[popular] = np.arange(len(popular))
    for start in range(0, len(short), BLOCK_ROWS):
        rows = short[start : start + BLOCK_ROWS]
        listed_row, column = np.nonzero(item[rows] != UNKNOWN)
        taken_row, taken_item = listed_row, item[rows][listed_row, column]
        if exclude is not None:
            hidden = exclude[rows]
            taken_row = np.concatenate(
                [taken_row, np.repeat(np.arange(len(rows)), np.diff(hidden.indptr))]
            )
            taken_item = np.concatenate([taken_item, hidden.indices])
        width = min(len(popular), item.shape[1] + int(np.max(np.bincount(taken_row, minlength=1))))
        free = np.ones((len(rows), width), dtype=np.bool_)
        near = place[taken_item] < width
        free[taken_row[near], place[taken_item][near]] = False
        listed = np.bincount(listed_row, minlength=len(rows))
        free_row, choice = np.nonzero(free)
        target = listed[free_row] + np.arange(len(free_row)) - np.searchsorted(free_row, free_row)
        fits = target < item.shape[1]
        into = rows[free_row[fits]], target[fits]
        item[into] = popular[choice[fits]]
        score[into] = popularity[popular[choice[fits]]]
