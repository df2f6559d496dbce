"""Implicit alternating least squares on one machine."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from models.core.context import Context
from models.core.factors import Factors, spread


@dataclass(kw_only=True, eq=False)
class ImplicitAls(Factors):
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
        self._user_vectors = spread(model.user_factors, users, events.users)
        self._item_vectors = spread(model.item_factors, items, events.items)
