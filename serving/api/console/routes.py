"""All pages of the console."""

from typing import Final

from litestar.handlers import HTTPRouteHandler

from serving.api.console import deny, lists, nights, releases, sign_in
from serving.api.console.pages import icon, style

ROUTES: Final[tuple[HTTPRouteHandler, ...]] = (
    *releases.ROUTES,
    *nights.ROUTES,
    *lists.ROUTES,
    *deny.ROUTES,
    *sign_in.ROUTES,
    style,
    icon,
)
