"""A client of the API: typed answers, a deadline, retries with jitter, and a fallback of its own.

    with Client("http://127.0.0.1:8600", key, fallback=("1029743",)) as client:
        shelf = client.user("1", "discover", count=5, exclude=("82",))
        client.send([{"event_id": "web-1", "event_type": "impression", ...}])

Reading never raises for a server that fails: the answer is then the last list of this kind, or the
``fallback``, with ``degraded`` saying so. Sending does, as only the caller knows where to keep
events; sent again, they count once.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from serving.format.records import Item

DEADLINE_SECONDS: Final = 0.2
SEND_SECONDS: Final = 10.0
_RETRIED: Final = frozenset({429, 502, 503, 504, 507})
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 2.0
_ITEM: Final = tuple(field.name for field in fields(Item))


@dataclass(frozen=True, slots=True)
class Shelf:
    """A list as the API answers it (``docs/api.md``); ``degraded`` is ``client`` for a fallback."""

    release: str
    recommendation_id: str
    surface: str
    tier: str
    arm: str | None
    degraded: str | None
    next: str | None
    items: tuple[Item, ...]


class RefusedError(Exception):
    """The API refuses a request, or takes no events: its problem's status, title and detail."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(f"{status} {title}. {detail}".strip())
        self.status = status


class Client:
    """One server's client; it may be used by several threads."""

    def __init__(
        self,
        address: str,
        key: str,
        *,
        fallback: Sequence[str] = (),
        deadline_seconds: float = DEADLINE_SECONDS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Ask the API at ``address``; ``fallback`` are items to show where nothing is known."""
        self._http = httpx.Client(
            base_url=address, headers={"authorization": f"Bearer {key}"}, timeout=deadline_seconds
        )
        self._deadline = deadline_seconds
        self._jitter = jitter
        self._fallback = tuple(
            Item(rank, item, None, 0.0, "client", "") for rank, item in enumerate(fallback, 1)
        )
        self._last: dict[str, Shelf] = {}

    def user(
        self,
        user: str,
        surface: str,
        *,
        count: int | None = None,
        cursor: str | None = None,
        context: str | None = None,
        exclude: Sequence[str] = (),
    ) -> Shelf:
        """A user's list; raises ``RefusedError`` for a request that the API will not answer."""
        asked = {"n": count, "cursor": cursor, "context": context, "exclude": list(exclude)}
        path = f"/v1/users/{_quoted(user)}/{_quoted(surface)}"
        return self._read(path, surface, {name: value for name, value in asked.items() if value})

    def send(self, events: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
        """Send events; how many were taken, and how many were known. They are on the disk then.

        Raises ``RefusedError`` where the API takes none of them in time: keep them, and send them
        again with the same ids.
        """
        answer = self._ask("POST", "/v1/events", SEND_SECONDS, json={"events": [*events]})
        if answer is None:
            raise RefusedError(503, "The API does not answer", "Send the events again.")
        content = _content(answer)
        return content["accepted"], content["duplicates"]

    def close(self) -> None:
        """Give up connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, path: str, surface: str, asked: Mapping[str, Any]) -> Shelf:
        answer = self._ask("GET", path, self._deadline, params=asked)
        if answer is None or answer.status_code in _RETRIED:
            return self._instead(surface, asked)
        content = _content(answer)
        items = tuple(Item(*(one[name] for name in _ITEM)) for one in content.pop("items"))
        shelf = Shelf(**content, items=items)
        if "cursor" not in asked:
            self._last[surface] = shelf
        return shelf

    def _instead(self, surface: str, asked: Mapping[str, Any]) -> Shelf:
        """The fallback: everybody's list where one was seen, never another user's."""
        last = self._last.get(surface)
        items = last.items if last is not None and last.tier == "global" else self._fallback
        left = [item for item in items if item.item_id not in asked.get("exclude", ())]
        ranked = [replace(item, rank=rank) for rank, item in enumerate(left, 1)]
        shown = tuple(ranked[: asked.get("n")])
        return Shelf("", "", surface, "global", None, "client", None, shown)

    def _ask(
        self,
        method: str,
        path: str,
        seconds: float,
        **content: Any,  # noqa: ANN401
    ) -> httpx.Response | None:
        """The answer; retried, while there is time, where that may help."""
        deadline = time.monotonic() + seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            left = deadline - time.monotonic()
            try:
                answer = self._http.request(method, path, timeout=max(left, 0.001), **content)
                if answer.status_code not in _RETRIED:
                    return answer
            except httpx.TransportError:
                answer = None
            wait = pause * self._jitter()
            if time.monotonic() + wait >= deadline:
                return answer
            time.sleep(wait)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def _quoted(part: str) -> str:
    return quote(part, safe="")


def _content(answer: httpx.Response) -> dict[str, Any]:
    content: dict[str, Any] = answer.json()
    if answer.is_error:
        raise RefusedError(answer.status_code, content["title"], content.get("detail", ""))
    return content
