"""Lists chosen from longer rankings by rules, for a block of people at once.

In this order, so that a later one stands above an earlier one: moves and likeness with what may
stand in a list at most, then quotas, then pins. What is hidden was never ranked. A list stays full
as long as its ranking holds anything that the rules let in.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.core.interactions import UNKNOWN, Indices
from models.core.lists import NO_RULE, Lists
from models.lists.rules.night import Plan
from models.lists.rules.rule import Cap, Pin, Quota

_OUT: Final = -np.inf


def arranged(
    ranked: Lists, plan: Plan, users: Indices, size: int
) -> tuple[Lists, NDArray[np.float64]]:
    """The first ``size`` places after moves, likeness and caps.

    With them, for each list, how far in front the last that was chosen stands, in places of the
    ranking (0 is its first one, others are negative).
    """
    score = _positions(ranked, plan, users)
    chosen = np.argsort(-score, axis=1, kind="stable")[:, :size]
    lowest = np.take_along_axis(score, chosen, axis=1).min(axis=1, initial=0)
    held = np.take_along_axis(ranked.item, chosen, axis=1)
    # Likeness concerns every list, caps few of them.
    again = np.arange(len(held)) if plan.spread else np.flatnonzero(_exceeds(held, plan.caps))
    if len(again):
        chosen[again], lowest[again] = _greedy(
            ranked.item[again], score[again], plan, chosen.shape[1]
        )
    return taken(ranked, chosen), lowest


def best_of(ranked: Lists, quota: Quota) -> tuple[Lists, NDArray[np.int64]]:
    """Each ranking's first items that the quota wants, and the rows that have too few of them."""
    is_wanted = _are(quota.items, ranked.item)
    row, place = np.nonzero(is_wanted)
    count = np.bincount(row, minlength=len(ranked.item))
    number = np.arange(len(row)) - (np.cumsum(count) - count)[row]
    is_first = number < quota.at_least
    places = np.full((len(ranked.item), quota.at_least), -1, dtype=np.int64)
    places[row[is_first], number[is_first]] = place[is_first]
    return taken(ranked, places), np.flatnonzero(count < quota.at_least)


def taken(lists: Lists, places: NDArray[np.int64]) -> Lists:
    """The ``places`` of each list, -1 for an empty one; empty ones go to the end."""
    empty = places < 0
    if empty.any():
        order = np.argsort(empty, axis=1, kind="stable")
        places = np.take_along_axis(places, order, axis=1)
        empty = places < 0
    height, width = lists.item.shape
    at = np.where(empty, 0, places) + np.arange(height)[:, np.newaxis] * width

    def of(values: NDArray[Any], nothing: int) -> NDArray[Any]:
        picked = values.reshape(-1)[at] if width else np.zeros(at.shape, values.dtype)
        picked[empty] = nothing
        return picked

    return Lists(
        item=of(lists.item, UNKNOWN),
        score=of(lists.score, 0),
        source=of(lists.source, UNKNOWN),
        source_names=lists.source_names,
        rule=of(lists.rule, NO_RULE),
    )


def reachable(plan: Plan, allowed: NDArray[np.bool_]) -> int:
    """How many of the items that are ``allowed`` the caps let into one list at most."""
    longest = int(allowed.sum())
    for cap in plan.caps:
        codes = cap.codes[allowed]
        counted = np.minimum(np.unique(codes[codes >= 0], return_counts=True)[1], cap.limit)
        longest = min(longest, int(counted.sum() + (codes < 0).sum()))
    return longest


