"""The console: pages for people, on what is served to whom and why. Forms and tables, no scripts.

Who signs in gives an API key, which the browser keeps in a cookie that no script and no other site
can use. It lets them see what the key may read; hiding an item takes the scope ``admin``.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter

from lakehouse.errors import InfrastructureError
from lakehouse.lists import EVERYBODY, SURFACES, Surface
from serving.api.access import COOKIE
from serving.api.edge import Facts
from serving.api.problems import ProblemError, invalid_request
from serving.api.service import Service
from serving.api.shelf import Found, NothingToServeError, ReleaseGoneError, Wanted
from serving.format.denials import Act, DenyList
from serving.format.places import item_ids, page
from serving.format.releases import by_night, night, state
from serving.lookup import Asker, chain

Asked: TypeAlias = Request[Any, Any, State]
Text = Annotated[str, QueryParameter(max_length=512)]

SIGNED_IN_SECONDS: Final = 8 * 3600
_LONGEST: Final = 200
_TEMPLATES: Final = Path(__file__).with_name("templates")
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_OF_OURS: Final = ("", "same-origin", "none")
_SEE_OTHER: Final = 303

_pages: Final = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A surface as somebody gets it: its items, what was left out and why, or why there is none."""

    surface: Surface
    found: Found | None
    items: Sequence[Mapping[str, Any]] = ()
    left_out: Sequence[tuple[str, str]] = ()
    trouble: str = ""


@get("/", include_in_schema=False)
async def home(request: Asked) -> Response[str]:
    """What serves, and how it stands."""
    service = _service(request)
    shelves, pointer = service.shelves, service.shelves.pointer
    current = pointer.current
    names = sorted(shelves.manifests, key=lambda name: by_night(name, pointer), reverse=True)
    return _page(
        "home.html",
        current=current,
        age_days=None if current is None else (datetime.now(UTC).date() - night(current)).days,
        pointer=pointer,
        releases=[(shelves.manifests[name], state(name, pointer)) for name in names],
        trouble=shelves.trouble,
        left_alone=shelves.breaker.is_open,
        denied=await _denied(service),
    )


@get("/users", include_in_schema=False)
async def users(
    request: Asked, *, user: Text = "", context: Text = "", release: Text = ""
) -> Response[str]:
    """A user's surfaces with reasons, beside those of another release where one is asked for."""
    service = _service(request)
    if release and release not in service.shelves.manifests:
        raise invalid_request(detail="There is no such release in the store.")
    columns = []
    for pinned in (None, release) if release else (None,):
        shown = [
            await _shown(service, one, user, context or None, pinned)
            for one in SURFACES
            if one.keyed_by != "item" and one.name != "fallback"
        ]
        columns.append((pinned, shown))
    ranks = {
        one.surface.name: {item["item_id"]: item["rank"] for item in one.items}
        for one in columns[-1][1]
    }
    return _page(
        "users.html",
        user=user,
        context=context,
        release=release,
        columns=columns,
        before=ranks if release else {},
        releases=sorted(service.shelves.manifests, reverse=True),
    )


@get("/items", include_in_schema=False)
async def items(request: Asked, *, item: Text = "") -> Response[str]:
    """An item: whether it is denied, where everybody sees it, and its own shelves."""
    service = _service(request)
    denied = (await _denied(service)).in_force
    own = [
        await _shown(service, one, item, None, None)
        for one in SURFACES
        if one.keyed_by == "item" and item
    ]
    everybodys = [
        await _shown(service, one, EVERYBODY, None, None)
        for one in SURFACES
        if one.keyed_by in ("context", "nobody")
    ]
    places = [
        (one.surface, place)
        for one in everybodys
        for place in one.items
        if place["item_id"] == item
    ]
    return _page(
        "items.html", item=item, act=denied.get(item), own=own, places=places, denied=denied
    )


