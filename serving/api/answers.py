"""An answer's bytes, the stored places between a head and a tail; cursors; entity tags."""

import base64
import gzip
import json
import re
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from serving.api.edge import Receive, Scope, Send
from serving.api.shelf import Found
from serving.format.places import Place, page
from serving.format.recommendations import Recommended

LONGEST_CURSOR: Final = 300
SMALLEST_PACKED: Final = 1_000
GZIP_LEVEL: Final = 4
_KEPT_HEADS: Final = 256
_CHECKSUM: Final = "CHECKSUM"
_NO_WEIGHT: Final = re.compile(r"q\s*=\s*0(\.0*)?")


class NoCursorError(ValueError):
    """A text is no cursor of ours."""


class OtherListError(ValueError):
    """A cursor is of another list than the one that there is now."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the next page of a list begins."""

    release: str
    checksum: str
    place: Place

    def __str__(self) -> str:
        content = [self.release, self.checksum, self.place.stored, self.place.shown]
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """The cursor that was written as ``text``; raises ``NoCursorError`` for any other."""
        try:
            padded = text + "=" * (-len(text) % 4)
            release, checksum, *places = json.loads(base64.b64decode(padded, b"-_", validate=True))
            is_one = (
                isinstance(release, str)
                and re.fullmatch(r"\d{4}-\d\d-\d\d[\w-]{0,80}", release, re.ASCII)
                and isinstance(checksum, str)
                and all(type(place) is int and 0 <= place <= 1_000_000 for place in places)  # noqa: PLR2004
            )
            if is_one:
                return cls(release, checksum, Place(*places))
        except (ValueError, TypeError, RecursionError) as error:
            raise NoCursorError from error
        raise NoCursorError


def render(
    surface: str,
    found: Found,
    *,
    hidden: Collection[bytes] = (),
    cursor: Cursor | None = None,
    count: int | None = None,
) -> bytes:
    """One answer in JSON, its items at most ``count`` of those that are not ``hidden``.

    Raises ``OtherListError`` where the cursor is of another list.
    """
    checksum = found.places.checksum
    if cursor is not None and (cursor.release, cursor.checksum) != (found.release, checksum):
        raise OtherListError("this cursor is of a list that is not there any more")
    shown = page(found.places, hidden, cursor.place if cursor else None, count)
    following = b"null"
    if shown.following is not None:
        following = b'"%b"' % str(Cursor(found.release, checksum, shown.following)).encode()
    head = _head(found.release, surface, found.link.tier, found.arm, found.degraded)
    return head % (checksum.encode(), following, shown.items)


@lru_cache(_KEPT_HEADS)
def _head(release: str, surface: str, tier: str, arm: str | None, degraded: str | None) -> bytes:
    """What many answers have in common, with places for checksum, cursor and items."""
    start = {
        "release": release,
        "recommendation_id": str(Recommended(release, surface, tier, arm, _CHECKSUM)),
        "surface": surface,
        "tier": tier,
        "arm": arm,
        "degraded": degraded,
    }
    text = json.dumps(start, separators=(",", ":")).removesuffix("}").replace("%", "%%")
    return f'{text},"next":%b,"items":%b}}'.replace(_CHECKSUM, "%b").encode()


@dataclass(frozen=True, slots=True)
class Sent:
    """An answer on its way, as the framework's responses are, without their cost for bytes."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def send(asked: Iterable[tuple[bytes, bytes]], body: bytes, cached: bytes) -> Sent:
    """An answer to a request of these headers, packed or left out where the client says so."""
    said = dict(asked)
    tag = _entity_tag(body)
    headers = [(b"etag", tag.encode()), (b"cache-control", cached), (b"vary", b"accept-encoding")]
    if _is_current(tag, said.get(b"if-none-match", b"").decode("latin-1")):
        return Sent(304, headers, b"")
    smaller = _packed(body, said.get(b"accept-encoding", b"").decode("latin-1"))
    if smaller is not None:
        headers.append((b"content-encoding", b"gzip"))
        body = smaller
    headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    return Sent(200, headers, body)


def _entity_tag(body: bytes) -> str:
    """A weak ETag: compressed or not, it is the same answer."""
    return f'W/"{zlib.crc32(body):08x}{len(body):x}"'


def _is_current(tag: str, if_none_match: str) -> bool:
    """Whether who asks has this answer already."""
    if not if_none_match:
        return False
    known = {one.strip() for one in if_none_match.split(",")}
    return "*" in known or tag in known


def _packed(body: bytes, accepted: str) -> bytes | None:
    """The body in gzip, where the client takes it and it is worth it."""
    if len(body) < SMALLEST_PACKED or not _takes_gzip(accepted):
        return None
    return gzip.compress(body, GZIP_LEVEL, mtime=0)


def _takes_gzip(accepted: str) -> bool:
    """Whether ``Accept-Encoding`` names gzip, or all, without the weight 0 (RFC 9110, 12.5.3)."""
    weights = {}
    for one in accepted.lower().split(","):
        name, _, weight = one.partition(";")
        weights[name.strip()] = _NO_WEIGHT.fullmatch(weight.strip()) is None
    return weights.get("gzip", weights.get("*", False))
