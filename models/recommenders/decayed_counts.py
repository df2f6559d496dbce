"""What the user took often and lately: the heuristic to beat where people buy again."""

from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.core import storage
from models.core.base import BaseRecommender
from models.core.context import Context
from models.core.interactions import Indices
from models.core.parameters import CountsHalfLife, Range
from models.core.registration import register
from models.core.topn import Ranked, top_n_sparse


@register("decayed_counts")
class DecayedCounts(BaseRecommender):
    """The user's own items by ``sum(0.5 ** (age / half_life_days))`` over the pair's events.

    Nothing is new in them, so that with ``filter_seen`` nothing is ranked.
    """

    is_heuristic: ClassVar[bool] = True

    class Configuration(BaseRecommender.Configuration):
        """What the user took often and lately."""

        half_life_days: Annotated[CountsHalfLife, Range(15.0, 365.0, log=True)] = 120.0

    configuration: Configuration
    _scores: NDArray[np.float64]

    def _learn(self, context: Context) -> None:
        events = context.interactions
        # The pairs are those of `known.seen`, in the same order.
        decay = events.decay(context.as_of, self.configuration.half_life_days)
        self._scores = events.matrix(decay).data

    def _rank(
        self,
        users: Indices,
        n: int,
        allowed: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> Ranked:
        seen = self.known.seen
        scores = sparse.csr_array((self._scores, seen.indices, seen.indptr), shape=seen.shape)
        return top_n_sparse(scores[users], n, allowed=allowed, exclude=exclude)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"scores": self._scores}

    def _restore(self, arrays: storage.Arrays) -> None:
        self._scores = arrays["scores"]
