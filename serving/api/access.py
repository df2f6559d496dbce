"""Who may do what, and how often: a key's scope for each path, and no path without but probes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from serving.api.problems import ProblemError
from serving.keys import Key, KeyRing, Scope

# What balancers, Prometheus and people who write clients ask for; nothing of the shop's data.
OPEN: Final = frozenset(
    {
        "/livez",
        "/readyz",
        "/metrics",
        "/v1/openapi.json",
        "/login",
        "/logout",
        "/style.css",
        "/icon.svg",
    }
)
_SCOPES: Final[dict[str, Scope]] = {"/v1/events": "events", "/deny": "admin"}
# People's browsers keep the key in it; programs send it with each request, and only that counts
# there: no other site can make a browser use it.
COOKIE: Final = "topshelf_key"
API: Final = "/v1/"
_BEARER: Final = b"bearer "
# A key that was quiet may ask for so many seconds' worth at once.
BURST_SECONDS: Final = 2.0


@dataclass(slots=True)
class RateLimits:
    """At most ``rate`` requests a second for each key, in this process; keys are few."""

    rate: float
    clock: Callable[[], float] = time.monotonic
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)

    def wait(self, key_id: str) -> float:
        """Take a token; 0 if there was one, else the seconds until there is."""
        now = self.clock()
        full = max(self.rate * BURST_SECONDS, 1.0)
        tokens, since = self._buckets.get(key_id, (full, now))
        tokens = min(tokens + (now - since) * self.rate, full)
        if tokens < 1:
            self._buckets[key_id] = (tokens, now)
            return (1 - tokens) / self.rate
        self._buckets[key_id] = (tokens - 1, now)
        return 0.0


def needed(path: str) -> Scope | None:
    """The scope that a path needs; ``None`` for those that are open."""
    return None if path in OPEN else _SCOPES.get(path, "read")


@dataclass(frozen=True, slots=True)
class Gate:
    """Lets a request in, or raises the problem that keeps it out."""

    ring: KeyRing
    rates: RateLimits

    def key(self, path: str, headers: Mapping[bytes, bytes]) -> Key:
        """The key that a request comes with; raises ``ProblemError`` 401 without a valid one."""
        given = _bearer(headers) if path.startswith(API) else _cookie(headers)
        key = self.ring.find(given)
        if key is None:
            raise ProblemError(
                401,
                "unauthorized",
                "A valid API key is needed",
                "Send it as `Authorization: Bearer KEY`.",
                {"www-authenticate": "Bearer"},
            )
        return key

    def admit(self, key: Key, scope: Scope) -> None:
        """Let a request of a key in, that needs a scope.

        Raises ``ProblemError`` 403 where the key has it not, 429 over the key's limit.
        """
        if scope not in key.scopes:
            raise ProblemError(
                403, "forbidden", "The key has not the scope", f"This needs the scope {scope}."
            )
        wait = self.rates.wait(key.id)
        if wait > 0:
            raise ProblemError(
                429,
                "too-many-requests",
                "The key's rate limit is reached",
                headers={"retry-after": str(int(wait) + 1)},
            )


def _bearer(headers: Mapping[bytes, bytes]) -> str:
    said = headers.get(b"authorization", b"")
    is_bearer = said[: len(_BEARER)].lower() == _BEARER
    return said[len(_BEARER) :].decode("latin-1") if is_bearer else ""


def _cookie(headers: Mapping[bytes, bytes]) -> str:
    for part in headers.get(b"cookie", b"").decode("latin-1").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""
