"""Exact top-N by blocks of users, with masks and ties broken by rule.

Order is by higher score, then by lower item index. Rows with fewer than N candidates end in
``UNKNOWN`` with score 0. Only finite scores can win.

The scores of all pairs are never in memory at once. A block of users is multiplied with one tile of
items after the other, each small enough to stay in a core's own cache. One pass over a tile takes
the maxima of groups of items; a group is looked into only where its maximum reaches the N-th best
score that the user has had so far.
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
# Items in a group, a power of 2.
GROUP: Final = 8
# Groups that a first bound is taken from, for each place of a list.
GROUPS_PER_PLACE: Final = 2
# BLAS adds up products of smaller matrices in another order, so that they would be rounded
# differently from those of a whole block.
LEAST_ROWS: Final = 16
# Fewer are done before threads have started.
LEAST_TILES_FOR_THREADS: Final = 16
LOWEST: Final = np.finfo(np.float32).min
# Lower than the key of any finite score.
NO_KEY: Final = np.iinfo(np.int64).min
LOW_HALF: Final = 0xFFFFFFFF

Floats: TypeAlias = NDArray[np.float32]
Keys: TypeAlias = NDArray[np.int64]


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
    finite = _surely_finite(user_vectors, items)
    tiles = _tiles(len(items))
    is_dense = isinstance(user_vectors, np.ndarray)
    by_factor = items if is_dense else np.ascontiguousarray(items.T)

    def rank(starts: Iterable[int]) -> None:
        # Fresh memory for each tile would cost as much as a pass over it.
        buffer = np.empty((TILE_ITEMS + GROUP) * BLOCK_ROWS, dtype=np.float32)
        for start in starts:
            rows_here = slice(start, start + BLOCK_ROWS)
            users = user_vectors[rows_here]
            block = _padded(users) if is_dense else users @ by_factor
            best = _Best(block.shape[0], n)
            hidden_here = None if hidden is None else _Hidden(hidden[rows_here], block.shape[0])
            for tile in tiles:
                # NumPy would warn of what cannot win anyway.
                with np.errstate(over="ignore", invalid="ignore"):
                    scores = _scores(block, items if is_dense else None, tile, buffer)
                if not finite:
                    scores[~np.isfinite(scores)] = -np.inf
                if hidden_here is not None:
                    hidden_here.leave_out(scores, tile)
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
    """The best items so far of each user of a block, as keys that sort like (score, -item)."""

    def __init__(self, rows: int, n: int) -> None:
        self._n = n
        self._keys = np.full((rows, n), NO_KEY, dtype=np.int64)
        # What a score has to reach to be let in.
        self._least = np.full(rows, LOWEST, dtype=np.float32)
        self._new_rows: list[Indices] = []
        self._new_keys: list[Keys] = []
        self._is_first = True

    def look_at(self, scores: Floats, first: int) -> None:
        """Take what is good enough of ``scores`` (items from ``first`` on x users of the block)."""
        padded, rows = scores.shape
        if self._is_first:
            np.maximum(self._least, _lower_bound(scores, self._n), out=self._least)
            self._is_first = False
        grouped = scores.reshape(GROUP, -1)
        near = np.flatnonzero(grouped.max(axis=0).reshape(-1, rows) >= self._least)
        place, row = np.divmod(near.astype(np.int32), np.int32(rows))
        values = grouped.take(near, axis=1)
        reaches = np.flatnonzero(values >= self._least[row])
        member, which = np.divmod(reaches, max(len(near), 1))
        item = first + member * (padded // GROUP) + place[which]
        self._new_rows.append(row[which])
        self._new_keys.append(_keys(values.reshape(-1)[reaches], item))
        if sum(map(len, self._new_rows)) >= self._keys.size:
            self._merge()

    def write(self, item: Indices, score: Floats) -> None:
        """Write the best of the block's first users into ``item`` and ``score``, best first."""
        self._merge()
        keys = np.sort(self._keys[: len(item)], axis=1)[:, ::-1]
        found = keys != NO_KEY
        item[found] = LOW_HALF - (keys[found] & LOW_HALF)
        score[found] = _score_of(keys[found])

    def _merge(self) -> None:
        if not self._new_rows:
            return
        row = np.concatenate(self._new_rows).astype(np.uint16)
        key = np.concatenate(self._new_keys)
        self._new_rows, self._new_keys = [], []
        # 16 bits are sorted by radix.
        order = np.argsort(row, kind="stable")
        count = np.bincount(row, minlength=len(self._keys))
        n = self._n
        width = n + int(np.max(count))
        pool = np.full((len(count), width), NO_KEY, dtype=np.int64)
        pool[:, :n] = self._keys
        # Each row's new keys stand in order: the next one has the next place.
        first = np.arange(len(count)) * width + n - (np.cumsum(count) - count)
        place = np.repeat(first, count)
        place += np.arange(len(order))
        pool.reshape(-1)[place] = key[order]
        cut = width - n
        pool.partition(cut, axis=1)
        self._keys = pool[:, cut:].copy()
        full = self._keys[:, 0] != NO_KEY
        # Items come in order, so that a later one with an equal score loses.
        self._least[full] = np.nextafter(_score_of(self._keys[full, 0]), np.float32(np.inf))


