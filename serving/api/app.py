"""The ASGI application, and its OpenAPI document."""

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final, TypeAlias, cast

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from serving.api import routes_events, routes_items, routes_lists, routes_operations
from serving.api.access import Gate, RateLimits, needed
from serving.api.console.rendering import problem_page
from serving.api.console.routes import ROUTES as PAGES
from serving.api.edge import App, Edge, Facts, told, where
from serving.api.problems import ProblemError, invalid_request
from serving.api.service import Service
from serving.api.settings import ApiSettings
from serving.keys import KeyRing

Asked: TypeAlias = Request[Any, Any, State]

VERSION: Final = "1.0.0"
DESCRIPTION: Final = (
    "Lists of the release that serves, and the events that come back. Every answer names its "
    "release and tier; every error is a problem (RFC 9457). Paths begin with the version: what "
    "breaks a client gets another one."
)
_ERROR: Final = 500
_NOT_FOUND: Final = 404
_NOT_ALLOWED: Final = 405
# What a checker quotes may be anything that a client sent, but for the types that it expects.
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"|(?<=unknown field )`.*`", re.DOTALL)
# Fields, not values.
_PLACE: Final = re.compile(r"[\w.\[\]$]{1,100}")

logger = logging.getLogger(__name__)


def create_app(settings: ApiSettings) -> Edge:
    """The application of one process; raises what reading the keys raises."""
    rates = RateLimits(settings.requests_per_second / settings.workers)
    gate = Gate(KeyRing(settings.keys), rates)
    service = Service(settings, gate)
    return Edge(cast("App", framework(service)), gate, service.metrics, problem_page)


def framework(service: Service | None) -> Litestar:
    """The routes in their framework; without a service, for the document alone."""

    @asynccontextmanager
    async def running(app: Litestar) -> AsyncIterator[None]:
        assert service is not None  # noqa: S101 (only the document does without)
        await service.start()
        app.state.service = service
        try:
            yield
        finally:
            await service.stop()

    return Litestar(
        [
            *routes_lists.ROUTES,
            *routes_items.ROUTES,
            *routes_events.ROUTES,
            *routes_operations.ROUTES,
            *PAGES,
            openapi_document,
        ],
        lifespan=[running] if service is not None else (),
        openapi_config=OpenAPIConfig(
            title="Topshelf",
            version=VERSION,
            description=DESCRIPTION,
            security=[{"key": []}],
            components=Components(
                security_schemes={
                    "key": SecurityScheme(
                        type="http",
                        scheme="bearer",
                        description="An API key (`topshelf keys add`) with the scope of the path.",
                    )
                }
            ),
            render_plugins=(),
            use_handler_docstrings=True,
        ),
        exception_handlers={
            ProblemError: _as_problem,
            HTTPException: _as_http_problem,
            # What decoding a body raises besides: nested too deeply, or not UTF-8.
            RecursionError: _as_no_json,
            UnicodeDecodeError: _as_no_json,
            Exception: _as_internal_problem,
        },
        logging_config=None,
    )


@cache
def document() -> bytes:
    """The OpenAPI document, as it is checked in."""
    content = framework(None).openapi_schema.to_schema()
    for path, methods in content["paths"].items():
        for operation in methods.values():
            operation["security"] = [{"key": [needed(path)]}]
    return msgspec.json.format(msgspec.json.encode(content, order="sorted"), indent=2) + b"\n"


@get("/v1/openapi.json", include_in_schema=False)
async def openapi_document() -> Response[bytes]:
    """The API's document."""
    return Response(document(), media_type="application/json")


def _as_problem(request: Asked, problem: ProblemError) -> Response[bytes]:
    facts: Facts = request.scope["topshelf"]  # type: ignore[typeddict-item]
    body, headers = told(problem, facts, problem_page)
    media_type = headers.pop("content-type")
    return Response(body, status_code=problem.status, headers=headers, media_type=media_type)


def _as_http_problem(request: Asked, error: HTTPException) -> Response[bytes]:
    if isinstance(error, ValidationException):
        extra = error.extra if isinstance(error.extra, list) else []
        errors = [
            {
                "in": getattr(one.get("source"), "value", "body"),
                "name": _named(str(one.get("key", ""))),
                "message": _QUOTED.sub("…", str(one.get("message", ""))),
            }
            for one in extra
            if isinstance(one, dict)
        ]
        return _as_problem(request, invalid_request(errors))
    names = {_NOT_FOUND: "not-found", _NOT_ALLOWED: "method-not-allowed"}
    if error.status_code >= _ERROR:
        return _as_internal_problem(request, error)
    name = names.get(error.status_code, "invalid-request")
    title = name.replace("-", " ").capitalize()
    allow = {key: value for key, value in (error.headers or {}).items() if key.lower() == "allow"}
    return _as_problem(request, ProblemError(error.status_code, name, title, headers=allow))


def _as_no_json(request: Asked, _: Exception) -> Response[bytes]:
    return _as_problem(request, invalid_request(detail="The body is no JSON that can be read."))


def _as_internal_problem(request: Asked, error: Exception) -> Response[bytes]:
    # Neither message nor traceback: they could hold what the client sent.
    logger.error("request %s: %s", request.scope["topshelf"].request_id, where(error))  # type: ignore[typeddict-item]
    return _as_problem(request, ProblemError(_ERROR, "internal", "An error of ours"))


def _named(name: str) -> str:
    return name if _PLACE.fullmatch(name) else "…"
