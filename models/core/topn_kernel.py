"""The best N of many scores, kept in a heap for each user while tiles of scores go by.

Compiled by numba on the first call, and kept on the disk for the processes that follow. Loading
numba takes half a second, so that only who ranks imports this module.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.int32]

# Users whose scores are compared at once, as wide as two vector registers.
LANES = 16
# Of the lowest finite float, as `start_at` numbers them.
LOWEST_KEY = -0x7F7FFFFF - 1


@njit(nogil=True, cache=True)
def _loses(score: float, item: int, to_score: float, to_item: int) -> bool:
    """Whether the first of two is ranked behind the other: by score, then by lower item."""
    return score < to_score or (score == to_score and item > to_item)


@njit(nogil=True, cache=True)
def _sift_up(scores: Floats, items: Indices, place: int, score: float, item: int) -> None:
    """Put a pair into the free ``place`` at the end of a heap; its root is the last of the list."""
    while place > 0:
        parent = (place - 1) >> 1
        if not _loses(score, item, scores[parent], items[parent]):
            break
        scores[place], items[place] = scores[parent], items[parent]
        place = parent
    scores[place], items[place] = score, item


@njit(nogil=True, cache=True)
def _sift_down(scores: Floats, items: Indices, size: int, score: float, item: int) -> None:
    """Put a pair in the place of the root."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and _loses(
            scores[child + 1], items[child + 1], scores[child], items[child]
        ):
            child += 1
        if not _loses(scores[child], items[child], score, item):
            break
        scores[place], items[place] = scores[child], items[child]
        place = child
    scores[place], items[place] = score, item


@njit(nogil=True, cache=True)
def leave_out(
    tile: Floats, first: int, indptr: NDArray[np.int32], hidden: Indices, done: NDArray[np.int64]
) -> None:
    """Set the scores of ``tile`` (items from ``first`` on x users) of what is left out to -inf.

    ``indptr`` and ``hidden`` are the items of each user, as rows of a sparse array store them,
    ascending; ``done`` (0 at first) counts those of earlier tiles.
    """
    for user in range(len(done)):
        place, until = indptr[user] + done[user], indptr[user + 1]
        while place < until and hidden[place] < first + len(tile):
            tile[hidden[place] - first, user] = -np.inf
            place += 1
        done[user] = place - indptr[user]


@njit(nogil=True, cache=True)
def start_at(tile: Floats, places: int, least: Floats) -> None:
    """Set ``least`` of each user to just below the score that ``places`` items of ``tile`` reach.

    The score is found bit by bit, in the whole numbers that order as floats do. Where fewer items
    may win, ``least`` stays.
    """
    items, users = tile.shape
    keys = np.empty(items, dtype=np.int32)
    bits = keys.view(np.float32)
    for user in range(users):
        for row in range(items):
            bits[row] = tile[row, user] + np.float32(0)  # -0 becomes 0, which it is equal to.
        lowest = np.int64(-(1 << 31))
        for row in range(items):
            # Of negative floats all bits but the sign's are the other way round.
            keys[row] ^= (keys[row] >> np.int32(31)) & np.int32(0x7FFFFFFF)
        for bit in range(31, -1, -1):
            tried = np.int32(lowest + 2**bit)
            reach = np.int32(0)
            for row in range(items):
                reach += np.int32(keys[row] >= tried)
            if reach >= places:
                lowest = np.int64(tried)
        if lowest >= LOWEST_KEY:
            keys[0] = np.int32(lowest)
            keys[0] ^= (keys[0] >> np.int32(31)) & np.int32(0x7FFFFFFF)
            least[user] = np.nextafter(bits[0], np.float32(-np.inf))


@njit(nogil=True, cache=True)
def look_at(  # noqa: PLR0917 (compiled functions take no keywords)
    tile: Floats, first: int, best: Floats, item: Indices, found: NDArray[np.int64], least: Floats
) -> None:
    """Take what is good enough of ``tile`` (items from ``first`` on x users).

    Row by row, ``best`` and ``item`` (users x N) are a heap of each user, of which ``found`` places
    are filled; ``least`` is what a score has to exceed to be let in, -inf at first. Tiles come in
    the order of their items, so that a later item with an equal score loses.
    """
    users, places = best.shape
    for row in range(len(tile)):
        scores = tile[row]
        for start in range(0, users, LANES):
            stop = min(start + LANES, users)
            if stop - start == LANES:
                hits = np.int32(0)
                for lane in range(LANES):
                    hits += np.int32(scores[start + lane] > least[start + lane])
                if not hits:
                    continue
            for user in range(start, stop):
                score = scores[user]
                if not score > least[user]:
                    continue
                size = found[user]
                if size < places:
                    _sift_up(best[user], item[user], size, score, first + row)
                    found[user] = size + 1
                    if size + 1 < places:
                        continue
                else:
                    _sift_down(best[user], item[user], places, score, first + row)
                least[user] = best[user, 0]


@njit(nogil=True, cache=True)
def put_in_order(best: Floats, item: Indices, found: NDArray[np.int64]) -> None:
    """Turn each user's heap into a list, best first."""
    for user in range(len(best)):
        scores, items = best[user], item[user]
        for last in range(found[user] - 1, 0, -1):
            score, moved = scores[last], items[last]
            scores[last], items[last] = scores[0], items[0]
            _sift_down(scores, items, last, score, moved)