class _Hidden:
    """What is left out for the users of a block, by items."""

    def __init__(self, hidden: sparse.csr_array, rows: int) -> None:
        by_item = hidden.tocsc()
        self._rows = rows
        self._until = by_item.indptr
        item = np.repeat(np.arange(by_item.shape[1]), np.diff(by_item.indptr))
        self._place = item * rows + by_item.indices

    def leave_out(self, scores: Floats, tile: slice) -> None:
        """Set the scores (items x users) of what is left out to -inf."""
        stored = slice(self._until[tile.start], self._until[tile.stop])
        scores.reshape(-1)[self._place[stored] - tile.start * self._rows] = -np.inf


def _tiles(items: int) -> list[slice]:
    """Equal parts of so many items."""
    count = -(-items // TILE_ITEMS)
    width = -(-items // count)
    return [slice(first, min(first + width, items)) for first in range(0, items, width)]


def _lower_bound(scores: Floats, n: int) -> Floats:
    """A bound that at least ``n`` of each user's scores (items x users) reach.

    It is the n-th best of the maxima of groups, as small ones as leave enough groups.
    """
    items, users = scores.shape
    group = GROUP
    while group > 1 and items // group < GROUPS_PER_PLACE * n:
        group //= 2
    maxima = scores.reshape(group, -1).max(axis=0).reshape(-1, users).T.copy()
    cut = maxima.shape[1] - n
    if cut < 0:
        return np.full(users, LOWEST, dtype=np.float32)
    maxima.partition(cut, axis=1)
    return maxima[:, cut]


def _scores(block: Floats, items: Floats | None, tile: slice, buffer: Floats) -> Floats:
    """Scores (items of ``tile`` x users), and rows of -inf up to a whole number of groups.

    ``block`` holds the users' vectors, or already their scores where there are no ``items``.
    """
    width = tile.stop - tile.start
    padded = -(-width // GROUP) * GROUP
    scores = buffer[: padded * len(block)].reshape(padded, len(block))
    if items is None:
        scores[:width] = block[:, tile].T
    else:
        np.matmul(items[tile], block.T, out=scores[:width])
    scores[width:] = -np.inf
    return scores


def _padded(users: Floats) -> Floats:
    """``users`` with the last one again, to make ``LEAST_ROWS``."""
    short = max(LEAST_ROWS - len(users), 0)
    users = np.asarray(users, dtype=np.float32)
    return np.concatenate([users, np.repeat(users[-1:], short, axis=0)]) if short else users


def _keys(score: Floats, item: NDArray[np.int64]) -> Keys:
    """Numbers in the order of scores, among equal ones the lower item above."""
    # -0 becomes 0, which it is equal to.
    return (_ordered((score + np.float32(0)).view(np.int32)).astype(np.int64) << 32) | (
        LOW_HALF - item
    )


def _score_of(keys: Keys) -> Floats:
    return _ordered((keys >> 32).astype(np.int32)).view(np.float32)


def _ordered(bits: NDArray[np.int32]) -> NDArray[np.int32]:
    """Floats' bits as whole numbers of the same order, and back."""
    # Of negative ones all bits but the sign's are the other way round.
    return bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))


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
