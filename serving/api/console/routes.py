"""All pages of the console."""

from typing import Final

from litestar.handlers import HTTPRouteHandler

from serving.api.console import deny, lists, releases, sign_in
from serving.api.console.pages import icon, style

ROUTES: Final[tuple[HTTPRouteHandler, ...]] = (
    *releases.ROUTES,
    *lists.ROUTES,
    *deny.ROUTES,
    *sign_in.ROUTES,
    style,
    icon,
)
