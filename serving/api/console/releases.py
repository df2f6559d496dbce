"""What serves, and how it stands."""

from datetime import UTC, datetime
from typing import Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from serving.api.console.pages import Asked, denied, page, service_of
from serving.format.releases import by_night, night, state


@get("/", include_in_schema=False)
async def home(request: Asked) -> Response[str]:
    """What serves, and how it stands."""
    service = service_of(request)
    shelves, pointer = service.shelves, service.shelves.pointer
    current = pointer.current
    names = sorted(shelves.manifests, key=lambda name: by_night(name, pointer), reverse=True)
    return page(
        "home.html",
        current=current,
        age_days=None if current is None else (datetime.now(UTC).date() - night(current)).days,
        pointer=pointer,
        releases=[(shelves.manifests[name], state(name, pointer)) for name in names],
        trouble=shelves.trouble,
        left_alone=shelves.breaker.is_open,
        denied=await denied(service),
    )


ROUTES: Final[tuple[HTTPRouteHandler, ...]] = (home,)
