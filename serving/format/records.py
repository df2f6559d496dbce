"""How one list lies in a key-value store: key, value, checksums; and JSON that has its own.

A key is the list's name, a zero byte and the user's id. A value is eight hexadecimal digits, the
CRC-32 of key and body, and the body: JSON with the format's version, the number of places shown and
the items in order. The CRC ties a value to its key, so that a value that turns up under another key
is found out too. Items beyond the places shown are spare: they move up where others are denied.

Format 1 had no ``size``: all of its items are shown.
"""

import hashlib
import json
import math
import re
import zlib
from collections.abc import Collection, Iterable
from dataclasses import astuple, dataclass, fields
from typing import Any, Final, TypeAlias

from lakehouse.errors import DataError, InfrastructureError
from lakehouse.lists import EVERYBODY, FALLBACK

FORMAT: Final = 2
READABLE_FORMATS: Final = (1, FORMAT)
MAXIMUM_KEY_BYTES: Final = 511
_CRC_DIGITS: Final = 8
_SELF: Final = "self_crc32"

Record: TypeAlias = tuple[bytes, bytes]


class DamagedReleaseError(InfrastructureError):
    """A stored release does not hold what was published; an older one can serve instead."""


@dataclass(frozen=True, slots=True)
class Item:
    """One place of a list; the fields are those of ``gold.recommendations``."""

    rank: int
    item_id: str
    title: str | None
    score: float
    source: str
    reason: str


ITEM_FIELDS: Final = tuple(field.name for field in fields(Item))
Place: TypeAlias = tuple[int, str, str | None, float, str, str]

_json: Final = json.JSONEncoder(ensure_ascii=False).encode


def key(list_name: str, user: str) -> bytes:
    """The key of a user's list, at most 511 bytes, different for every user and list.

    A longer id is replaced by its SHA-256 behind a byte that no short key has at that place.
    """
    name, identity = list_name.encode(), user.encode("utf-8", "surrogatepass")
    plain = name + b"\0" + identity
    if len(plain) <= MAXIMUM_KEY_BYTES:
        return plain
    return name + b"\1" + hashlib.sha256(identity).digest()


def list_of(record_key: bytes) -> str:
    """The name of the list that a key is of."""
    return re.split(b"[\0\1]", record_key, maxsplit=1)[0].decode()


def user_of(record_key: bytes) -> str | None:
    """The user that a key is of; ``None`` where only the id's SHA-256 is known."""
    rest = record_key[len(list_of(record_key)) :]
    return rest[1:].decode("utf-8", "surrogatepass") if rest[:1] == b"\0" else None


FALLBACK_KEY: Final = key(FALLBACK.name, EVERYBODY)


def encode(record_key: bytes, items: Iterable[Item], size: int) -> bytes:
    """The value to store under ``record_key``, of whose items the first ``size`` are shown.

    Raises ``DataError`` for a NaN or infinite score.
    """
    return encode_places(record_key, map(astuple, items), size)


def encode_places(record_key: bytes, places: Iterable[Place], size: int) -> bytes:
    """As ``encode``, from the fields of each ``Item`` in order.

    Written by a template, which is JSON as its encoder would write it, several times as fast.
    """
    items = []
    for rank, item_id, title, score, source, reason in places:
        if not math.isfinite(score):
            raise DataError(
                "gold.recommendations: a score is NaN or infinite. Find the model that gives it, "
                "run `topshelf recommend` again, then publish."
            )
        items.append(
            f'{{"rank":{rank},"item_id":{_json(item_id)},"title":{_json(title)},'
            f'"score":{score!r},"source":{_json(source)},"reason":{_json(reason)}}}'
        )
    text = f'{{"format":{FORMAT},"size":{size},"items":[{",".join(items)}]}}'
    return sealed(record_key, text.encode("utf-8", "surrogatepass"))


def sealed(record_key: bytes, body: bytes) -> bytes:
    """A body behind the checksum of key and body, for ``body_of``."""
    return b"%08x" % _crc(record_key, body) + body


def decode(record_key: bytes, value: bytes) -> tuple[Item, ...]:
    """The items of a stored value, spare ones too.

    Raises ``DamagedReleaseError`` where the value is not the one written under ``record_key`` or
    its format is not this reader's.
    """
    return tuple(Item(**item) for item in _content(record_key, value)["items"])


def shown(record_key: bytes, value: bytes, denied: Collection[str] = ()) -> tuple[Item, ...]:
    """The items of a stored value that a reader shows: the first ``size`` that are not ``denied``.

    Where an item is left out, those behind it move up a rank. Raises what ``decode`` raises.
    """
    content = _content(record_key, value)
    items = content["items"]
    size = content.get("size", len(items))
    if denied:
        items = [item for item in items if item["item_id"] not in denied]
        for rank, item in enumerate(items, start=1):
            item["rank"] = rank
    return tuple(Item(**item) for item in items[:size])


def mentions(value: bytes, item_id: str) -> bool:
    """Whether an item is in a stored value, spare places included; nothing is decoded."""
    return b'"item_id":%b,' % as_json(item_id) in value


def as_json(text: str | None) -> bytes:
    """Text as it stands in a stored value."""
    return _json(text).encode("utf-8", "surrogatepass")


def body_of(record_key: bytes, value: bytes) -> bytes:
    """The JSON of a stored value.

    Raises ``DamagedReleaseError`` where the value is not the one written under ``record_key``.
    """
    body = value[_CRC_DIGITS:]
    if value[:_CRC_DIGITS] != b"%08x" % _crc(record_key, body):
        raise DamagedReleaseError("a record's checksum does not match")
    return body


def checksum_of(value: bytes) -> str:
    """The checksum that a stored value begins with."""
    return value[:_CRC_DIGITS].decode("ascii", "replace")


def size_of(record_key: bytes, value: bytes) -> int:
    """How many items of a stored value are shown; raises what ``decode`` raises."""
    content = _content(record_key, value)
    return int(content.get("size", len(content["items"])))


def _content(record_key: bytes, value: bytes) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(body_of(record_key, value))
    if content["format"] not in READABLE_FORMATS:
        raise DamagedReleaseError(
            f"records have format {content['format']}, this reader knows formats "
            f"{' and '.join(map(str, READABLE_FORMATS))}"
        )
    return content


@dataclass(frozen=True, slots=True)
class Summary:
    """What a manifest says about its records: how many, and their SHA-256 in key order."""

    records: int
    checksum: str


def summarise(records: Iterable[Record]) -> Summary:
    """Count and digest records given in key order, lengths included so that no two sets agree."""
    digest, count = hashlib.sha256(), 0
    for record_key, value in records:
        digest.update(len(record_key).to_bytes(4) + record_key + len(value).to_bytes(4) + value)
        count += 1
    return Summary(count, digest.hexdigest())


def _crc(record_key: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(record_key))


def add_checksum(text: str) -> str:
    """A JSON object with one more field, the CRC-32 of all others."""
    content = json.loads(text)
    return json.dumps({**content, _SELF: _crc_of_json(content)})


def without_checksum(text: str | bytes) -> str:
    """The JSON object that was given to ``add_checksum``.

    One without that field comes from an earlier version, and back as it is. Raises ``ValueError``
    where the text is no JSON object, or not as written.
    """
    content = json.loads(text)
    is_intact = isinstance(content, dict) and (
        _SELF not in content or content.pop(_SELF) == _crc_of_json(content)
    )
    if not is_intact:
        raise ValueError("the checksum does not match")
    return json.dumps(content)


def _crc_of_json(content: object) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())
