"""What sells lately in the categories that the user takes from."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from models.core import storage
from models.core.base import BaseRecommender
from models.core.context import Context
from models.core.interactions import Indices
from models.core.parameters import MAX_DAYS, CountsHalfLife, Real, Whole
from models.core.registration import register
from models.core.topn import Ranked, top_n_sparse

BLOCK_ROWS = 512


@register("category_popularity")
class CategoryPopularity(BaseRecommender):
    """The user's decayed events in a category times the item's share of it.

    ``column`` of the item features is the category; events decay with ``half_life_days``, for the
    items' shares with ``share_half_life_days``. Only the ``items_each`` first items of a category
    take part. Without the column nothing is listed but popularity's.
    """

    class Configuration(BaseRecommender.Configuration):
        """What sells lately in the categories that the user takes from."""

        column: str = Field(
            default="product_type",
            min_length=1,
            description="What of the catalogue is the category, such as `category`.",
        )
        half_life_days: CountsHalfLife = 120.0
        share_half_life_days: Real = Field(
            default=30.0,
            gt=0,
            le=MAX_DAYS,
            description="Days after which an event counts half in its item's share.",
        )
        items_each: Whole = Field(
            default=30, ge=1, le=100_000, description="First items of a category that take part."
        )

    configuration: Configuration
    _taste: sparse.csr_array
    _share: sparse.csr_array

    def _learn(self, context: Context) -> None:
        events, as_of, chosen = context.interactions, context.as_of, self.configuration
        if chosen.column in context.item_features:
            codes, found = pd.factorize(
                context.item_features[chosen.column].astype(object), sort=True
            )
            of_item, size = codes.astype(np.int64), len(found)
        else:
            of_item, size = np.full(events.items, -1), 0
        in_category = of_item[events.item] >= 0
        category = of_item[events.item][in_category]
        self._taste = sparse.csr_array(
            sparse.coo_array(
                (
                    events.decay(as_of, chosen.half_life_days)[in_category],
                    (events.user[in_category], category),
                ),
                shape=(events.users, size),
            ).tocsr()
        )
        sold = np.bincount(
            events.item,
            weights=events.decay(as_of, chosen.share_half_life_days),
            minlength=events.items,
        )
        total = np.bincount(of_item[of_item >= 0], sold[of_item >= 0], minlength=size)
        items = np.flatnonzero((of_item >= 0) & (sold > 0) & context.sellable)
        order = items[np.lexsort((items, -sold[items], of_item[items]))]
        rank = np.arange(len(order)) - np.searchsorted(of_item[order], of_item[order])
        first = order[rank < chosen.items_each]
        self._share = sparse.csr_array(
            (sold[first] / total[of_item[first]], (of_item[first], first)),
            shape=(size, events.items),
        )

    def _rank(
        self,
        users: Indices,
        n: int,
        allowed: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> Ranked:
        parts = [
            top_n_sparse(
                sparse.csr_array(self._taste[users[start : start + BLOCK_ROWS]] @ self._share),
                n,
                allowed=allowed,
                exclude=None if exclude is None else exclude[start : start + BLOCK_ROWS],
            )
            for start in range(0, max(len(users), 1), BLOCK_ROWS)
        ]
        return Ranked(
            np.concatenate([part.item for part in parts]),
            np.concatenate([part.score for part in parts]),
        )

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            **storage.pack_matrix("taste", self._taste),
            **storage.pack_matrix("share", self._share),
        }

    def _restore(self, arrays: storage.Arrays) -> None:
        self._taste = storage.unpack_matrix("taste", arrays)
        self._share = storage.unpack_matrix("share", arrays)
