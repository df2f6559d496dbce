"""The events that clients send, and the lines of the landing files that they become.

A line is one JSON object with the fields of an ``Event``, what its recommendation id says (release,
surface, tier, arm), and when it was received. ``propensity`` is null until lists say with what
probability a place was drawn.
"""

import json
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from serving.format.recommendations import Recommended

MOST_EVENTS: Final = 1_000
FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2199

EventType: TypeAlias = Literal["impression", "click", "cart", "purchase", "rating", "dismissal"]
# Space is allowed, as ids come from other people's systems; control characters are not. Python's
# `$` would take a line feed at the end.
Identity: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=512, pattern="^[^\\x00-\\x1f\\x7f]+$(?!\\n)")
]
EventId: TypeAlias = Annotated[str, Meta(pattern="^[A-Za-z0-9_.:-]{1,100}$(?!\\n)")]
Amount: TypeAlias = Annotated[float, Meta(ge=-1e12, le=1e12)]


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing that a user did or was shown.

    ``event_id`` is made by the client, once: sent again, the event counts once. ``position`` is the
    item's rank in the answer of ``recommendation_id``. ``value`` is a rating, or what was paid.
    """

    event_id: EventId
    event_type: EventType
    user_id: Identity
    item_id: Identity
    event_time: Annotated[datetime, Meta(tz=True)]
    recommendation_id: Annotated[str, Meta(max_length=300)] | None = None
    position: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    value: Amount | None = None
    quantity: Amount | None = None

    def __post_init__(self) -> None:
        """Refuse times that other calendars and zones cannot tell."""
        if not FIRST_YEAR <= self.event_time.year <= LAST_YEAR:
            raise ValueError(f"event_time is not between {FIRST_YEAR} and {LAST_YEAR}")


class EventBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Events in any order."""

    events: Annotated[list[Event], Meta(min_length=1, max_length=MOST_EVENTS)]


class Receipt(msgspec.Struct, frozen=True):
    """How many events are on the disk for the first time, and how many were there before."""

    accepted: int
    duplicates: int


def line(event: Event, received: datetime) -> bytes:
    """The landing file's line of an event, with its line feed."""
    said = Recommended.parse(event.recommendation_id or "")
    content = {
        "event_id": event.event_id,
        "event_type": event.event_type,
        "user_id": event.user_id,
        "item_id": event.item_id,
        "event_time": _utc(event.event_time),
        "value": event.value,
        "quantity": event.quantity,
        "surface": said.surface if said else None,
        "position": event.position,
        "tier": said.tier if said else None,
        "release": said.release if said else None,
        "recommendation_id": event.recommendation_id,
        "arm": said.arm if said else None,
        "propensity": None,
        "received_at": _utc(received),
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _utc(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
