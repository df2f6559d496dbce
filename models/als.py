"""Implicit alternating least squares, ranked by our own top-N."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from models import storage
from models.base import BaseRecommender
from models.context import Context
from models.interactions import Indices
from models.topn import Ranked, top_n_dense

Floats = NDArray[np.float32]


@dataclass(kw_only=True, eq=False)
class ImplicitAls(BaseRecommender):
    """Weighted matrix factorisation (Hu, Koren & Volinsky 2008) by the library `implicit`.

    A pair's confidence is ``1 + alpha * log(1 + decayed events)``. Users without events and items
    never sold have no vector and are not ranked. More than one of ``threads`` gives an equal model
    only up to rounding.
    """

    kind: ClassVar[str] = "implicit_als"

    factors: int = 64
    alpha: float = 10.0
    regularisation: float = 10.0
    iterations: int = 15
    half_life_days: float = 120.0
    seed: int = 42
    threads: int = 1
    _user_vectors: Floats = field(init=False, repr=False)
    _item_vectors: Floats = field(init=False, repr=False)

    def _learn(self, context: Context) -> None:
        events = context.interactions
        matrix = events.matrix(events.decay(context.as_of, self.half_life_days))
        users, items = np.unique(events.user), np.unique(events.item)
        confidence = sparse.csr_matrix(matrix[users][:, items], dtype=np.float32)
        confidence.data = 1 + self.alpha * np.log1p(confidence.data)
        # The library's own threads and those of BLAS below them would fight for the cores.
        with threadpool_limits(limits=1, user_api="blas"):
            model = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularisation,
                iterations=self.iterations,
                num_threads=self.threads,
                random_state=self.seed,
            )
            model.fit(confidence, show_progress=False)
        self._user_vectors = _spread(model.user_factors, users, events.users)
        self._item_vectors = _spread(model.item_factors, items, events.items)

    def _rank(
        self,
        users: Indices,
        n: int,
        allowed: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> Ranked:
        return top_n_dense(
            self._user_vectors[users],
            self._item_vectors,
            n,
            allowed=allowed & self._item_vectors.any(axis=1),
            exclude=exclude,
        )

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"user_vectors": self._user_vectors, "item_vectors": self._item_vectors}

    def _restore(self, arrays: storage.Arrays) -> None:
        self._user_vectors = arrays["user_vectors"]
        self._item_vectors = arrays["item_vectors"]


def _spread(vectors: Floats, places: Indices, rows: int) -> Floats:
    spread = np.zeros((rows, vectors.shape[1]), dtype=np.float32)
    spread[places] = vectors
    return spread
