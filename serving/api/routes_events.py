"""Events by HTTP."""

from typing import Any, Final, TypeAlias

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from lakehouse.errors import InfrastructureError
from serving.api import schemas
from serving.api.problems import ProblemError
from serving.api.service import Service
from serving.feedback.events import EventBatch, Receipt
from serving.feedback.journal import DiskFullError

Asked: TypeAlias = Request[Any, Any, State]


@post(
    "/v1/events",
    responses={
        202: ResponseSpec(Receipt, generate_examples=False, description="They are on the disk."),
        **schemas.PROBLEMS,
    },
    status_code=202,
    operation_id="sendEvents",
    name="events",
    tags=["events"],
)
async def send_events(request: Asked, data: JSONBody[EventBatch]) -> Response[bytes]:
    """Up to 1,000 events, kept before the answer comes; one that was sent before counts once.

    Without an answer, or with 429, 503 or 507, send them again with the same ids.
    """
    service: Service = request.app.state.service
    request.scope["topshelf"].surface = "events"  # type: ignore[typeddict-item]
    try:
        receipt = await service.receive(data.events)
    except DiskFullError:
        raise ProblemError(
            507,
            "no-room",
            "There is no room for events",
            "None of them was kept. Send them again later.",
            {"retry-after": "60"},
        ) from None
    except InfrastructureError:
        raise ProblemError(
            503,
            "events-not-kept",
            "The events could not be kept",
            "None of them was kept. Send them again.",
            {"retry-after": "5"},
        ) from None
    return Response(msgspec.json.encode(receipt), status_code=202, media_type="application/json")


ROUTES: Final[tuple[HTTPRouteHandler, ...]] = (send_events,)
