"""The most popular items, the same for everyone: events decayed by age."""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.core import storage
from models.core.assortment import Assortment
from models.core.base import BaseRecommender
from models.core.context import Context
from models.core.fill_up import fill_up
from models.core.interactions import Indices
from models.core.parameters import POPULARITY_HALF_LIFE_DAYS, PopularityHalfLife
from models.core.registration import register
from models.core.topn import Ranked, nothing_ranked


@register("popularity")
class Popularity(BaseRecommender):
    """Items by ``sum(0.5 ** (age / popularity_half_life_days))`` over their events."""

    is_heuristic: ClassVar[bool] = True

    class Configuration(BaseRecommender.Configuration):
        """What sells lately, the same for everyone."""

        popularity_half_life_days: PopularityHalfLife = POPULARITY_HALF_LIFE_DAYS

    configuration: Configuration
    _popularity: NDArray[np.float64]

    @classmethod
    def as_known_by(cls, other: BaseRecommender, assortment: Assortment) -> Self:
        """The popular items of ``assortment`` for the users of ``other``, without fitting anew."""
        popular = cls()
        popular._known, popular._popularity = other.known, assortment.popularity
        return popular

    def _learn(self, context: Context) -> None:
        half_life = self.configuration.popularity_half_life_days
        self._popularity = Assortment.of(context, half_life).popularity

    def _rank(
        self,
        users: Indices,
        n: int,
        allowed: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> Ranked:
        ranked = nothing_ranked(len(users), n)
        fill_up(ranked, np.where(allowed, self._popularity, 0), exclude)
        return ranked

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"popularity": self._popularity}

    def _restore(self, arrays: storage.Arrays) -> None:
        self._popularity = arrays["popularity"]
