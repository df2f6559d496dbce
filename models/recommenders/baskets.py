"""Users' baskets as next-basket methods see them: all that a user took on one day."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.core.interactions import Interactions
from models.core.totals import distinct, group_starts


@dataclass(frozen=True, slots=True, eq=False)
class Baskets:
    """One entry per basket and item, a user's baskets in order of time.

    ``user``, ``item`` and ``day`` describe entries, ``position`` counts the user's baskets from 0;
    ``count`` has each user's number of baskets, 0 for users without.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    day: NDArray[np.int64]
    position: NDArray[np.int64]
    count: NDArray[np.int64]

    @classmethod
    def of(cls, events: Interactions) -> Self:
        """The baskets in ``events``; an item twice on a day counts once."""
        days = int(np.max(events.day, initial=0)) + 1
        visit = events.user.astype(np.int64) * days + events.day
        entry = distinct(visit * events.items + events.item)
        visit, item = np.divmod(entry, events.items)
        visits = visit[group_starts(visit)]
        place = np.searchsorted(visits, visit)
        owner = visits // days
        count = np.bincount(owner, minlength=events.users)
        before = np.cumsum(count) - count
        user = visit // days
        return cls(
            user=user,
            item=item,
            day=visit % days,
            position=place - before[user],
            count=count,
        )

    def matrix(self, weights: NDArray[np.float64], shape: tuple[int, int]) -> sparse.csr_array:
        """Users x items of ``shape``: the sum of the ``weights`` of each pair's entries."""
        built = sparse.coo_array((weights, (self.user, self.item)), shape=shape).tocsr()
        built.sum_duplicates()
        return built
