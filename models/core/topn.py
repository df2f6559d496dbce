"""Exact top-N by blocks of users, with masks and ties broken by rule.

Order is by higher score, then by lower item index. Rows with fewer than N candidates end in
``UNKNOWN`` with score 0. Only finite scores can win.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.core.interactions import UNKNOWN, Indices

BLOCK_ROWS = 256
GROUP = 64
CROWD = 32


class Ranked(NamedTuple):
    """Rows x N: item indices, best first, and their scores."""

    item: Indices
    score: NDArray[np.float32]


def top_n_dense(
    user_vectors: NDArray[np.float32] | sparse.csr_array,
    item_vectors: NDArray[np.float32],
    n: int,
    *,
    allowed: NDArray[np.bool_],
    exclude: sparse.csr_array | None = None,
) -> Ranked:
    """The N items of the highest dot product with each row of ``user_vectors`` (float32).

    ``allowed`` masks items for all users, the stored entries of ``exclude`` (users x items) for
    each one. Memory: one block of 256 users x allowed items.
    """
    candidates = np.flatnonzero(allowed).astype(np.int32)
    items = np.ascontiguousarray(item_vectors[candidates], dtype=np.float32)
    hidden = None if exclude is None else exclude[:, candidates]
    result = nothing_ranked(user_vectors.shape[0], n)
    finite = _surely_finite(user_vectors, items)
    # Fresh memory for each block would cost as much as the product.
    buffer = np.empty((min(BLOCK_ROWS, user_vectors.shape[0]), len(items)), dtype=np.float32)
    for start in range(0, user_vectors.shape[0], BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        block = _product(user_vectors[rows], items, buffer)
        if not finite:
            block[~np.isfinite(block)] = -np.inf
        if hidden is not None:
            hidden_here = hidden[rows]
            block[row_of_each(hidden_here), hidden_here.indices] = -np.inf
        _select_dense(block, n, result.item[rows], result.score[rows])
    return _named(result, candidates)


def top_n_sparse(
    scores: sparse.csr_array,
    n: int,
    *,
    allowed: NDArray[np.bool_],
    exclude: sparse.csr_array | None = None,
) -> Ranked:
    """The N stored entries of the highest score in each row of ``scores`` (users x items).

    Items that are not stored are no candidates; masks as in ``top_n_dense``.
    """
    result = nothing_ranked(scores.shape[0], n)
    open_items = allowed.copy()
    for row in range(scores.shape[0]):
        stored = slice(scores.indptr[row], scores.indptr[row + 1])
        item, values = scores.indices[stored], scores.data[stored]
        if exclude is not None:
            hidden = exclude.indices[exclude.indptr[row] : exclude.indptr[row + 1]]
            open_items[hidden] = False
        keep = np.flatnonzero(open_items[item] & np.isfinite(values))
        if exclude is not None:
            open_items[hidden] = allowed[hidden]
        if len(keep) > n:
            least = np.partition(values[keep], len(keep) - n)[len(keep) - n]
            keep = keep[values[keep] >= least]
        best = keep[np.lexsort((item[keep], -values[keep]))[:n]]
        result.item[row, : len(best)] = item[best]
        result.score[row, : len(best)] = values[best]
    return result


def _product(
    user_vectors: NDArray[np.float32] | sparse.csr_array,
    items: NDArray[np.float32],
    buffer: NDArray[np.float32],
) -> NDArray[np.float32]:
    """All dot products, in ``buffer`` where the library can write into one."""
    if isinstance(user_vectors, np.ndarray) and user_vectors.dtype == buffer.dtype:
        return np.matmul(user_vectors, items.T, out=buffer[: len(user_vectors)])
    product: NDArray[np.float32] = user_vectors @ items.T
    return product


def _surely_finite(
    user_vectors: NDArray[np.float32] | sparse.csr_array, items: NDArray[np.float32]
) -> bool:
    """Whether no sum of products can be NaN, infinite or overflow on its way."""
    users = user_vectors if isinstance(user_vectors, np.ndarray) else user_vectors.data
    bound = items.shape[1] * _largest(users) * _largest(items)
    return bool(bound < np.finfo(np.float32).max / 2)


def _largest(values: NDArray[Any]) -> float:
    """The greatest absolute value; NaN where one is."""
    return max(float(np.max(values, initial=0)), -float(np.min(values, initial=0)))


def nothing_ranked(rows: int, n: int) -> Ranked:
    """Empty places for ``rows`` lists of ``n``."""
    return Ranked(
        np.full((rows, n), UNKNOWN, dtype=np.int32), np.zeros((rows, n), dtype=np.float32)
    )


def _named(ranked: Ranked, candidates: Indices) -> Ranked:
    if not len(candidates):
        return ranked
    return Ranked(
        np.where(ranked.item == UNKNOWN, UNKNOWN, candidates[ranked.item]).astype(np.int32),
        ranked.score,
    )


def rows_of(matrix: sparse.csr_array, rows: Indices) -> sparse.csr_array:
    """Rows of ``matrix`` in the order of ``rows``; an empty one for ``UNKNOWN``."""
    known = rows != UNKNOWN
    taken = matrix[rows[known]]
    lengths = np.zeros(len(rows), dtype=taken.indptr.dtype)
    lengths[known] = np.diff(taken.indptr)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return sparse.csr_array((taken.data, taken.indices, indptr), shape=(len(rows), matrix.shape[1]))


def row_of_each(matrix: sparse.csr_array) -> NDArray[np.int64]:
    """The row of each stored entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def stored_in(
    matrix: sparse.csr_array, row: NDArray[np.int64], item: NDArray[Any]
) -> NDArray[np.bool_]:
    """Whether each (row, item) is a stored entry of ``matrix``; its indices must be sorted."""
    width = matrix.shape[1]
    stored = row_of_each(matrix) * width + matrix.indices
    wanted = row * width + item
    place = np.searchsorted(stored, wanted)
    found = place < len(stored)
    found[found] = stored[place[found]] == wanted[found]
    return np.asarray(found)


