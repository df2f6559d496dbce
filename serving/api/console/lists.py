"""A user's lists, and those that an item is in or has of its own."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain as joined
from typing import Any, Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from lakehouse.lists import EVERYBODY, SURFACES, Surface
from serving.api.console.pages import Asked, Text, denied, page, service_of
from serving.api.problems import invalid_request
from serving.api.service import Service
from serving.api.shelf import Found, NothingToServeError, ReleaseGoneError, Wanted
from serving.format import places
from serving.lookup import Asker, chain


@dataclass(frozen=True, slots=True)
class Shown:
    """A surface as somebody gets it: its items, what was left out and why, or why there is none."""

    surface: Surface
    found: Found | None
    items: Sequence[Mapping[str, Any]] = ()
    left_out: Sequence[tuple[Mapping[str, Any], str]] = ()
    trouble: str = ""


@get("/users", include_in_schema=False)
async def users(
    request: Asked, *, user: Text = "", context: Text = "", release: Text = ""
) -> Response[str]:
    """A user's surfaces with reasons, beside those of another release where one is asked for."""
    service = service_of(request)
    if release and release not in service.shelves.manifests:
        raise invalid_request(detail="There is no such release in the store.")
    surfaces = [
        [
            await _shown(service, one, user, context or None, pinned)
            for pinned in ((None, release) if release else (None,))
        ]
        for one in SURFACES
        if one.keyed_by not in ("item", "basket") and one.name != "fallback"
    ]
    ranks = {
        one[-1].surface.name: {item["item_id"]: item["rank"] for item in one[-1].items}
        for one in surfaces
    }
    return page(
        "users.html",
        user=user,
        context=context,
        release=release,
        surfaces=surfaces,
        before=ranks if release else {},
        releases=sorted(service.shelves.manifests, reverse=True),
    )


@get("/items", include_in_schema=False)
async def items(request: Asked, *, item: Text = "") -> Response[str]:
    """An item: whether it is denied, where everybody sees it, and its own shelves."""
    service = service_of(request)
    in_force = (await denied(service)).in_force
    own = [
        await _shown(service, one, item, None, None)
        for one in SURFACES
        if one.keyed_by == "item" and item
    ]
    everybodys = [
        await _shown(service, one, EVERYBODY, None, None)
        for one in SURFACES
        if one.keyed_by in ("context", "nobody")
    ]
    seen = [
        (one.surface, place)
        for one in everybodys
        for place in one.items
        if place["item_id"] == item
    ]
    known = joined.from_iterable((*one.items, *_hidden(one)) for one in everybodys)
    titles = {place["item_id"]: place["title"] for place in known}
    return page(
        "items.html",
        item=item,
        title=titles.get(item),
        act=in_force.get(item),
        own=own,
        places=seen,
    )


def _hidden(one: Shown) -> Iterator[Mapping[str, Any]]:
    return (item for item, _ in one.left_out)


async def _shown(
    service: Service, one: Surface, subject: str, context: str | None, release: str | None
) -> Shown:
    user = subject if one.keyed_by == "user" else None
    try:
        wanted = Wanted(chain(one, Asker.of(one, subject, context)), user, release)
        (found,) = await service.shelves.read([wanted])
    except ReleaseGoneError:
        return Shown(one, None, trouble="This release is gone or damaged.")
    except NothingToServeError:
        return Shown(one, None, trouble="There is nothing to serve.")
    hidden = service.hidden(found, user, ())
    shown = json.loads(places.page(found.places, hidden).items)
    all_of_them = json.loads(places.page(found.places).items)
    left_out = [
        (item, "denied" if _id(item) <= found.denied else "theirs")
        for item in all_of_them
        if _id(item) <= hidden
    ]
    return Shown(one, found, shown, left_out)


def _id(item: Mapping[str, Any]) -> frozenset[bytes]:
    return places.item_ids([item["item_id"]])


ROUTES: Final[tuple[HTTPRouteHandler, ...]] = (users, items)
