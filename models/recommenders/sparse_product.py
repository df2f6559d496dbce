"""Methods whose scores are the product of two sparse matrices, ranked by blocks of users."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.core import storage
from models.core.base import BaseRecommender
from models.core.content import scale_columns
from models.core.interactions import Indices
from models.core.topn import Ranked, nothing_ranked, top_n_sparse

BLOCK_ROWS = 512


class SparseProduct(BaseRecommender):
    """Scores are ``left @ right``: users x anything, anything x items.

    Subclasses learn the two. Memory: the scores of a block of 512 users.
    """

    _left: sparse.csr_array
    _right: sparse.csr_array

    def _rank(
        self,
        users: Indices,
        n: int,
        allowed: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> Ranked:
        result = nothing_ranked(len(users), n)
        # Scores of items that may not be listed would be most of the work where few may.
        right = scale_columns(self._right, allowed.astype(np.float64))
        right.eliminate_zeros()
        for start in range(0, len(users), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            scores = sparse.csr_array(self._left[users[rows]] @ right)
            result.item[rows], result.score[rows] = top_n_sparse(
                scores, n, allowed=allowed, exclude=None if exclude is None else exclude[rows]
            )
        return result

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            **storage.pack_matrix("left", self._left),
            **storage.pack_matrix("right", self._right),
        }

    def _restore(self, arrays: storage.Arrays) -> None:
        self._left = storage.unpack_matrix("left", arrays)
        self._right = storage.unpack_matrix("right", arrays)
