"""A stored list's places as the bytes that they were written as: left out, cut, sent on undecoded.

``records.encode_places`` writes places by a template. Within a JSON string a quotation mark always
follows a backslash, so ``},{"rank":`` stands nowhere but between two places, and ``,"title":``
nowhere but behind an item's id: to cut there is exact, and needs no parser.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from serving.format.records import (
    FORMAT,
    as_json,
    body_of,
    checksum_of,
    decode,
    encode,
    size_of,
)

_HEAD: Final = re.compile(rb'\{"format":%d,"size":(\d+),"items":\[' % FORMAT)
_FIRST: Final = b'{"rank":'
_BETWEEN: Final = b'},{"rank":'
_ITEM: Final = b'"item_id":'
_BEHIND_ITEM: Final = b',"title":'


@dataclass(frozen=True, slots=True)
class StoredList:
    """A list's places, spare ones too, of which ``size`` are shown.

    Each is the bytes of an ``Item`` in JSON from the value of its rank on, without the last brace.
    ``checksum`` is the record's, eight hexadecimal digits.
    """

    places: tuple[bytes, ...]
    size: int
    checksum: str


NO_PLACES: Final = StoredList((), 0, "00000000")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: behind so many stored places, of which so many were shown."""

    stored: int = 0
    shown: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Items as a JSON array, how many, and where the next page begins; ``None`` at the end."""

    items: bytes
    count: int
    following: Place | None


def stored_list(record_key: bytes, value: bytes) -> StoredList:
    """The places of a stored value.

    Raises ``DamagedReleaseError`` where the value is not the one written under ``record_key`` or
    its format is not this reader's.
    """
    body = body_of(record_key, value)
    head = _HEAD.match(body)
    if head is None:
        # A former format is written as today's would be.
        rewritten = encode(record_key, decode(record_key, value), size_of(record_key, value))
        return stored_list(record_key, rewritten)
    inside = body[head.end() + len(_FIRST) : -len(b"}]}")]
    places = tuple(inside.split(_BETWEEN)) if inside else ()
    return StoredList(places, int(head[1]), checksum_of(value))


def item_ids(ids: Collection[str]) -> frozenset[bytes]:
    """Items' ids as they stand in a place, for ``page``."""
    return frozenset(map(as_json, ids))


def page(
    found: StoredList,
    hidden: Collection[bytes] = (),
    start: Place | None = None,
    count: int | None = None,
) -> Page:
    """The places from ``start`` on that are not ``hidden`` (``item_ids``), at most ``count``.

    All pages together show the list's ``size`` places; spare ones take the places of hidden ones.
    """
    start = start or Place()
    left = max(found.size - start.shown, 0)
    wanted = left if count is None else min(count, left)
    if not hidden and start.stored == start.shown:
        end = start.stored + wanted
        chosen = found.places[start.stored : end]
    else:
        chosen, end = _not_hidden(found, hidden, start, wanted)
    shown = start.shown + len(chosen)
    has_more = shown < found.size and end < len(found.places)
    items = b"[" + _FIRST + _BETWEEN.join(chosen) + b"}]" if chosen else b"[]"
    return Page(items, len(chosen), Place(end, shown) if has_more else None)


def _not_hidden(
    found: StoredList, hidden: Collection[bytes], start: Place, wanted: int
) -> tuple[tuple[bytes, ...], int]:
    """At most ``wanted`` places with their new ranks, and how many stored ones they go through."""
    chosen: list[bytes] = []
    end = start.stored
    for place in found.places[start.stored :]:
        if len(chosen) == wanted:
            break
        end += 1
        if _item_id(place) not in hidden:
            rank = start.shown + len(chosen) + 1
            chosen.append(b"%d%b" % (rank, place[place.index(b",") :]))
    return tuple(chosen), end


def _item_id(place: bytes) -> bytes:
    start = place.index(_ITEM) + len(_ITEM)
    return place[start : place.index(_BEHIND_ITEM, start)]
