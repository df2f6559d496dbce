"""The next basket: what each user orders first after a night, repeated and explored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lakehouse.errors import DataError
from models.core.context import Context
from models.core.interactions import Indices, Interactions, day_number
from models.core.topn import row_of_each, stored_in
from models.evaluation import metrics
from models.evaluation.metrics import Floats
from models.evaluation.primary import PLACES

# What counts: the whole basket, what the user took before, and what they never took.
PARTS: Final = ("all", "repeat", "explore")


def in_first_order(events: Interactions) -> NDArray[np.bool_]:
    """Which of ``events`` belong to the first order of their user in ``events``."""
    first = np.full(events.users, np.iinfo(np.int32).max, dtype=np.int32)
    np.minimum.at(first, events.user, events.order)
    return np.asarray(events.order == first[events.user])


@dataclass(frozen=True, slots=True, eq=False)
class NextBaskets:
    """The next basket of each of ``users``, as the parts of it that count.

    ``parts`` has for each of ``PARTS`` users x items, aligned with ``users``.
    """

    users: Indices
    parts: Mapping[str, sparse.csr_array]

    @classmethod
    def of(cls, context: Context, window: Interactions) -> Self:
        """The first order in ``window`` of each user with events in ``context``.

        Items count that were ``sellable``; users whose first order has none are left out. Raises
        ``DataError`` where no user is left.
        """
        if (window.day < day_number(context.as_of)).any():
            raise ValueError(f"the window holds events before the context's end, {context.as_of}")
        seen = context.interactions.matrix()
        counts = (
            in_first_order(window)
            & context.sellable[window.item]
            & (np.diff(seen.indptr) > 0)[window.user]
        )
        basket = window.select(counts).matrix()
        users = np.flatnonzero(np.diff(basket.indptr)).astype(np.int32)
        if not len(users):
            raise DataError(f"nobody known before {context.as_of} ordered anything after")
        basket, seen = basket[users], seen[users]
        row = row_of_each(basket)
        known = stored_in(seen, row, basket.indices)

        def part(chosen: NDArray[np.bool_]) -> sparse.csr_array:
            ones = np.ones(np.count_nonzero(chosen))
            return sparse.csr_array(
                (ones, (row[chosen], basket.indices[chosen])), shape=basket.shape
            )

        return cls(
            users=users,
            parts={
                "all": part(np.ones(len(row), dtype=np.bool_)),
                "repeat": part(known),
                "explore": part(~known),
            },
        )

    def measure(self, item: Indices) -> dict[str, Floats]:
        """NDCG and recall of lists (users x places, aligned with ``users``) by part.

        One number per user under ``ndcg@10``, ``repeat_recall@10`` and so on, NaN where a user's
        basket has nothing of the part. Places that hold items of the other part count as misses.
        """
        found: dict[str, Floats] = {}
        for name, relevant in self.parts.items():
            counts = metrics.relevant_counts(relevant)
            hits = metrics.hits_of(item[:, :PLACES], relevant)
            prefix = "" if name == "all" else f"{name}_"
            some = np.maximum(counts, 1)
            for measure, values in (
                ("ndcg", metrics.ndcg(hits, some)),
                ("recall", metrics.recall(hits, some)),
            ):
                found[f"{prefix}{measure}@{PLACES}"] = np.where(counts > 0, values, np.nan)
        return found