@post("/deny", include_in_schema=False, status_code=_SEE_OTHER)
async def deny(request: Asked) -> Response[None]:
    """Hide an item, or show it again, from the next answer on."""
    service = _service(request)
    form = await _form(request)
    item, who, why = (form.get(name, "").strip() for name in ("item", "who", "why"))
    if not (item and who and why):
        raise invalid_request(detail="Give the item, who decides, and why.")
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    act = Act("allowed" if form.get("act") == "allow" else "denied", item, who, why, when)
    try:
        await asyncio.to_thread(service.shelves.deny, lambda known: known.after([act]))
    except InfrastructureError:
        raise ProblemError(503, "store-down", "The store could not be written") from None
    return _elsewhere(f"/items?{urlencode({'item': item})}")


@get("/login", include_in_schema=False)
async def login() -> Response[str]:
    """The form to sign in with a key."""
    return _page("login.html", failed=False)


@post("/login", include_in_schema=False, status_code=_SEE_OTHER)
async def sign_in(request: Asked) -> Response[Any]:
    """Keep the key in a cookie, if it is one."""
    token = (await _form(request)).get("key", "").strip()
    if _service(request).gate.ring.find(token) is None:
        answer = _page("login.html", failed=True)
        answer.status_code = 403
        return answer
    cookie = f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={SIGNED_IN_SECONDS}"
    secure = "; Secure" if request.headers.get("x-forwarded-proto") == "https" else ""
    return _elsewhere("/", {"set-cookie": cookie + secure})


@post("/logout", include_in_schema=False, status_code=_SEE_OTHER)
async def sign_out() -> Response[None]:
    """Let the browser forget the key."""
    gone = f"{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"
    return _elsewhere("/login", {"set-cookie": gone})


@get("/style.css", include_in_schema=False)
async def style() -> Response[bytes]:
    """How pages look."""
    content = await asyncio.to_thread((_TEMPLATES / "style.css").read_bytes)
    return Response(content, media_type="text/css", headers={"cache-control": "max-age=300"})


ROUTES: Final[tuple[HTTPRouteHandler, ...]] = (
    home,
    users,
    items,
    deny,
    login,
    sign_in,
    sign_out,
    style,
)


async def _shown(
    service: Service, one: Surface, subject: str, context: str | None, release: str | None
) -> Shown:
    user = subject if one.keyed_by == "user" else None
    try:
        wanted = Wanted(chain(one, Asker.of(one, subject, context)), user, release)
        (found,) = await service.shelves.read([wanted])
    except ReleaseGoneError:
        return Shown(one, None, trouble="This release is gone or damaged.")
    except NothingToServeError:
        return Shown(one, None, trouble="There is nothing to serve.")
    hidden = service.hidden(found, user, ())
    shown = json.loads(page(found.places, hidden).items)
    all_of_them = json.loads(page(found.places).items)
    left_out = [
        (item["item_id"], "denied" if item_ids([item["item_id"]]) <= found.denied else "theirs")
        for item in all_of_them
        if item_ids([item["item_id"]]) <= hidden
    ]
    return Shown(one, found, shown, left_out)


async def _denied(service: Service) -> DenyList:
    try:
        return await asyncio.to_thread(service.shelves.denials)
    except InfrastructureError:
        return DenyList()


async def _form(request: Asked) -> dict[str, str]:
    """A form's fields; one that another site sent is refused."""
    if request.headers.get("sec-fetch-site", "") not in _OF_OURS:
        raise ProblemError(403, "other-site", "This form was sent by another site")
    fields = await request.form()
    return {
        name: value
        for name, value in fields.items()
        if isinstance(value, str) and len(value) <= _LONGEST * 3
    }


def _service(request: Asked) -> Service:
    facts: Facts = request.scope["topshelf"]  # type: ignore[typeddict-item]
    facts.surface = "console"
    service: Service = request.app.state.service
    return service


def _page(template: str, **content: Any) -> Response[str]:  # noqa: ANN401
    return Response(
        _pages.get_template(template).render(content),
        media_type="text/html",
        headers={"content-security-policy": _POLICY},
    )


def _elsewhere(place: str, headers: Mapping[str, str] | None = None) -> Response[None]:
    return Response(None, status_code=_SEE_OTHER, headers={"location": place, **(headers or {})})
