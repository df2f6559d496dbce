"""Neighbourhoods from sparse products: what similar users took, what goes with one's own items."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lakehouse.errors import ConfigurationError
from models.core import storage
from models.core.base import BaseRecommender
from models.core.content import scale_columns, unit_rows
from models.core.context import Context
from models.core.interactions import UNKNOWN, Indices
from models.core.topn import Ranked, top_n_sparse

BLOCK_ROWS = 512
BM25_K1, BM25_B = 1.2, 0.75
WEIGHTINGS = ("binary", "log", "bm25")


@dataclass(kw_only=True, eq=False)
class _Neighbours(BaseRecommender):
    """What both kinds share: the weights of pairs, the ``neighbours`` most similar rows, ranking.

    ``weighting`` of a pair: ``binary``; ``log`` for ``log(1 + decayed events)``; ``bm25`` of these
    (Robertson & Zaragoza 2009, k1 1.2, b 0.75), which plays down common items and long histories.
    Similarity is the cosine of weighted rows.
    """

    neighbours: int = 100
    weighting: str = "log"
    half_life_days: float = 120.0
    _left: sparse.csr_array = field(init=False, repr=False)
    _right: sparse.csr_array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.weighting not in WEIGHTINGS:
            raise ConfigurationError(
                f"{self.kind}: weighting {self.weighting!r} is none of {WEIGHTINGS}"
            )

    def _weights(self, context: Context) -> sparse.csr_array:
        """Users x items."""
        events = context.interactions
        if self.weighting == "binary":
            matrix = events.matrix()
            matrix.data[:] = 1
            return matrix
        matrix = events.matrix(events.decay(context.as_of, self.half_life_days))
        matrix.data = np.log1p(matrix.data)
        return bm25(matrix) if self.weighting == "bm25" else matrix

    def _rank(
        self,
        users: Indices,
        n: int,
        allowed: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> Ranked:
        item = np.full((len(users), n), UNKNOWN, dtype=np.int32)
        score = np.zeros((len(users), n), dtype=np.float32)
        # Scores of items that may not be listed would be most of the work where few may.
        right = scale_columns(self._right, allowed.astype(np.float64))
        right.eliminate_zeros()
        for start in range(0, len(users), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            scores = sparse.csr_array(self._left[users[rows]] @ right)
            item[rows], score[rows] = top_n_sparse(
                scores, n, allowed=allowed, exclude=None if exclude is None else exclude[rows]
            )
        return Ranked(item, score)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            **storage.pack_matrix("left", self._left),
            **storage.pack_matrix("right", self._right),
        }

    def _restore(self, arrays: storage.Arrays) -> None:
        self._left = storage.unpack_matrix("left", arrays)
        self._right = storage.unpack_matrix("right", arrays)


@dataclass(kw_only=True, eq=False)
class UserKnn(_Neighbours):
    """The items of the most similar other users, weighted by similarity (Resnick et al. 1994).

    Similarity is between the sets of items taken; ``weighting`` says what a neighbour's item adds.
    """

    kind: ClassVar[str] = "user_knn"

    weighting: str = "binary"

    def _learn(self, context: Context) -> None:
        taken = sparse.csr_array(self.known.seen, dtype=np.float64)
        self._left = nearest(taken, self.neighbours)
        self._right = self._weights(context)


@dataclass(kw_only=True, eq=False)
class ItemKnn(_Neighbours):
    """The items most similar to the user's own by who took them (Deshpande & Karypis 2004).

    Items of fewer than ``minimum_buyers`` users take no part: their similarity is chance.
    """

    kind: ClassVar[str] = "item_knn"

    minimum_buyers: int = 5

    def _learn(self, context: Context) -> None:
        self._left = self._weights(context)
        buyers = np.bincount(self.known.seen.indices, minlength=self.known.seen.shape[1])
        common = scale_columns(self._left, (buyers >= self.minimum_buyers).astype(np.float64))
        common.eliminate_zeros()
        self._right = nearest(sparse.csr_array(common.T.tocsr()), self.neighbours)


def nearest(matrix: sparse.csr_array, neighbours: int) -> sparse.csr_array:
    """Cosine similarity of each row to its ``neighbours`` most similar other ones, rows x rows.

    Ties go to the lower index; rows that share nothing are no neighbours.
    """
    rows = matrix.shape[0]
    unit = unit_rows(matrix)
    transposed = sparse.csr_array(unit.T.tocsr())
    everyone = np.ones(rows, dtype=np.bool_)
    blocks = []
    for start in range(0, rows, BLOCK_ROWS):
        block = unit[start : start + BLOCK_ROWS]
        itself = sparse.eye_array(block.shape[0], rows, k=start, format="csr")
        ranked = top_n_sparse(
            sparse.csr_array(block @ transposed),
            min(neighbours, rows),
            allowed=everyone,
            exclude=itself,
        )
        row, place = np.nonzero(ranked.item != UNKNOWN)
        blocks.append(
            sparse.csr_array(
                (ranked.score[row, place].astype(np.float64), (row, ranked.item[row, place])),
                shape=(block.shape[0], rows),
            )
        )
    return sparse.csr_array(sparse.vstack(blocks, format="csr"))


def bm25(matrix: sparse.csr_array) -> sparse.csr_array:
    """BM25 weights of users x items: users are the documents, items the terms."""
    users = matrix.shape[0]
    length = np.asarray(matrix.sum(axis=1)).ravel()
    relative = length / np.mean(length)
    damp = BM25_K1 * (1 - BM25_B + BM25_B * relative)[matrix.nonzero()[0]]
    buyers = np.bincount(matrix.indices, minlength=matrix.shape[1])
    rarity = np.log(1 + (users - buyers + 0.5) / (buyers + 0.5))
    weights = matrix.data * (BM25_K1 + 1) / (matrix.data + damp) * rarity[matrix.indices]
    return sparse.csr_array((weights, matrix.indices, matrix.indptr), shape=matrix.shape)
