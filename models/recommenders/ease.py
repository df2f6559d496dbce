"""EASE: a linear model from items to items with a closed form."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import linalg, sparse

from models.core import storage
from models.core.base import BaseRecommender
from models.core.context import Context
from models.core.interactions import UNKNOWN, Indices
from models.core.parameters import Real, Whole
from models.core.registration import register
from models.core.topn import Ranked, top_n_dense

Floats = NDArray[np.float32]


@register("ease")
class Ease(BaseRecommender):
    """Steck 2019: ``B = -P / diag(P)`` with zero diagonal and ``P = (X'X + regularisation I)^-1``.

    X is binary, over the ``catalogue`` items of most buyers: time grows with the cube of their
    number (3,000 items: a few seconds), memory with the square. Other items are never listed.
    """

    class Configuration(BaseRecommender.Configuration):
        """A linear model from items to items (Steck 2019)."""

        catalogue: Whole = Field(
            default=3000,
            ge=1,
            le=100_000,
            description="Items of most buyers that take part; time grows with their cube.",
        )
        regularisation: Real = Field(
            default=500.0, gt=0, le=1_000_000_000, description="Draws weights towards 0."
        )

    configuration: Configuration
    _chosen: Indices
    _weights: Floats

    def _learn(self, context: Context) -> None:
        del context
        buyers = np.bincount(self.known.seen.indices, minlength=self.known.seen.shape[1])
        most = np.argsort(-buyers, kind="stable")[: self.configuration.catalogue]
        self._chosen = np.sort(most[buyers[most] > 0]).astype(np.int32)
        taken = sparse.csr_array(self.known.seen[:, self._chosen], dtype=np.float64)
        gram = (taken.T @ taken).toarray()
        gram[np.diag_indices_from(gram)] += self.configuration.regularisation
        inverse = linalg.inv(gram, overwrite_a=True, assume_a="pos")
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0)
        self._weights = weights.astype(np.float32)

    def fold_in(self, histories: sparse.csr_array, n: int) -> Ranked:
        """N sellable items for each row of ``histories`` (people x items), none of its own.

        For people whom the model has not seen: their stored entries are all that is known of them,
        and nothing is learnt anew.
        """
        return self._best(histories, n, self.known.sellable, histories)

    def _rank(
        self,
        users: Indices,
        n: int,
        allowed: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> Ranked:
        return self._best(self.known.seen[users], n, allowed, exclude)

    def _best(
        self,
        histories: sparse.csr_array,
        n: int,
        allowed: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> Ranked:
        taken = sparse.csr_array(histories[:, self._chosen], dtype=np.float32)
        ranked = top_n_dense(
            taken,
            self._weights.T,
            n,
            allowed=allowed[self._chosen],
            exclude=None if exclude is None else exclude[:, self._chosen],
        )
        item = np.where(ranked.item == UNKNOWN, UNKNOWN, self._chosen[ranked.item])
        item[np.diff(taken.indptr) == 0] = UNKNOWN
        return Ranked(item.astype(np.int32), ranked.score)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"chosen": self._chosen, "weights": self._weights}

    def _restore(self, arrays: storage.Arrays) -> None:
        self._chosen, self._weights = arrays["chosen"], arrays["weights"]
