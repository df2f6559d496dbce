"""Several lists as one: by turns, or by what they say together."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import chain, zip_longest

from serving.format.records import Item


def by_turns(lists: Collection[tuple[Item, ...]], size: int | None = None) -> tuple[Item, ...]:
    """Lists taking turns, each item once, ``size`` of them or as many as the longest list has."""
    each_once: dict[str, Item] = {}
    for item in chain.from_iterable(zip_longest(*lists)):
        if item is not None:
            each_once.setdefault(item.item_id, item)
    return _numbered(each_once.values(), lists, size)


def by_score(
    lists: Collection[tuple[Item, ...]],
    size: int | None = None,
    *,
    weights: Sequence[float] | None = None,
) -> tuple[Item, ...]:
    """Items by the sum of their scores in all lists, ``size`` or as many as the longest list has.

    The scores of the lists must compare; each list's count as often as its weight says, once
    without. An item keeps source and reason of the list where it has most; ties go to the lower id.
    """
    total: dict[str, float] = {}
    best: dict[str, Item] = {}
    for items, weight in zip(lists, weights or [1.0] * len(lists), strict=True):
        for item in items:
            score = item.score * weight
            total[item.item_id] = total.get(item.item_id, 0.0) + score
            if item.item_id not in best or score > best[item.item_id].score:
                best[item.item_id] = replace(item, score=score)
    order = sorted(best, key=lambda item_id: (-total[item_id], item_id))
    mixed = [replace(best[item_id], score=total[item_id]) for item_id in order]
    return _numbered(mixed, lists, size)


def _numbered(
    items: Collection[Item], lists: Collection[tuple[Item, ...]], size: int | None
) -> tuple[Item, ...]:
    """The first ``size`` of them, or as many as the longest list has, with their ranks."""
    most = max(map(len, lists)) if size is None else size
    return tuple(replace(item, rank=rank) for rank, item in enumerate([*items][:most], start=1))
