"""Neighbourhoods from sparse products: what similar users took, what goes with one's own items."""

from typing import ClassVar, Literal, TypeAlias

import numpy as np
from pydantic import Field
from scipy import sparse

from models.core.content import scale_columns, unit_rows
from models.core.context import Context
from models.core.interactions import UNKNOWN
from models.core.parameters import CountsHalfLife, Whole
from models.core.registration import register
from models.core.topn import top_n_sparse
from models.recommenders.sparse_product import BLOCK_ROWS, SparseProduct

BM25_K1, BM25_B = 1.2, 0.75

Weighting: TypeAlias = Literal["binary", "log", "bm25"]


class _Neighbours(SparseProduct):
    """What both kinds share: the weights of pairs, the ``neighbours`` most similar rows, ranking.

    ``weighting`` of a pair: ``binary``; ``log`` for ``log(1 + decayed events)``; ``bm25`` of these
    (Robertson & Zaragoza 2009, k1 1.2, b 0.75), which plays down common items and long histories.
    Similarity is the cosine of weighted rows.
    """

    is_heuristic: ClassVar[bool] = True

    class Configuration(SparseProduct.Configuration):
        """Neighbourhoods by who took what."""

        neighbours: Whole = Field(
            default=100, ge=1, le=100_000, description="Most similar ones that count."
        )
        weighting: Weighting = Field(
            default="log",
            description="What an event adds: the same for all, less with each further one, or "
            "less also for common items and long histories.",
        )
        half_life_days: CountsHalfLife = 120.0

    configuration: Configuration

    def _weights(self, context: Context) -> sparse.csr_array:
        """Users x items."""
        events, chosen = context.interactions, self.configuration
        if chosen.weighting == "binary":
            matrix = events.matrix()
            matrix.data[:] = 1
            return matrix
        matrix = events.matrix(events.decay(context.as_of, chosen.half_life_days))
        matrix.data = np.log1p(matrix.data)
        return bm25(matrix) if chosen.weighting == "bm25" else matrix


@register("user_knn")
class UserKnn(_Neighbours):
    """The items of the most similar other users, weighted by similarity (Resnick et al. 1994).

    Similarity is between the sets of items taken; ``weighting`` says what a neighbour's item adds.
    """

    class Configuration(_Neighbours.Configuration):
        """The items of the most similar other users, weighted by similarity."""

        weighting: Weighting = Field(
            default="binary",
            description="What a neighbour's events add: the same for all, less with each further "
            "one, or less also for common items and long histories.",
        )

    configuration: Configuration

    def _learn(self, context: Context) -> None:
        taken = sparse.csr_array(self.known.seen, dtype=np.float64)
        self._left = nearest(taken, self.configuration.neighbours)
        self._right = self._weights(context)


@register("item_knn")
class ItemKnn(_Neighbours):
    """The items most similar to the user's own by who took them (Deshpande & Karypis 2004).

    Items of fewer than ``minimum_buyers`` users take no part: their similarity is chance.
    """

    class Configuration(_Neighbours.Configuration):
        """The items most similar to the user's own by who took them."""

        minimum_buyers: Whole = Field(
            default=5, ge=1, le=1_000_000, description="Users that an item needs to take part."
        )

    configuration: Configuration

    def _learn(self, context: Context) -> None:
        self._left = self._weights(context)
        buyers = np.bincount(self.known.seen.indices, minlength=self.known.seen.shape[1])
        enough = buyers >= self.configuration.minimum_buyers
        common = scale_columns(self._left, enough.astype(np.float64))
        common.eliminate_zeros()
        self._right = nearest(sparse.csr_array(common.T.tocsr()), self.configuration.neighbours)


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
