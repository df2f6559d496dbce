"""The most popular items, the same for everyone: events decayed by age."""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.core import storage
from models.core.base import BaseRecommender
from models.core.context import Context
from models.core.interactions import UNKNOWN, Indices
from models.core.registration import register
from models.core.topn import Ranked


@register("popularity")
class Popularity(BaseRecommender):
    """Items by ``sum(0.5 ** (age / popularity_half_life_days))`` over their events.

    This is the fallback of every model, so there is nothing to add to it.
    """

    is_heuristic: ClassVar[bool] = True

    class Configuration(BaseRecommender.Configuration):
        """What sells lately, the same for everyone."""

    configuration: Configuration

    @classmethod
    def as_known_by(cls, other: BaseRecommender) -> Self:
        """The popular items of the night that ``other`` was fitted on, without fitting anew."""
        popular = cls(popularity_half_life_days=other.configuration.popularity_half_life_days)
        popular._known = other.known
        return popular

    def _learn(self, context: Context) -> None:
        del context

    def _rank(
        self,
        users: Indices,
        n: int,
        allowed: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> Ranked:
        del allowed, exclude
        return Ranked(
            np.full((len(users), n), UNKNOWN, dtype=np.int32),
            np.zeros((len(users), n), dtype=np.float32),
        )

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {}

    def _restore(self, arrays: storage.Arrays) -> None:
        del arrays
