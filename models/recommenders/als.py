"""Implicit alternating least squares on one machine."""

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from pydantic import Field
from scipy import sparse
from threadpoolctl import threadpool_limits

from models.core.context import Context
from models.core.factors import Factors, spread
from models.core.parameters import CountsHalfLife, Real, Seed, Threads, Whole
from models.core.registration import register


@register("implicit_als")
class ImplicitAls(Factors):
    """Weighted matrix factorisation (Hu, Koren & Volinsky 2008) by the library `implicit`.

    A pair's confidence is ``1 + alpha * log(1 + decayed events)``. Users without events and items
    never sold have no vector and are not ranked. More than one of ``threads`` gives an equal model
    only up to rounding.
    """

    class Configuration(Factors.Configuration):
        """Implicit alternating least squares on one machine (Hu, Koren & Volinsky 2008)."""

        factors: Whole = Field(default=64, ge=1, le=4096, description="Dimensions of vectors.")
        alpha: Real = Field(
            default=10.0, ge=0, le=1_000_000, description="What events add to a pair's confidence."
        )
        regularisation: Real = Field(
            default=10.0, ge=0, le=1_000_000, description="Draws vectors towards 0."
        )
        iterations: Whole = Field(
            default=15, ge=1, le=10_000, description="Passes over users and items."
        )
        half_life_days: CountsHalfLife = 120.0
        seed: Seed = 42
        threads: Threads = 1

    configuration: Configuration

    @property
    def is_deterministic(self) -> bool:
        """With more than one thread sums are rounded in another order each time."""
        return self.configuration.threads == 1

    def _learn(self, context: Context) -> None:
        events, chosen = context.interactions, self.configuration
        matrix = events.matrix(events.decay(context.as_of, chosen.half_life_days))
        users, items = np.unique(events.user), np.unique(events.item)
        confidence = sparse.csr_matrix(matrix[users][:, items], dtype=np.float32)
        confidence.data = 1 + chosen.alpha * np.log1p(confidence.data)
        # The library's own threads and those of BLAS below them would fight for the cores.
        with threadpool_limits(limits=1, user_api="blas"):
            model = AlternatingLeastSquares(
                factors=chosen.factors,
                regularization=chosen.regularisation,
                iterations=chosen.iterations,
                num_threads=chosen.threads,
                random_state=chosen.seed,
            )
            model.fit(confidence, show_progress=False)
        self._user_vectors = spread(model.user_factors, users, events.users)
        self._item_vectors = spread(model.item_factors, items, events.items)
