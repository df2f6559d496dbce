"""Methods that learn a vector for each user and item, ranked by our own top-N."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.core import storage
from models.core.base import BaseRecommender
from models.core.interactions import UNKNOWN, Indices
from models.core.topn import Ranked, top_n_dense

Floats = NDArray[np.float32]


class Factors(BaseRecommender):
    """The score of a pair is the product of its vectors; who has none is not ranked."""

    _user_vectors: Floats
    _item_vectors: Floats
    # Vectors, and which of them are not zero.
    _with_vector: tuple[Floats, NDArray[np.bool_]] | None = None

    def _rank(
        self,
        users: Indices,
        n: int,
        allowed: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> Ranked:
        vectors = self._user_vectors[users]
        ranked = top_n_dense(
            vectors,
            self._item_vectors,
            n,
            allowed=allowed & self._have_vectors(),
            exclude=exclude,
        )
        ranked.item[~vectors.any(axis=1)] = UNKNOWN
        return ranked

    def _have_vectors(self) -> NDArray[np.bool_]:
        """Which items have a vector, looked up once; it takes as long as a small ranking."""
        if self._with_vector is None or self._with_vector[0] is not self._item_vectors:
            self._with_vector = self._item_vectors, self._item_vectors.any(axis=1)
        return self._with_vector[1]

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"user_vectors": self._user_vectors, "item_vectors": self._item_vectors}

    def _restore(self, arrays: storage.Arrays) -> None:
        self._user_vectors = arrays["user_vectors"]
        self._item_vectors = arrays["item_vectors"]


def spread(vectors: Floats, places: Indices, rows: int) -> Floats:
    """``vectors`` as the rows ``places`` of a matrix of ``rows``, zero elsewhere."""
    everyone = np.zeros((rows, vectors.shape[1]), dtype=np.float32)
    everyone[places] = vectors
    return everyone
