"""Items by HTTP: what it takes to show one, what a basket lacks, what a newcomer may like."""

from dataclasses import replace
from typing import Any, Final, TypeAlias

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from lakehouse.lists import FALLBACK, POPULAR, SURFACES, KeyedBy, Surface
from serving.api import schemas
from serving.api.answers import Sent, send
from serving.api.problems import nothing_to_serve, unknown_item
from serving.api.routes_lists import CACHED_FOR_ALL, Part, Subject, answer, declared, served_by
from serving.api.shelf import NothingToServeError
from serving.format.records import as_json
from serving.lookup import Asker, chain

Asked: TypeAlias = Request[Any, Any, State]

_RESPONSES: Final = {
    200: ResponseSpec(schemas.List, generate_examples=False, description="The list, whole."),
    **schemas.PROBLEMS,
}


@get(
    "/v1/items/{item:str}",
    responses={
        200: ResponseSpec(schemas.ItemDetails, generate_examples=False, description="The item."),
        **schemas.PROBLEMS,
    },
    operation_id="item",
    name="item",
    tags=["items"],
)
async def item_details(request: Asked, *, item: Subject) -> Sent:
    """What it takes to show an item that the catalogue describes, denied or not."""
    service, facts = served_by(request)
    facts.surface = "details"
    try:
        release, content = await service.shelves.details(item)
    except NothingToServeError:
        raise nothing_to_serve() from None
    if content is None:
        raise unknown_item()
    head = b'{"release":%b,"item_id":%b,' % (as_json(release), as_json(item))
    return send(request.scope["headers"], head + content.removeprefix(b"{"), CACHED_FOR_ALL)


@post(
    "/v1/baskets",
    responses=_RESPONSES,
    status_code=200,
    operation_id="completeBasket",
    name="baskets",
    tags=["lists"],
)
async def complete_basket(request: Asked, data: JSONBody[schemas.Basket]) -> Sent:
    """What goes with the items of a basket, those that go with several of them first.

    The lists of its items, as published, are mixed by their scores.
    """
    asked = _asked(data.surface, "basket")
    items = tuple(dict.fromkeys(data.items))
    contexts = () if data.context is None else (data.context,)
    links = chain(asked, Asker(data.user or "", contexts, items))
    part = Part(data.n, (*items, *data.exclude))
    return await answer(request, asked, links, part, user=data.user)


@post(
    "/v1/newcomers",
    responses=_RESPONSES,
    status_code=200,
    operation_id="welcomeNewcomer",
    name="newcomers",
    tags=["lists"],
)
async def welcome_newcomer(request: Asked, data: JSONBody[schemas.Newcomer]) -> Sent:
    """What somebody may like of whom a few items are known, without a model.

    Their items' lists, as published, are mixed by scores and weights; where no item has one, what
    sells in their contexts answers, or in all of the shop.
    """
    weights: dict[str, float] = {}
    for one in data.items:
        weights[one.item] = weights.get(one.item, 0.0) + one.weight
    asker = Asker("", tuple(data.contexts), tuple(weights), tuple(weights.values()))
    asked = _asked(data.surface, "item")
    # An item's list may be missing or empty; a newcomer's is not.
    whole = replace(asked, fallbacks=asked.fallbacks or (POPULAR.name, FALLBACK.name))
    links = chain(whole, asker)
    return await answer(request, asked, links, Part(data.n, (*weights, *data.exclude)))


def _asked(name: str | None, keyed_by: KeyedBy) -> Surface:
    """The surface of that name, or the first of its kind; what sells where none is declared."""
    if name is None and all(one.keyed_by != keyed_by for one in SURFACES):
        return POPULAR
    return declared(name, keyed_by)


ROUTES: Final[tuple[HTTPRouteHandler, ...]] = (item_details, complete_basket, welcome_newcomer)
