"""Users' baskets as next-basket methods see them: the different items of an order."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.core.interactions import Interactions
from models.core.totals import distinct


@dataclass(frozen=True, slots=True, eq=False)
class Baskets:
    """One entry per basket and item, a user's baskets in order of time.

    ``user``, ``item`` and ``day`` (of one of the basket's events) describe entries, ``position``
    counts the user's baskets from 0; ``count`` has each user's number of baskets, 0 for users
    without.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    day: NDArray[np.int64]
    position: NDArray[np.int64]
    count: NDArray[np.int64]

    @classmethod
    def of(cls, events: Interactions) -> Self:
        """The baskets in ``events``; an item twice in an order counts once."""
        orders = int(np.max(events.order, initial=0)) + 1
        of_user = events.user.astype(np.int64) * orders + events.order
        baskets, first, basket = np.unique(of_user, return_index=True, return_inverse=True)
        entry = distinct(basket * events.items + events.item)
        basket, item = np.divmod(entry, events.items)
        user = baskets[basket] // orders
        count = np.bincount(baskets // orders, minlength=events.users)
        before = np.cumsum(count) - count
        return cls(
            user=user,
            item=item,
            day=events.day[first][basket].astype(np.int64),
            position=basket - before[user],
            count=count,
        )

    def matrix(self, weights: NDArray[np.float64], shape: tuple[int, int]) -> sparse.csr_array:
        """Users x items of ``shape``: the sum of the ``weights`` of each pair's entries."""
        built = sparse.coo_array((weights, (self.user, self.item)), shape=shape).tocsr()
        built.sum_duplicates()
        return built

    def since(self) -> NDArray[np.int64]:
        """The user's baskets after that of each entry."""
        return self.count[self.user] - 1 - self.position

    def sizes(self) -> NDArray[np.int64]:
        """The number of items in the basket of each entry."""
        before = np.cumsum(self.count) - self.count
        basket = before[self.user] + self.position
        return np.asarray(np.bincount(basket)[basket], dtype=np.int64)
