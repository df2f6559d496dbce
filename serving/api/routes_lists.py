"""Lists by HTTP: of users, items, contexts and everybody, one at a time or many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, PathParameter, QueryParameter

from lakehouse.lists import EVERYBODY, SURFACES, KeyedBy, Surface
from serving.api import schemas
from serving.api.answers import (
    LONGEST_CURSOR,
    Cursor,
    NoCursorError,
    OtherListError,
    Sent,
    render,
    send,
)
from serving.api.edge import Facts
from serving.api.problems import gone, invalid_request, nothing_to_serve, unknown_surface
from serving.api.service import Service
from serving.api.shelf import Found, NothingToServeError, ReleaseGoneError, Wanted
from serving.lookup import Asker, Link, chain

Asked: TypeAlias = Request[Any, Any, State]
Subject = Annotated[
    str,
    PathParameter(min_length=1, max_length=512, description="The id in the source, URL-encoded."),
]
SurfaceName = Annotated[str, PathParameter(max_length=40, description="A surface of the release.")]
Count = Annotated[
    int | None,
    QueryParameter(
        name="n", ge=1, le=schemas.MOST_PLACES, description="Most items of a page; all by default."
    ),
]
CursorText = Annotated[
    str | None,
    QueryParameter(
        max_length=LONGEST_CURSOR,
        description="`next` of the answer before; ask for the same list with it.",
    ),
]
ContextKey = Annotated[
    str | None,
    QueryParameter(
        max_length=512,
        pattern=schemas.CONTEXT,
        description="NAME=VALUE, e.g. store_id=367: whose list, or for users without one.",
    ),
]
Excluded = Annotated[
    list[str] | None,
    QueryParameter(
        max_items=schemas.MOST_EXCLUDED,
        description="Items to leave out (repeatable), e.g. those in the cart; spare ones move up.",
    ),
]

RESPONSES: Final = {
    200: ResponseSpec(schemas.List, generate_examples=False, description="The list."),
    **schemas.PROBLEMS,
}
# An answer holds until the next dismissal or release: ask again, and be told that it still holds.
_CACHED: Final = b"private, no-cache"
# What is not one user's may be some seconds old, as a denied item may be with clients that cache.
CACHED_FOR_ALL: Final = b"private, max-age=30"
_NOT_CACHED: Final = b"no-store"
_OF_ALL: Final = ("context", "nobody")


@get(
    "/v1/users/{user:str}/{surface:str}",
    responses=RESPONSES,
    operation_id="userList",
    name="users",
    tags=["lists"],
)
async def user_list(
    request: Asked,
    *,
    user: Subject,
    surface: SurfaceName,
    n: Count = None,
    cursor: CursorText = None,
    context: ContextKey = None,
    exclude: Excluded = None,
) -> Sent:
    """A user's list; who is unknown gets the list of their context, or everybody's."""
    asked = declared(surface, "user")
    links = chain(asked, Asker.of(asked, user, context))
    return await answer(request, asked, links, Part(n, exclude or (), cursor), user=user)


@get(
    "/v1/items/{item:str}/{surface:str}",
    responses=RESPONSES,
    operation_id="itemList",
    name="items",
    tags=["lists"],
)
async def item_list(
    request: Asked,
    *,
    item: Subject,
    surface: SurfaceName,
    n: Count = None,
    cursor: CursorText = None,
    context: ContextKey = None,
    exclude: Excluded = None,
) -> Sent:
    """An item's list, such as what goes with it."""
    asked = declared(surface, "item")
    links = chain(asked, Asker.of(asked, item, context))
    return await answer(request, asked, links, Part(n, (item, *(exclude or ())), cursor))


def _for_everybody(one: Surface) -> HTTPRouteHandler:
    @get(
        f"/v1/{one.name}",
        responses=RESPONSES,
        operation_id=f"{one.name}List",
        name=one.name,
        summary=f"{one.doc.capitalize()}.",
        tags=["lists"],
    )
    async def everybodys_list(
        request: Asked,
        *,
        n: Count = None,
        cursor: CursorText = None,
        context: ContextKey = None,
        exclude: Excluded = None,
    ) -> Sent:
        links = chain(one, Asker.of(one, EVERYBODY, context))
        return await answer(request, one, links, Part(n, exclude or (), cursor))

    return everybodys_list


