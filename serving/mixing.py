"""Several lists as one: by turns, or by what they say together."""

from collections.abc import Collection
from dataclasses import replace
from itertools import chain, zip_longest

from serving.format.records import Item


def by_turns(lists: Collection[tuple[Item, ...]]) -> tuple[Item, ...]:
    """Lists taking turns, each item once, as long as the longest of them."""
    each_once: dict[str, Item] = {}
    for item in chain.from_iterable(zip_longest(*lists)):
        if item is not None:
            each_once.setdefault(item.item_id, item)
    return _numbered(list(each_once.values())[: max(map(len, lists))])


def by_score(lists: Collection[tuple[Item, ...]]) -> tuple[Item, ...]:
    """Items by the sum of their scores in all lists, as many as the longest of them has.

    The scores of the lists must compare. An item keeps the reason of the list where it has most;
    ties go to the lower id.
    """
    total: dict[str, float] = {}
    best: dict[str, Item] = {}
    for item in chain.from_iterable(lists):
        total[item.item_id] = total.get(item.item_id, 0.0) + item.score
        if item.item_id not in best or item.score > best[item.item_id].score:
            best[item.item_id] = item
    order = sorted(best, key=lambda item_id: (-total[item_id], item_id))
    chosen = order[: max(map(len, lists))]
    return _numbered([replace(best[item_id], score=total[item_id]) for item_id in chosen])


def _numbered(items: Collection[Item]) -> tuple[Item, ...]:
    return tuple(replace(item, rank=rank) for rank, item in enumerate(items, start=1))
