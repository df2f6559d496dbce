"""Further places of a list, which move up where an item before them is denied."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.core.interactions import UNKNOWN, Indices
from models.core.lists import Lists
from models.lists.rules.rule import Cap
from models.lists.rules.select import replaced, taken


def with_spare(shown: Lists, whole: Lists, ranked: Lists, caps: Sequence[Cap] = ()) -> Lists:
    """``shown``, made of the first places of ``whole``, with spare places up to its width.

    They are what else ``whole`` has, in its order, then ``ranked``, from which it was chosen; items
    beyond a cap, counted with all before them, are passed over. All are of the same users. A list
    that is not full has no spare places.
    """
    width = whole.item.shape[1] - shown.item.shape[1]
    if not width:
        return shown
    spare = taken(whole, _first(_not_among(shown.item, whole.item), width))
    broken = np.flatnonzero(_is_beyond(shown.item, spare.item, caps).any(axis=1))
    if len(broken):
        pool = _beside(_rows(whole, broken), _rows(ranked, broken))
        places = _within_caps(shown.item[broken], pool.item, width, caps)
        spare = replaced(spare, broken, taken(pool, places))
    return replace(_beside(shown, spare), source_names=shown.source_names)


def _beside(one: Lists, other: Lists) -> Lists:
    """Lists with the places of others behind their own; sources are called as the others are."""

    def together(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(one, name), getattr(other, name)], axis=1)

    return Lists(
        together("item"),
        together("score"),
        together("source"),
        other.source_names,
        together("rule"),
    )


def _rows(lists: Lists, rows: NDArray[np.int64]) -> Lists:
    return Lists(
        lists.item[rows],
        lists.score[rows],
        lists.source[rows],
        lists.source_names,
        lists.rule[rows],
    )


def _not_among(shown: Indices, item: Indices) -> NDArray[np.bool_]:
    """Which items may be spare ones: there, not shown, and of a full list."""
    listed = (item[:, :, None] == shown[:, None, :]).any(axis=2)
    full = (shown != UNKNOWN).all(axis=1, keepdims=True)
    return np.asarray(~listed & (item != UNKNOWN) & full)


def _first(wanted: NDArray[np.bool_], width: int) -> NDArray[np.int64]:
    """The places of the first ``width`` that are wanted in each row, -1 beyond them."""
    first = np.argsort(~wanted, axis=1, kind="stable")[:, :width]
    return np.where(np.take_along_axis(wanted, first, axis=1), first, -1)


def _codes(item: Indices, cap: Cap) -> NDArray[np.int32]:
    return np.where(item == UNKNOWN, -1, cap.codes[item])


def _is_beyond(shown: Indices, item: Indices, caps: Sequence[Cap]) -> NDArray[np.bool_]:
    """Which of the spare ``item`` come after as many alike as a cap allows."""
    beyond = np.zeros(item.shape, dtype=np.bool_)
    for cap in caps:
        own, before = _codes(item, cap), _codes(shown, cap)
        alike = (own[:, :, None] == before[:, None, :]).sum(axis=2)
        among = own[:, :, None] == own[:, None, :]
        alike += np.tril(among, k=-1).sum(axis=2)
        beyond |= (own >= 0) & (alike >= cap.limit)
    return beyond


def _within_caps(
    shown: Indices, item: Indices, width: int, caps: Sequence[Cap]
) -> NDArray[np.int64]:
    """Places of the first items that no cap forbids beside those shown and chosen before."""
    free = _not_among(shown, item)
    counts = [
        (_codes(item, cap)[:, :, None] == _codes(shown, cap)[:, None, :]).sum(axis=2)
        for cap in caps
    ]
    rows = np.arange(len(item))
    places = np.full((len(item), width), -1, dtype=np.int64)
    for place in range(width):
        offered = free.copy()
        for cap, count in zip(caps, counts, strict=True):
            offered &= (_codes(item, cap) < 0) | (count < cap.limit)
        best = offered.argmax(axis=1)
        some = offered[rows, best]
        places[some, place] = best[some]
        chosen = item[rows, best][:, np.newaxis]
        # Wherever the ranking has it once more, it is taken.
        free &= ~(some[:, np.newaxis] & (item == chosen))
        for number, cap in enumerate(caps):
            own = _codes(item, cap)
            counts[number] += (own == own[rows, best][:, np.newaxis]) & some[:, np.newaxis]
    return places
