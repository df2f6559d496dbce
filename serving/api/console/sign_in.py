"""Signing in with an API key, and out."""

from typing import Any, Final

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from serving.api.access import COOKIE
from serving.api.console.pages import SEE_OTHER, Asked, elsewhere, form, page, service_of

SIGNED_IN_SECONDS: Final = 8 * 3600


@get("/login", include_in_schema=False)
async def login() -> Response[str]:
    """The form to sign in with a key."""
    return page("login.html", failed=False)


@post("/login", include_in_schema=False, status_code=SEE_OTHER)
async def sign_in(request: Asked) -> Response[Any]:
    """Keep the key in a cookie, if it is one."""
    token = (await form(request)).get("key", "").strip()
    if service_of(request).gate.ring.find(token) is None:
        answer = page("login.html", failed=True)
        answer.status_code = 403
        return answer
    cookie = f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={SIGNED_IN_SECONDS}"
    secure = "; Secure" if request.headers.get("x-forwarded-proto") == "https" else ""
    return elsewhere("/", {"set-cookie": cookie + secure})


@post("/logout", include_in_schema=False, status_code=SEE_OTHER)
async def sign_out() -> Response[None]:
    """Let the browser forget the key."""
    gone = f"{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"
    return elsewhere("/login", {"set-cookie": gone})


ROUTES: Final[tuple[HTTPRouteHandler, ...]] = (login, sign_in, sign_out)
