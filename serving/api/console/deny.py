"""Hiding an item from all lists, and showing it again."""

import asyncio
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler

from lakehouse.errors import InfrastructureError
from serving.api.console.pages import SEE_OTHER, Asked, elsewhere, form, service_of
from serving.api.problems import ProblemError, invalid_request
from serving.format.denials import Act


@post("/deny", include_in_schema=False, status_code=SEE_OTHER)
async def deny(request: Asked) -> Response[None]:
    """Hide an item, or show it again, from the next answer on."""
    service = service_of(request)
    fields = await form(request)
    item, who, why = (fields.get(name, "").strip() for name in ("item", "who", "why"))
    if not (item and who and why):
        raise invalid_request(detail="Give the item, who decides, and why.")
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    act = Act("allowed" if fields.get("act") == "allow" else "denied", item, who, why, when)
    try:
        await asyncio.to_thread(service.shelves.deny, lambda known: known.after([act]))
    except InfrastructureError:
        raise ProblemError(503, "store-down", "The store could not be written") from None
    return elsewhere(f"/items?{urlencode({'item': item})}")


ROUTES: Final[tuple[HTTPRouteHandler, ...]] = (deny,)
