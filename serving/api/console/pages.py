"""What the handlers of pages share: forms, answers, and the service behind them."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.params import QueryParameter

from lakehouse.errors import InfrastructureError
from serving.api.console.rendering import PAGE_HEADERS, TEMPLATES, rendered
from serving.api.edge import Facts
from serving.api.problems import ProblemError
from serving.api.service import Service
from serving.format.denials import DenyList

Asked: TypeAlias = Request[Any, Any, State]
Text = Annotated[str, QueryParameter(max_length=512)]

SEE_OTHER: Final = 303
_LONGEST: Final = 600
_OF_OURS: Final = ("", "same-origin", "none")


@get("/style.css", include_in_schema=False)
async def style() -> Response[bytes]:
    """How pages look."""
    return await _file("style.css", "text/css")


@get("/icon.svg", include_in_schema=False)
async def icon() -> Response[bytes]:
    """What a browser shows in the page's tab."""
    return await _file("icon.svg", "image/svg+xml")


def service_of(request: Asked) -> Service:
    """What the page is made from; the request is counted as the console's."""
    facts: Facts = request.scope["topshelf"]  # type: ignore[typeddict-item]
    facts.surface = "console"
    service: Service = request.app.state.service
    return service


async def denied(service: Service) -> DenyList:
    """The deny list; an empty one where the store cannot say."""
    try:
        return await asyncio.to_thread(service.shelves.denials)
    except InfrastructureError:
        return DenyList()


async def form(request: Asked) -> dict[str, str]:
    """A form's fields; one that another site sent is refused."""
    if request.headers.get("sec-fetch-site", "") not in _OF_OURS:
        raise ProblemError(403, "other-site", "This form was sent by another site")
    fields = await request.form()
    return {
        name: value
        for name, value in fields.items()
        if isinstance(value, str) and len(value) <= _LONGEST
    }


def page(template: str, **content: Any) -> Response[str]:  # noqa: ANN401 (whatever a template shows)
    """The answer with a page."""
    headers = dict(PAGE_HEADERS)
    media_type = headers.pop("content-type")
    return Response(rendered(template, **content), media_type=media_type, headers=headers)


def elsewhere(place: str, headers: Mapping[str, str] | None = None) -> Response[None]:
    """Send the browser on to another page."""
    return Response(None, status_code=SEE_OTHER, headers={"location": place, **(headers or {})})


async def _file(name: str, media_type: str) -> Response[bytes]:
    content = await asyncio.to_thread((TEMPLATES / name).read_bytes)
    return Response(content, media_type=media_type, headers={"cache-control": "max-age=300"})
