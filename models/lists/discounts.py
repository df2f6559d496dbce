"""What a user was shown and did not click gives way; what they dismissed goes.

An item at the place ``p`` of a ranking goes to where ``p * (1 + discount)`` would stand: its
reciprocal rank is divided by ``1 + discount``. Ranks are discounted, as scores of different methods
have no common scale (after Lee et al., "Modeling impression discounting in large-scale recommender
systems", KDD 2014).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.core.interactions import UNKNOWN, Indices
from models.core.lists import Lists
from models.core.reactions import Reactions
from models.core.topn import rows_of
from models.lists.rules.select import taken


def discounts(reactions: Reactions, users: Indices, *, new_only: bool) -> sparse.csr_array:
    """The discount of each item by user, infinite for what must not be listed; else not stored.

    What was ignored is discounted only where all is to be new to the user.
    """
    out = reactions.hidden(users, new_only=new_only)
    out.data[:] = np.inf
    return out + rows_of(reactions.ignored, users) if new_only else out


def discounted(
    ranked: Lists, discounts: sparse.csr_array, size: int
) -> tuple[Lists, NDArray[np.bool_]]:
    """The first ``size`` places of rankings after their discounts, which are of the same users.

    Of equals, that which stood before comes first. With them, which rankings were too short: an
    item beyond them might stand in the list.
    """
    width = ranked.item.shape[1]
    place = np.arange(1, width + 1) * (1 + _of_places(discounts, ranked.item))
    place[ranked.item == UNKNOWN] = np.inf
    first = np.argsort(place, axis=1, kind="stable")[:, :size]
    at = np.take_along_axis(place, first, axis=1)
    is_short = (ranked.item[:, -1] != UNKNOWN) & (at[:, -1] > width + 1)
    return taken(ranked, np.where(np.isinf(at), -1, first)), is_short


def _of_places(discounts: sparse.csr_array, item: Indices) -> NDArray[np.float64]:
    """The discount of the item at each place, 0 where there is none."""
    rows = np.repeat(np.arange(len(item)), item.shape[1])
    columns = np.where(item == UNKNOWN, 0, item).ravel()
    return np.asarray(discounts[rows, columns], dtype=np.float64).reshape(item.shape)
