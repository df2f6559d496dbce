"""What balancers, Prometheus and operators ask: is it alive, ready, what serves."""

from typing import Any, Final, TypeAlias

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec

from serving.api import schemas
from serving.api.metrics import MEDIA_TYPE
from serving.api.problems import nothing_to_serve
from serving.api.service import Service
from serving.format.releases import night

Asked: TypeAlias = Request[Any, Any, State]


@get("/livez", include_in_schema=False, media_type="text/plain")
async def livez() -> str:
    """The process answers; if not, start it anew."""
    return "ok\n"


@get("/readyz", include_in_schema=False)
async def readyz(request: Asked) -> Response[str]:
    """There are lists to answer with; a failing store alone is no reason to send clients away."""
    service: Service = request.app.state.service
    is_ready = service.shelves.is_ready
    text = "ready\n" if is_ready else "nothing to serve yet\n"
    if service.events_trouble is not None:
        text += "events cannot be kept\n"
    return Response(text, status_code=200 if is_ready else 503, media_type="text/plain")


@get("/metrics", include_in_schema=False)
async def metrics(request: Asked) -> Response[bytes]:
    """For Prometheus."""
    service: Service = request.app.state.service
    service.note()
    return Response(service.metrics.page(), media_type=MEDIA_TYPE)


@get(
    "/v1/release",
    responses={
        200: ResponseSpec(schemas.Release, generate_examples=False, description="What serves."),
        **schemas.PROBLEMS,
    },
    operation_id="release",
    name="release",
    tags=["operations"],
)
async def release(request: Asked) -> Response[bytes]:
    """The release that serves, and the rollout where one is on."""
    service: Service = request.app.state.service
    pointer, current = service.shelves.pointer, service.shelves.pointer.current
    if current is None:
        raise nothing_to_serve()
    manifest = service.shelves.manifests.get(current)
    content = schemas.Release(
        release=current,
        run_date=night(current),
        model_version=manifest.model_version if manifest else None,
        lists=dict(manifest.lists) if manifest else {},
        candidate=pointer.candidate,
        share=pointer.share,
        trouble=service.shelves.trouble is not None,
    )
    return Response(
        msgspec.json.encode(content),
        media_type="application/json",
        headers={"cache-control": "private, max-age=5"},
    )


ROUTES: Final[tuple[HTTPRouteHandler, ...]] = (livez, readyz, metrics, release)
