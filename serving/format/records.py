"""How one list lies in a key-value store: key, value, checksums; and JSON that has its own.

A key is the list's name, a zero byte and the user's id. A value is eight hexadecimal digits, the
CRC-32 of key and body, and the body: JSON with the format's version and the items in order. The
CRC ties a value to its key, so that a value that turns up under another key is found out too.
"""

import hashlib
import json
import math
import re
import zlib
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from typing import Final, TypeAlias

from lakehouse.errors import DataError, InfrastructureError
from lakehouse.lists import FALLBACK

FORMAT: Final = 1
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


FALLBACK_KEY: Final = key(FALLBACK.name, "")


def encode(record_key: bytes, items: Iterable[Item]) -> bytes:
    """The value to store under ``record_key``; raises ``DataError`` for a NaN or infinite score."""
    return encode_places(record_key, map(astuple, items))


def encode_places(record_key: bytes, places: Iterable[Place]) -> bytes:
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
    text = f'{{"format":{FORMAT},"items":[{",".join(items)}]}}'
    body = text.encode("utf-8", "surrogatepass")
    return b"%08x" % _crc(record_key, body) + body


def decode(record_key: bytes, value: bytes) -> tuple[Item, ...]:
    """The items of a stored value.

    Raises ``DamagedReleaseError`` where the value is not the one written under ``record_key`` or
    its format is not this reader's.
    """
    body = value[_CRC_DIGITS:]
    if value[:_CRC_DIGITS] != b"%08x" % _crc(record_key, body):
        raise DamagedReleaseError("a record's checksum does not match")
    content = json.loads(body)
    if content["format"] != FORMAT:
        raise DamagedReleaseError(
            f"records have format {content['format']}, this reader knows format {FORMAT}"
        )
    return tuple(Item(**item) for item in content["items"])


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
