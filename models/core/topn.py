"""Exact top-N by blocks of users, with masks and ties broken by rule.

Order is by higher score, then by lower item index. Rows with fewer than N candidates end in
``UNKNOWN`` with score 0. Only finite scores can win.

The scores of all pairs are never in memory at once. A block of users is multiplied with one tile of
items after the other, each small enough to stay in a core's own cache, where ``topn_kernel`` goes
over it once.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import ThreadpoolController

from models.core.interactions import UNKNOWN, Indices

# A block of users by a tile of items is 1 MiB of scores.
BLOCK_ROWS: Final = 256
TILE_ITEMS: Final = 1024
# Items that a first bound is taken from, for each place of a list.
FIRST_LOOK: Final = 10
# BLAS adds up products of smaller matrices in another order, so that they would be rounded
# differently from those of a whole block.
LEAST_ROWS: Final = 16
# Fewer are done before threads have started.
LEAST_TILES_FOR_THREADS: Final = 16

Floats: TypeAlias = NDArray[np.float32]


class Ranked(NamedTuple):
    """Rows x N: item indices, best first, and their scores."""

    item: Indices
    score: NDArray[np.float32]


def top_n_dense(
    user_vectors: Floats | sparse.csr_array,
    item_vectors: Floats,
    n: int,
    *,
    allowed: NDArray[np.bool_],
    exclude: sparse.csr_array | None = None,
) -> Ranked:
    """The N items of the highest dot product with each row of ``user_vectors`` (float32).

    ``allowed`` masks items for all users, the stored entries of ``exclude`` (users x items) for
    each one. It works in as many threads as BLAS may use, and BLAS has one thread in each while it
    does. Memory: the vectors of the allowed items and a few MiB per thread; with sparse
    ``user_vectors``, a block of 256 users x allowed items per thread instead of these.
    """
    rows = user_vectors.shape[0]
    result = nothing_ranked(rows, n)
    candidates = np.flatnonzero(allowed).astype(np.int32)
    if not len(candidates) or not n:
        return result
    are_all = len(candidates) == len(allowed)
    items = np.ascontiguousarray(
        item_vectors if are_all else item_vectors[candidates], dtype=np.float32
    )
    hidden = exclude if exclude is None or are_all else exclude[:, candidates]
    if hidden is not None and not hidden.has_sorted_indices:
        hidden = hidden.sorted_indices()
    finite = _surely_finite(user_vectors, items)
    tiles = _tiles(len(items))
    is_dense = isinstance(user_vectors, np.ndarray)
    by_factor = items if is_dense else np.ascontiguousarray(items.T)

    def rank(starts: Iterable[int]) -> None:
        # Fresh memory for each tile would cost as much as a pass over it.
        buffer = np.empty(TILE_ITEMS * BLOCK_ROWS, dtype=np.float32)
        for start in starts:
            rows_here = slice(start, start + BLOCK_ROWS)
            users = user_vectors[rows_here]
            block = _padded(users) if is_dense else users @ by_factor
            best = _Best(block.shape[0], n)
            hidden_here = None if hidden is None else _Hidden(hidden[rows_here])
            for tile in tiles:
                # NumPy would warn of what cannot win anyway.
                with np.errstate(over="ignore", invalid="ignore"):
                    scores = _scores(block, items if is_dense else None, tile, buffer)
                if not finite:
                    scores[~np.isfinite(scores)] = -np.inf
                if hidden_here is not None:
                    hidden_here.leave_out(scores, tile.start)
                best.look_at(scores, tile.start)
            best.write(result.item[rows_here], result.score[rows_here])

    _in_threads(rank, range(0, rows, BLOCK_ROWS), len(tiles))
    if not are_all:
        listed = result.item != UNKNOWN
        result.item[listed] = candidates[result.item[listed]]
    return result


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


class _Best:
    """The best items so far of each user of a block."""

    def __init__(self, rows: int, n: int) -> None:
        self._score = np.zeros((rows, n), dtype=np.float32)
        self._item = np.full((rows, n), UNKNOWN, dtype=np.int32)
        self._found = np.zeros(rows, dtype=np.int64)
        self._least = np.full(rows, -np.inf, dtype=np.float32)

    def look_at(self, scores: Floats, first: int) -> None:
        """Take what is good enough of ``scores`` (items from ``first`` on x users of the block)."""
        from models.core.topn_kernel import look_at, start_at  # noqa: PLC0415 (it loads numba)

        places = self._score.shape[1]
        if not first and len(scores) >= places:
            start_at(scores[: FIRST_LOOK * places], places, self._least)
        look_at(scores, first, self._score, self._item, self._found, self._least)

    def write(self, item: Indices, score: Floats) -> None:
        """Write the best of the block's first users into ``item`` and ``score``, best first."""
        from models.core.topn_kernel import put_in_order  # noqa: PLC0415

        put_in_order(self._score, self._item, self._found)
        item[:] = self._item[: len(item)]
        # -0 becomes 0, which it is equal to.
        np.add(self._score[: len(score)], np.float32(0), out=score)


