"""What every request passes, around the framework: its id, key, bounds, headers, figures, log line.

Written for ASGI itself: a layer of the framework's own kind would cost each answer as much as
reading its list.
"""

import asyncio
import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from serving.api.access import API, Gate, RateLimits, needed
from serving.api.metrics import Metrics
from serving.api.problems import MEDIA_TYPE, ProblemError

LONGEST_PATH_BYTES: Final = 4_096
LONGEST_QUERY_BYTES: Final = 16_384
LARGEST_BODY_BYTES: Final = 1 << 20
BODY_SECONDS: Final = 10.0
LINES_PER_SECOND: Final = 20.0
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
_ERROR: Final = 500
_REFUSED: Final = 400
_UNAUTHORIZED: Final = 401

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
# A problem and the request's id, as a page's body and headers.
AsPage: TypeAlias = Callable[[ProblemError, str], tuple[bytes, dict[str, str]]]

# Answers are data: no page may frame them, no script in them may run, no other site may read them.
_SECURITY: Final = {
    b"x-content-type-options": b"nosniff",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}

logger = logging.getLogger("serving.api")


@dataclass(slots=True)
class Facts:
    """What is known of a request when it ends; nothing of it is a user's or an item's.

    ``key`` is the name of the key that it came with; ``is_for_a_person`` says that a browser asks
    for one of the console's pages.
    """

    request_id: str
    is_for_a_person: bool = False
    surface: str = "none"
    tier: str = "none"
    degraded: str = "none"
    status: int = 0
    key: str | None = None


class Edge:
    """The outermost application."""

    def __init__(self, app: App, gate: Gate, metrics: Metrics, as_page: AsPage) -> None:
        """Guard ``app``; people get a refusal ``as_page``."""
        self._app = app
        self._as_page = as_page
        self._gate = gate
        self._metrics = metrics
        self._lines = RateLimits(LINES_PER_SECOND)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or pass on what is none."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        is_ours = _REQUEST_ID.fullmatch(given) is None
        facts = Facts(
            secrets.token_hex(8) if is_ours else given.decode(),
            not scope["path"].startswith(API) and b"text/html" in headers.get(b"accept", b""),
        )
        scope["topshelf"] = facts
        answer = _Answer(send, facts)
        try:
            self._check(scope, headers)
            wanted = needed(scope["path"])
            if wanted is not None:
                key = self._gate.key(scope["path"], headers)
                facts.key = key.name
                self._gate.admit(key, wanted)
            await self._app(scope, _Body(receive), answer)
        except ProblemError as problem:
            self._metrics.kept_out(problem.name)
            if problem.status == _UNAUTHORIZED and facts.is_for_a_person:
                problem = _to_login()
            await self._refuse(problem, facts, answer)
        except Exception as error:  # noqa: BLE001 (the last resort; nothing of it may reach clients)
            # Neither message nor traceback: they could hold what the client sent.
            logger.error(_as_line(facts, started, error=where(error)))  # noqa: TRY400
            if not facts.status:
                await self._refuse(_internal(), facts, answer)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.answered(facts.surface, facts.tier, facts.degraded, facts.status, seconds)
            is_told = facts.status >= _REFUSED or facts.degraded != "none"
            # All are counted; a flood or an outage must not fill the disk with lines.
            if is_told and self._lines.wait("lines") == 0:
                logger.warning(_as_line(facts, started))

    async def _refuse(self, problem: ProblemError, facts: Facts, send: Send) -> None:
        body, named = told(problem, facts, self._as_page)
        headers = [(name.encode(), value.encode()) for name, value in named.items()]
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _check(self, scope: Scope, headers: MutableMapping[bytes, bytes]) -> None:
        if (
            len(scope["path"].encode("utf-8", "surrogatepass")) > LONGEST_PATH_BYTES
            or len(scope["query_string"]) > LONGEST_QUERY_BYTES
        ):
            raise ProblemError(414, "uri-too-long", "The address is too long")
        # The router takes both for the address without them, whose scope they would evade.
        if "//" in scope["path"] or (scope["path"].endswith("/") and scope["path"] != "/"):
            raise ProblemError(404, "not-found", "There is no such address")
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:12]) > LARGEST_BODY_BYTES:
            raise _too_large()


def told(problem: ProblemError, facts: Facts, as_page: AsPage) -> tuple[bytes, dict[str, str]]:
    """A problem's body and headers: JSON for programs, a page for people."""
    if facts.is_for_a_person:
        body, headers = as_page(problem, facts.request_id)
    else:
        body, headers = problem.body(facts.request_id), {"content-type": MEDIA_TYPE}
    return body, {**headers, **problem.headers}


class _Answer:
    """Sends on, with the headers that every answer has."""

    __slots__ = ("_facts", "_send")

    def __init__(self, send: Send, facts: Facts) -> None:
        self._send = send
        self._facts = facts

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._facts.status = message["status"]
            headers = [*message["headers"]]
            there = {name for name, _ in headers}
            headers += [pair for pair in _SECURITY.items() if pair[0] not in there]
            headers.append((b"x-request-id", self._facts.request_id.encode()))
            message["headers"] = headers
        await self._send(message)


class _Body:
    """Receives a body up to its greatest size, within its time."""

    __slots__ = ("_bytes", "_deadline", "_is_whole", "_receive")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._bytes = 0
        self._is_whole = False
        self._deadline = time.monotonic() + BODY_SECONDS

    async def __call__(self) -> Message:
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            raise ProblemError(408, "body-too-slow", "The body took too long") from None
        self._bytes += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._bytes > LARGEST_BODY_BYTES:
            raise _too_large()
        return message


def _to_login() -> ProblemError:
    """What a person's browser gets instead of a refusal."""
    return ProblemError(303, "sign-in", "Sign in first", headers={"location": "/login"})


def _internal() -> ProblemError:
    return ProblemError(_ERROR, "internal", "An error of ours")


def _too_large() -> ProblemError:
    return ProblemError(
        413, "body-too-large", "The body is too large", f"At most {LARGEST_BODY_BYTES} bytes."
    )


def where(error: Exception) -> str:
    """The kind of an error and the line of ours that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return f"{type(error).__name__} at {place}"


def _as_line(facts: Facts, started: float, **more: str) -> str:
    milliseconds = round((time.perf_counter() - started) * 1000, 1)
    content = {
        "request": facts.request_id,
        "surface": facts.surface,
        "tier": facts.tier,
        "degraded": facts.degraded,
        "status": facts.status,
        "key": facts.key,
        "ms": milliseconds,
    }
    return json.dumps(content | more)
