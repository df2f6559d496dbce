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


def needed(discounts: sparse.csr_array) -> NDArray[np.int64]:
    """How much longer than its list each user's ranking must be: no item beyond can move up."""
    return np.asarray(np.diff(discounts.indptr), dtype=np.int64)


def discounted(ranked: Lists, discounts: sparse.csr_array, size: int) -> Lists:
    """The first ``size`` places of rankings after their discounts, which are of the same users.

    Of equals, that which stood before comes first.
    """
    places = np.arange(1, ranked.item.shape[1] + 1)
    place = places * (1 + _of_places(discounts, ranked.item))
    place[ranked.item == UNKNOWN] = np.inf
    first = np.argsort(place, axis=1, kind="stable")[:, :size]
    is_out = np.isinf(np.take_along_axis(place, first, axis=1))
    return taken(ranked, np.where(is_out, -1, first))


def _of_places(discounts: sparse.csr_array, item: Indices) -> NDArray[np.float64]:
    """The discount of the item at each place, 0 where there is none."""
    rows = np.repeat(np.arange(len(item)), item.shape[1])
    columns = np.where(item == UNKNOWN, 0, item).ravel()
    return np.asarray(discounts[rows, columns], dtype=np.float64).reshape(item.shape)