class _Hidden:
    """What is left out for the users of a block."""

    def __init__(self, hidden: sparse.csr_array) -> None:
        self._indptr = hidden.indptr
        self._items = hidden.indices
        self._done = np.zeros(hidden.shape[0], dtype=np.int64)

    def leave_out(self, scores: Floats, first: int) -> None:
        """Set the scores (items from ``first`` on x users) of what is left out to -inf."""
        from models.core.topn_kernel import leave_out  # noqa: PLC0415

        leave_out(scores, first, self._indptr, self._items, self._done)


def _tiles(items: int) -> list[slice]:
    """Equal parts of so many items."""
    count = -(-items // TILE_ITEMS)
    width = -(-items // count)
    return [slice(first, min(first + width, items)) for first in range(0, items, width)]


def _scores(block: Floats, items: Floats | None, tile: slice, buffer: Floats) -> Floats:
    """Scores (items of ``tile`` x users).

    ``block`` holds the users' vectors, or already their scores where there are no ``items``.
    """
    width = tile.stop - tile.start
    scores = buffer[: width * len(block)].reshape(width, len(block))
    if items is None:
        scores[:] = block[:, tile].T
    else:
        np.matmul(items[tile], block.T, out=scores)
    return scores


def _padded(users: Floats) -> Floats:
    """``users`` with the last one again, to make ``LEAST_ROWS``."""
    short = max(LEAST_ROWS - len(users), 0)
    users = np.asarray(users, dtype=np.float32)
    return np.concatenate([users, np.repeat(users[-1:], short, axis=0)]) if short else users


_in_use = Lock()


@cache
def _blas() -> ThreadpoolController:
    """Looks through all loaded libraries, which takes longer than a small product."""
    return ThreadpoolController().select(user_api="blas")


def _in_threads(work: Callable[[Iterable[int]], None], starts: range, tiles: int) -> None:
    """``work`` on all ``starts``, so many ``tiles`` each, in as many threads as BLAS may use.

    BLAS's threads are one global of the process. Whoever has set them to 1, or works in here
    already, has threads of its own: then this takes the caller's alone.
    """
    # Each thread takes the next one that is left.
    left = iter(starts)
    if not _in_use.acquire(blocking=False):
        work(left)
        return
    try:
        threads = max((library.num_threads for library in _blas().lib_controllers), default=1)
        if threads == 1:
            work(left)
            return
        # A tile is too small for BLAS to share out: its threads would wait for each other.
        with _blas().limit(limits=1):
            if len(starts) * tiles < LEAST_TILES_FOR_THREADS:
                work(left)
                return
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(work, [left] * min(threads, len(starts))))
    finally:
        _in_use.release()


def _surely_finite(
    user_vectors: NDArray[np.float32] | sparse.csr_array, items: NDArray[np.float32]
) -> bool:
    """Whether no sum of products can be NaN, infinite or overflow on its way."""
    users = user_vectors if isinstance(user_vectors, np.ndarray) else user_vectors.data
    bound = items.shape[1] * _largest(users) * _largest(items)
    return bool(bound < float(np.finfo(np.float32).max) / 2)


def _largest(values: NDArray[Any]) -> float:
    """The greatest absolute value; NaN where one is."""
    return max(float(np.max(values, initial=0)), -float(np.min(values, initial=0)))


def nothing_ranked(rows: int, n: int) -> Ranked:
    """Empty places for ``rows`` lists of ``n``."""
    return Ranked(
        np.full((rows, n), UNKNOWN, dtype=np.int32), np.zeros((rows, n), dtype=np.float32)
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