def _select_dense(
    scores: NDArray[np.float32], n: int, item: Indices, score: NDArray[np.float32]
) -> None:
    """Write the top ``n`` of each row of ``scores`` into ``item`` and ``score``."""
    columns = scores.shape[1]
    if not columns:
        return
    bound = _lower_bound(scores, n)
    near = scores >= bound[:, None]
    for crowded in np.flatnonzero(np.count_nonzero(near, axis=1) > CROWD * n):
        _keep_best(scores[crowded], n)
        near[crowded] = scores[crowded] > -np.inf
    row, column = np.divmod(np.flatnonzero(near), columns)
    values = scores[row, column]
    finite = np.isfinite(values)
    _fill(item, score, row[finite], column[finite], values[finite])


def _lower_bound(scores: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """A bound that at least ``n`` scores of each row reach: the n-th best of the groups' maxima.

    A group is every so many columns, which makes the maxima one fast pass; few scores besides the
    top ``n`` reach the bound. With fewer groups than ``n`` it is the n-th best score itself.
    """
    columns = scores.shape[1]
    whole = columns // GROUP
    if whole < n:
        least = max(columns - n, 0)
        return np.asarray(np.partition(scores, least, axis=1)[:, least])
    maxima = scores[:, : whole * GROUP].reshape(len(scores), GROUP, whole).max(axis=1)
    return np.asarray(np.partition(maxima, whole - n, axis=1)[:, whole - n])


def _keep_best(scores: NDArray[np.float32], n: int) -> None:
    """Set all but the top ``n`` of one user's scores to -inf, so that ties cost no sorting."""
    least = np.partition(scores, len(scores) - n)[len(scores) - n] if n < len(scores) else -np.inf
    ties = np.flatnonzero(scores == least)
    spare = n - np.count_nonzero(scores > least)
    scores[scores < least] = -np.inf
    scores[ties[max(spare, 0) :]] = -np.inf


def _fill(
    item: Indices,
    score: NDArray[np.float32],
    row: NDArray[np.int64],
    column: NDArray[Any],
    values: NDArray[Any],
) -> None:
    """Place candidates (sorted by row, then column) by descending value; the first ``n`` stay."""
    order = np.lexsort((-values, row))
    row = row[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    kept = rank < item.shape[1]
    item[row[kept], rank[kept]] = column[order][kept]
    score[row[kept], rank[kept]] = values[order][kept]
