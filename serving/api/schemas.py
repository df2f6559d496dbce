"""The API's bodies, as its document describes them; lists go out as bytes, only described here."""

from datetime import date
from typing import Annotated, Final

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Meta

from serving.api.problems import MEDIA_TYPE

MOST_EXCLUDED = 100
MOST_PLACES = 1_000
MOST_BATCHED = 100
# Of a basket or a history; each is a look-up.
MOST_ITEMS = 50
MOST_CONTEXTS = 20

Identity = Annotated[str, Meta(min_length=1, max_length=512)]
# NAME=VALUE without control characters; Python's `$` would take a line feed at the end.
CONTEXT: Final = "^[^=\\x00-\\x1f]{1,100}=[^\\x00-\\x1f]+$(?!\\n)"
Context = Annotated[str, Meta(max_length=512, pattern=CONTEXT)]
Count = Annotated[int, Meta(ge=1, le=MOST_PLACES)]
Excluded = Annotated[list[Identity], Meta(max_length=MOST_EXCLUDED)]
SurfaceName = Annotated[str, Meta(max_length=40)]


class Item(msgspec.Struct, frozen=True):
    """One place: why the item is there, and which method put it there."""

    rank: int
    item_id: str
    title: str | None
    score: float
    source: str
    reason: str


class List(msgspec.Struct, frozen=True):
    """A list as shown.

    ``tier`` says whose list answered: the user's or item's own, a context's, or everybody's.
    ``degraded`` is null, or why an older or more general list answered. ``arm`` is set while a
    release is rolled out. ``next`` is the cursor of the next page, which is of the same release.
    """

    release: str
    recommendation_id: str
    surface: str
    tier: str
    arm: str | None
    degraded: str | None
    next: str | None
    items: list[Item]


class Lists(msgspec.Struct, frozen=True):
    """The answers of a batch, in the order asked."""

    answers: list[List]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One list of a batch: of a user or of an item, as the surface is keyed."""

    surface: SurfaceName
    user: Identity | None = None
    item: Identity | None = None
    context: Context | None = None
    n: Count | None = None
    exclude: Excluded = []


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lists to get in one request."""

    requests: Annotated[list[Entry], Meta(min_length=1, max_length=MOST_BATCHED)]


class ItemDetails(msgspec.Struct, frozen=True):
    """What it takes to show an item; ``price`` is what a unit sells for, where that is known."""

    release: str
    item_id: str
    title: str | None
    category: str | None
    price: float | None


class Basket(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is in a basket, and how many items to complete it with.

    ``surface`` is one that is of baskets, the first one by default. ``user``, who need not be
    known, keeps out what they dismissed or bought a moment ago.
    """

    items: Annotated[list[Identity], Meta(min_length=1, max_length=MOST_ITEMS)]
    surface: SurfaceName | None = None
    user: Identity | None = None
    context: Context | None = None
    n: Count | None = None
    exclude: Excluded = []


class Liked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item of a history, and how much it says: two of weight 1 say as much as one of 2."""

    item: Identity
    weight: Annotated[float, Meta(gt=0, le=1_000)] = 1.0


class Newcomer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is known of somebody who has no lists: some items, and contexts, best ones first.

    ``surface`` is one that is of items, the first one by default. Contexts may be categories
    (`category=BEERS`); they answer where no item has a list.
    """

    items: Annotated[list[Liked], Meta(max_length=MOST_ITEMS)] = []
    contexts: Annotated[list[Context], Meta(max_length=MOST_CONTEXTS)] = []
    surface: SurfaceName | None = None
    n: Count | None = None
    exclude: Excluded = []


class Release(msgspec.Struct, frozen=True):
    """What serves: the release, its night, model and lists, and the rollout where one is on."""

    release: str
    run_date: date
    model_version: str | None
    lists: dict[str, int]
    candidate: str | None
    share: float
    trouble: bool


class Problem(msgspec.Struct, frozen=True):
    """RFC 9457; ``instance`` names the request, as the header X-Request-ID does."""

    type: str
    title: str
    status: int
    instance: str
    detail: str | None = None
    errors: list[dict[str, str]] | None = None


PROBLEMS: Final = {
    status: ResponseSpec(
        Problem, generate_examples=False, description=description, media_type=MEDIA_TYPE
    )
    for status, description in {
        400: "Not valid; `errors` says what.",
        401: "No valid key.",
        403: "The key has not the scope.",
        404: "No such path, surface or item.",
        405: "No such method.",
        408: "The body took too long.",
        410: "The cursor's list is gone: begin again.",
        413: "The body is too large.",
        414: "The address is too long.",
        429: "The key's rate limit is reached; Retry-After says for how long.",
        503: "Nothing to serve, or events could not be kept.",
        507: "No room for events.",
    }.items()
}
