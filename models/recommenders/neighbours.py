"""Users' nearest users by what they weigh items, in blocks of bounded memory."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.core.content import scale_rows
from models.core.interactions import UNKNOWN
from models.core.topn import top_n_sparse

# Similarities that are in memory at once.
BLOCK_CELLS = 4_000_000


def nearest_by_distance(weights: sparse.csr_array, neighbours: int) -> sparse.csr_array:
    """Row u stores a 1 for each of the ``neighbours`` other rows of least Euclidean distance.

    The result is rows x rows. Empty rows have no neighbours and are nobody's. Ties go to the lower
    index.
    """
    known = np.diff(weights.indptr) > 0
    everybody = np.flatnonzero(known)
    half_square = _squares(weights)[everybody] / 2
    parts = []
    for rows in _blocks(weights.shape[0]):
        some = np.flatnonzero(known[rows])
        # |u - v|^2 = |u|^2 - 2 (u v - |v|^2 / 2), so that the greatest bracket is the nearest.
        closeness = (weights[rows][some] @ weights[everybody].T).toarray() - half_square
        itself = sparse.csr_array(
            (
                np.ones(len(some)),
                (np.arange(len(some)), np.searchsorted(everybody, some + rows.start)),
            ),
            shape=closeness.shape,
        )
        ranked = top_n_sparse(
            _all_stored(closeness),
            min(neighbours, len(everybody)),
            allowed=np.ones(len(everybody), dtype=np.bool_),
            exclude=itself,
        )
        row, place = np.nonzero(ranked.item != UNKNOWN)
        parts.append(
            sparse.csr_array(
                (np.ones(len(row)), (some[row], everybody[ranked.item[row, place]])),
                shape=(rows.stop - rows.start, weights.shape[0]),
            )
        )
    return sparse.csr_array(sparse.vstack(parts, format="csr"))


def nearest_by_cosine(
    weights: sparse.csr_array, neighbours: int, asymmetry: float
) -> sparse.csr_array:
    """The asymmetric cosine of each row and its ``neighbours`` most similar ones, rows x rows.

    ``u v / (|u|^2 ** asymmetry * |v|^2 ** (1 - asymmetry))``; a row is its own neighbour, rows that
    share nothing are none. Ties go to the lower index.
    """
    square = _squares(weights)
    inverse = np.divide(1.0, square, out=np.zeros_like(square), where=square > 0)
    left = scale_rows(weights, inverse**asymmetry)
    right = scale_rows(weights, inverse ** (1 - asymmetry)).T.tocsr()
    everybody = np.ones(weights.shape[0], dtype=np.bool_)
    parts = []
    for rows in _blocks(weights.shape[0]):
        similar = sparse.csr_array(left[rows] @ right)
        ranked = top_n_sparse(similar, min(neighbours, weights.shape[0]), allowed=everybody)
        row, place = np.nonzero(ranked.item != UNKNOWN)
        parts.append(
            sparse.csr_array(
                (ranked.score[row, place].astype(np.float64), (row, ranked.item[row, place])),
                shape=similar.shape,
            )
        )
    return sparse.csr_array(sparse.vstack(parts, format="csr"))


def _blocks(rows: int) -> Iterator[slice]:
    size = max(BLOCK_CELLS // rows, 1)
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def _squares(weights: sparse.csr_array) -> NDArray[np.float64]:
    """The square of each row's length."""
    return np.asarray(weights.multiply(weights).sum(axis=1), dtype=np.float64).ravel()


def _all_stored(values: NDArray[np.float64]) -> sparse.csr_array:
    """``values`` with every entry stored, zeros too."""
    rows, columns = values.shape
    return sparse.csr_array(
        (
            values.ravel(),
            np.tile(np.arange(columns, dtype=np.int32), rows),
            np.arange(rows + 1) * columns,
        ),
        shape=values.shape,
    )
