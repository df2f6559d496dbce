import json
import re
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.format.places import Place, item_ids, page, stored_list
from serving.format.records import DamagedReleaseError, Item, encode, key, shown

KEY = key("all", "ann")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ['},{"rank":', ',"title":', '"item_id":"i1",', "]}", '\\"', "%b"]
)
ITEMS = st.lists(
    st.builds(
        Item,
        rank=st.just(1),
        item_id=TEXT,
        title=TEXT | st.none(),
        score=st.floats(allow_nan=False, allow_infinity=False),
        source=TEXT,
        reason=TEXT,
    ),
    max_size=6,
    unique_by=lambda item: item.item_id,
)


def ranked(items: Sequence[Item]) -> list[Item]:
    fields = ("item_id", "title", "score", "source", "reason")
    return [
        Item(rank, *(getattr(item, name) for name in fields)) for rank, item in enumerate(items, 1)
    ]


def read(items: bytes) -> list[Item]:
    return [Item(**item) for item in json.loads(items)]


@given(ITEMS, st.integers(0, 6), st.integers(1, 4), st.data())
def test_pages_together_show_what_a_decoded_list_shows(
    items: list[Item], size: int, count: int, data: st.DataObject
) -> None:
    value = encode(KEY, ranked(items), size)
    ids = [item.item_id for item in items]
    hidden = frozenset(data.draw(st.lists(st.sampled_from(ids)))) if ids else frozenset()
    expected = list(shown(KEY, value, hidden))
    found = stored_list(KEY, value)

    assert read(page(found, item_ids(hidden)).items) == expected
    together: list[Item] = []
    place: Place | None = Place()
    while place is not None:
        one = page(found, item_ids(hidden), place, count)
        assert one.count == len(read(one.items)) <= count
        together += read(one.items)
        place = one.following
    assert together == expected


def test_an_item_hidden_between_two_pages_neither_repeats_nor_skips_others() -> None:
    items = [Item(rank, f"i{rank}", None, 1.0, "counts", "often") for rank in range(1, 7)]
    found = stored_list(KEY, encode(KEY, items, 4))
    first = page(found, (), None, 2)
    assert first.following == Place(2, 2)
    second = page(found, item_ids(["i1", "i3"]), first.following, 2)
    assert [(item.rank, item.item_id) for item in read(second.items)] == [(3, "i4"), (4, "i5")]
    assert second.following is None
    # Allowed again: the ranks go on where the page before ended.
    assert [item.rank for item in read(page(found, (), Place(3, 2), 2).items)] == [3, 4]


def test_a_list_of_the_first_format_is_read() -> None:
    items = [Item(1, "i1", "Milk", 0.5, "counts", "often")]
    body = json.dumps({"format": 1, "items": [{**_fields(items[0])}]}).encode()
    value = _sealed(body)
    assert read(page(stored_list(KEY, value)).items) == items


def test_a_value_of_another_key_is_damaged() -> None:
    value = encode(KEY, (), 3)
    assert page(stored_list(KEY, value)).items == b"[]"
    with pytest.raises(DamagedReleaseError):
        stored_list(key("all", "bob"), value)


def _fields(item: Item) -> dict[str, object]:
    return {name: getattr(item, name) for name in Item.__slots__}


def _sealed(body: bytes) -> bytes:
    return b"%08x" % zlib.crc32(body, zlib.crc32(KEY)) + body


def test_the_checksum_names_the_list() -> None:
    value = encode(KEY, (), 3)
    assert re.fullmatch("[0-9a-f]{8}", stored_list(KEY, value).checksum)
    assert stored_list(KEY, value).checksum == value[:8].decode()