@post(
    "/v1/batch",
    responses={
        200: ResponseSpec(schemas.Lists, generate_examples=False, description="The lists."),
        **schemas.PROBLEMS,
    },
    status_code=200,
    operation_id="batch",
    name="batch",
    tags=["lists"],
)
async def batch(request: Asked, data: JSONBody[schemas.Batch]) -> Sent:
    """Up to 100 lists, those of one release in one round trip."""
    service, facts = served_by(request)
    entries = data.requests
    wanted = [_wanted(entry, place) for place, entry in enumerate(entries)]
    found = await _read(service, wanted)
    parts = []
    for entry, one in zip(entries, found, strict=True):
        own = [entry.item, *entry.exclude] if entry.item is not None else entry.exclude
        hidden = service.hidden(one, entry.user, own)
        parts.append(render(entry.surface, one, hidden=hidden, count=entry.n))
    degraded = {one.degraded for one in found if one.degraded}
    facts.surface, facts.tier = "batch", "batch"
    facts.degraded = min(degraded, default="none")
    return send(request.scope["headers"], b'{"answers":[' + b",".join(parts) + b"]}", _NOT_CACHED)


ROUTES: Final[tuple[HTTPRouteHandler, ...]] = (
    user_list,
    item_list,
    batch,
    *(_for_everybody(one) for one in SURFACES if one.name in ("popular", "trending", "new")),
)


def declared(name: str | None, keyed_by: KeyedBy) -> Surface:
    """The surface of that name, or the first of its kind; raises ``ProblemError`` without one."""
    known = {one.name: one for one in SURFACES if one.keyed_by == keyed_by}
    found = known.get(name) if name is not None else next(iter(known.values()), None)
    if found is None:
        raise unknown_surface([*known])
    return found


def _wanted(entry: schemas.Entry, place: int) -> Wanted:
    # Baskets have a path of their own.
    known = {one.name: one for one in SURFACES if one.keyed_by != "basket"}
    if entry.surface not in known:
        raise unknown_surface([*known])
    asked = known[entry.surface]
    given = {"user": entry.user, "item": entry.item}
    subject = given.get(asked.keyed_by, EVERYBODY)
    if subject is None:
        raise invalid_request(detail=f"requests[{place}]: this surface needs {asked.keyed_by}.")
    return Wanted(chain(asked, Asker.of(asked, subject, entry.context)), entry.user)


@dataclass(frozen=True, slots=True)
class Part:
    """How much is asked of a list, without which items, and from where on."""

    count: int | None
    excluded: Sequence[str]
    cursor: str | None = None


async def answer(
    request: Asked,
    asked: Surface,
    links: tuple[Link, ...],
    part: Part,
    *,
    user: str | None = None,
) -> Sent:
    """A part of the first list that there is of a chain.

    Raises ``ProblemError`` where there is none, or not any more the one that a cursor is of.
    """
    service, facts = served_by(request)
    facts.surface = asked.name
    cursor = _cursor(part.cursor)
    pinned = cursor.release if cursor else None
    if pinned in service.shelves.pointer.withdrawn:
        raise gone()
    (found,) = await _read(service, [Wanted(links, user, pinned)])
    facts.tier, facts.degraded = found.link.tier, found.degraded or "none"
    hidden = service.hidden(found, user, part.excluded)
    try:
        body = render(asked.name, found, hidden=hidden, cursor=cursor, count=part.count)
    except OtherListError:
        raise gone() from None
    cached = CACHED_FOR_ALL if asked.keyed_by in _OF_ALL else _CACHED
    if found.degraded or request.method == "POST":
        cached = _NOT_CACHED
    return send(request.scope["headers"], body, cached)


async def _read(service: Service, wanted: Sequence[Wanted]) -> list[Found]:
    try:
        return await service.shelves.read(wanted)
    except ReleaseGoneError:
        raise gone() from None
    except NothingToServeError:
        raise nothing_to_serve() from None


def _cursor(text: str | None) -> Cursor | None:
    if text is None:
        return None
    try:
        return Cursor.parse(text)
    except NoCursorError:
        raise invalid_request(detail="cursor: give `next` of an answer as it is.") from None


def served_by(request: Asked) -> tuple[Service, Facts]:
    """What serves a request, and what becomes known of it."""
    facts: Facts = request.scope["topshelf"]  # type: ignore[typeddict-item]
    return request.app.state.service, facts