def replaced(lists: Lists, rows: NDArray[np.int64], others: Lists) -> Lists:
    """``lists`` with those of ``others`` in ``rows``; both have the same sources."""

    def put(values: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
        copy = values.copy()
        copy[rows] = new
        return copy

    return Lists(
        item=put(lists.item, others.item),
        score=put(lists.score, others.score),
        source=put(lists.source, others.source),
        source_names=lists.source_names,
        rule=put(lists.rule, others.rule),
    )


def _positions(ranked: Lists, plan: Plan, users: Indices) -> NDArray[np.float64]:
    """How far in front each place of the ranking stands, in places; -inf where nothing is."""
    item = ranked.item
    at = np.where(item == UNKNOWN, 0, item)
    score = np.broadcast_to(-np.arange(item.shape[1], dtype=np.float64), item.shape).copy()
    if plan.moves is not None:
        score += plan.moves[at]
    for affinity in plan.affinities:
        theirs = np.where(users == UNKNOWN, np.nan, affinity.users[users])
        apart = np.abs(affinity.items[at] - theirs[:, np.newaxis])
        score -= affinity.places * np.nan_to_num(apart, nan=0.0)
    score[item == UNKNOWN] = _OUT
    return score


def _exceeds(item: Indices, caps: tuple[Cap, ...]) -> NDArray[np.bool_]:
    """Which lists (rows) hold more alike than they may."""
    exceeds = np.zeros(len(item), dtype=np.bool_)
    for cap in caps:
        codes = np.sort(np.where(item == UNKNOWN, -1, cap.codes[item]), axis=1)
        # In order, equal ones stand together: too many where the code so many places on is equal.
        ahead = codes[:, cap.limit :]
        exceeds |= ((ahead == codes[:, : ahead.shape[1]]) & (ahead >= 0)).any(axis=1)
    return exceeds


def _greedy(
    item: Indices, score: NDArray[np.float64], plan: Plan, size: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Place by place the best item that may still be taken (rows x size places of ``item``).

    With them the least value at which one was taken, of each row.
    """
    rows = np.arange(len(item))
    at = np.where(item == UNKNOWN, 0, item)
    value = score.copy()
    codes = [np.where(item == UNKNOWN, -1, cap.codes[at]) for cap in plan.caps]
    counts = [np.zeros(item.shape, dtype=np.int16) for _ in plan.caps]
    for cap, of_cap in zip(plan.caps, codes, strict=True):
        if cap.limit == 0:
            value[of_cap >= 0] = _OUT
    likeness = None if plan.likeness is None else plan.likeness[:, at]
    likest = np.zeros(item.shape)
    chosen = np.full((len(item), size), -1, dtype=np.int64)
    lowest = np.zeros(len(item))
    for place in range(size):
        offered = value if likeness is None else value - plan.spread * likest
        best = offered.argmax(axis=1)
        some = offered[rows, best] > _OUT
        if not some.any():
            break
        chosen[some, place] = best[some]
        lowest[some] = np.minimum(lowest, offered[rows, best])[some]
        value[rows[some], best[some]] = _OUT
        for number, cap in enumerate(plan.caps):
            own = codes[number][rows, best][:, np.newaxis]
            counts[number] += (codes[number] == own) & (own >= 0) & some[:, np.newaxis]
            value[(counts[number] >= cap.limit) & (codes[number] >= 0)] = _OUT
        if likeness is not None:
            same = likeness == likeness[:, rows, best][:, :, np.newaxis]
            alike = (same & (likeness >= 0)).mean(axis=0)
            np.maximum(likest, np.where(some[:, np.newaxis], alike, 0), out=likest)
    return chosen, lowest


def fill_quota(lists: Lists, rule: int, quota: Quota, best: Lists) -> Lists:
    """``lists`` with the best of the quota's items put in where too few stand in front.

    ``best`` holds each person's best such items, as many as the quota asks for. Those that the list
    lacks in front take the place of the last others there.
    """
    held = lists.item[:, : quota.of]
    is_wanted = _are(quota.items, held)
    missing = quota.at_least - is_wanted.sum(axis=1)
    if not (missing > 0).any():
        return lists
    is_new = (best.item != UNKNOWN) & ~(best.item[:, :, None] == held[:, None, :]).any(axis=2)
    room = np.minimum(missing, (~is_wanted).sum(axis=1))
    is_new &= np.cumsum(is_new, axis=1) <= room[:, np.newaxis]
    from_the_end = np.cumsum(~is_wanted[:, ::-1], axis=1)[:, ::-1]
    gives_way = ~is_wanted & (from_the_end <= is_new.sum(axis=1)[:, np.newaxis])
    row, place = np.nonzero(gives_way)
    at = np.nonzero(is_new)[1]
    new = best.item[row, at]
    item, score = lists.item.copy(), lists.score.copy()
    source, of_rule = lists.source.copy(), lists.rule.copy()
    # An item that stood further down moves up: its old place gets what gives way.
    is_down = lists.item[row] == new[:, np.newaxis]
    down = np.flatnonzero(is_down.any(axis=1))
    old = row[down], is_down[down].argmax(axis=1)
    for part in (item, score, source, of_rule):
        part[old] = part[row[down], place[down]]
    names = np.array([lists.source_names.index(name) for name in best.source_names], np.int8)
    item[row, place], score[row, place] = new, best.score[row, at]
    source[row, place], of_rule[row, place] = names[best.source[row, at]], rule
    filled = Lists(item, score, source, lists.source_names, of_rule)
    gaps = item == UNKNOWN
    return taken(filled, np.where(gaps, -1, np.arange(item.shape[1]))) if gaps.any() else filled


def _are(wanted: NDArray[np.bool_], item: Indices) -> NDArray[np.bool_]:
    """Whether each item is one of ``wanted``; ``UNKNOWN`` is not."""
    # UNKNOWN is -1, the last one.
    return np.append(wanted, False)[item]


def pin(lists: Lists, rule: int, wanted: Pin, rows: NDArray[np.bool_], source: int) -> Lists:
    """``lists`` with the item at its place in ``rows``; those from there on go one down.

    An item that the list has elsewhere moves from there.
    """
    width = lists.item.shape[1]
    is_own = lists.item == wanted.item
    has = is_own.any(axis=1)
    lengths = (lists.item != UNKNOWN).sum(axis=1) - has
    target = np.minimum(min(wanted.place, width) - 1, lengths)
    # Where the item of each place stood before: behind the target one place up, and one down from
    # the item's own old place on.
    own = np.where(has, is_own.argmax(axis=1), width)
    place = np.arange(width)
    old = place - (place > target[:, np.newaxis])
    old += old >= own[:, np.newaxis]
    moved = taken(lists, np.where(old == width, -1, old))
    new = rows[:, np.newaxis] & (place == target[:, np.newaxis])

    def put(before: NDArray[Any], after: NDArray[Any], value: float) -> NDArray[Any]:
        after[new] = value
        return np.where(rows[:, np.newaxis], after, before)

    return Lists(
        item=put(lists.item, moved.item, wanted.item),
        score=put(lists.score, moved.score, 0.0),
        source=put(lists.source, moved.source, source),
        source_names=lists.source_names,
        rule=put(lists.rule, moved.rule, rule),
    )
