"""What a user was shown and did not click gives way; what they dismissed goes.

An item at the place ``p`` of a ranking goes to where ``p * (1 + discount)`` would stand: its
reciprocal rank is divided by ``1 + discount``. Ranks are discounted, as scores of different methods
have no common scale (after Lee et al., "Modeling impression discounting in large-scale recommender
systems", KDD 2014).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lakehouse.lists import Surface
from models.core.interactions import UNKNOWN, Ids, Indices, index_of
from models.core.lists import Lists
from models.core.reactions import Reactions
from models.core.topn import rows_of
from models.lists.rules.select import taken


@dataclass(frozen=True, slots=True, eq=False)
class Reacting:
    """The reactions of those whom lists are for, by their places in the vocabulary of a ranking.

    ``row`` is each one's row in ``reactions``, ``UNKNOWN`` without one; its last entry is for who
    is ``UNKNOWN`` (-1) there. With ``new_only`` lists are of what is new to people.
    """

    reactions: Reactions
    row: Indices
    new_only: bool

    @classmethod
    def of(cls, reactions: Reactions | None, surface: Surface, user_ids: Ids) -> Self | None:
        """``None`` where nobody has reacted, or the surface's lists are not of people."""
        if reactions is None or surface.keyed_by != "user":
            return None
        row = np.append(index_of(reactions.user_ids, user_ids), np.int32(UNKNOWN))
        return cls(reactions, row, surface.filter_seen)

    def bought(self, users: Indices) -> sparse.csr_array:
        """Days since each user's last purchase of an item by way of a list."""
        return rows_of(self.reactions.bought, self.row[users])

    def hidden(self, users: Indices) -> sparse.csr_array:
        """Stored where an item must not be listed: dismissed, or bought where all is to be new."""
        dismissed = _all(rows_of(self.reactions.dismissed, self.row[users]))
        return dismissed + _all(self.bought(users)) if self.new_only else dismissed

    def discounts(self, users: Indices) -> sparse.csr_array:
        """The discount of each item by user, infinite for what must not be listed.

        What was ignored is discounted only where all is to be new to the user.
        """
        out = self.hidden(users)
        out.data[:] = np.inf
        return out + rows_of(self.reactions.ignored, self.row[users]) if self.new_only else out


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


def _all(matrix: sparse.csr_array) -> sparse.csr_array:
    """1 wherever something is stored."""
    ones = np.ones(len(matrix.data), dtype=np.float32)
    return sparse.csr_array((ones, matrix.indices, matrix.indptr), shape=matrix.shape)
