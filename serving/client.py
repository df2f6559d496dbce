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
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import quote

import httpx

from serving.format.records import Item

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

DEADLINE_SECONDS: Final = 0.2
SEND_SECONDS: Final = 10.0
_RETRIED: Final = frozenset({429, 500, 502, 503, 504, 507})
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 2.0
Kind = TypeVar("Kind", bound="DataclassInstance")


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


@dataclass(frozen=True, slots=True)
class Details:
    """What it takes to show an item; ``price`` is what a unit sells for, where that is known."""

    release: str
    item_id: str
    title: str | None
    category: str | None
    price: float | None


@dataclass(frozen=True, slots=True)
class _Receipt:
    accepted: int
    duplicates: int


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
        return self._read(f"/v1/users/{_quoted(user)}/{_quoted(surface)}", surface, asked)

    def item_list(
        self, item: str, surface: str, *, count: int | None = None, exclude: Sequence[str] = ()
    ) -> Shelf:
        """An item's list, as ``user``."""
        asked = {"n": count, "exclude": list(exclude)}
        return self._read(f"/v1/items/{_quoted(item)}/{_quoted(surface)}", surface, asked)

    def basket(
        self,
        items: Sequence[str],
        *,
        surface: str | None = None,
        user: str | None = None,
        context: str | None = None,
        count: int | None = None,
        exclude: Sequence[str] = (),
    ) -> Shelf:
        """What a basket lacks, as ``user``."""
        asked = {
            "items": [*items],
            "surface": surface,
            "user": user,
            "context": context,
            "n": count,
            "exclude": list(exclude),
        }
        return self._read("/v1/baskets", surface or "baskets", asked, method="POST")

    def newcomer(
        self,
        items: Mapping[str, float],
        *,
        contexts: Sequence[str] = (),
        surface: str | None = None,
        count: int | None = None,
        exclude: Sequence[str] = (),
    ) -> Shelf:
        """What somebody may like who took these items, each with its weight; as ``user``."""
        liked = [{"item": item, "weight": weight} for item, weight in items.items()]
        asked = {
            "items": liked,
            "contexts": [*contexts],
            "surface": surface,
            "n": count,
            "exclude": list(exclude),
        }
        return self._read("/v1/newcomers", surface or "newcomers", asked, method="POST")

    def item(self, item: str) -> Details | None:
        """What it takes to show an item; ``None`` where that is not known.

        Raises ``RefusedError`` for an item that there is not.
        """
        answer = self._ask("GET", f"/v1/items/{_quoted(item)}", self._deadline)
        content = None if answer is None else _content(answer)
        return None if content is None else _typed(Details, content)

    def send(self, events: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
        """Send events; how many were taken, and how many were known. They are on the disk then.

        Raises ``RefusedError`` where the API takes none of them in time: keep them, and send them
        again with the same ids.
        """
        answer = self._ask("POST", "/v1/events", SEND_SECONDS, json={"events": [*events]})
        content = None if answer is None else _content(answer)
        receipt = None if content is None else _typed(_Receipt, content)
        if receipt is None:
            status = 503 if answer is None else answer.status_code
            raise RefusedError(status, "The API takes no events", "Send them again.")
        return receipt.accepted, receipt.duplicates

    def close(self) -> None:
        """Give up connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(
        self, path: str, surface: str, asked: Mapping[str, Any], *, method: str = "GET"
    ) -> Shelf:
        said = {name: value for name, value in asked.items() if value}
        how = {"params": said} if method == "GET" else {"json": said}
        answer = self._ask(method, path, self._deadline, **how)
        content = None if answer is None else _content(answer)
        shelf = None if content is None else _shelf(content)
        if shelf is None:
            return self._instead(surface, said)
        if "cursor" not in said:
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


def _content(answer: httpx.Response) -> dict[str, Any] | None:
    """What an answer says; ``None`` where that is nothing of the API's: a proxy's page, an error.

    Raises ``RefusedError`` where it is the request that is wrong.
    """
    try:
        content = answer.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        content = None
    if answer.is_client_error and answer.status_code not in _RETRIED:
        told = content or {}
        title, detail = told.get("title", answer.reason_phrase), told.get("detail", "")
        raise RefusedError(answer.status_code, str(title), str(detail))
    return content if answer.is_success else None


def _shelf(content: Mapping[str, Any]) -> Shelf | None:
    items = content.get("items")
    if not isinstance(items, list):
        return None
    typed = [_typed(Item, item) for item in items if isinstance(item, dict)]
    known = tuple(item for item in typed if item is not None)
    return None if len(known) < len(items) else _typed(Shelf, {**content, "items": known})


def _typed(kind: type[Kind], content: Mapping[str, Any]) -> Kind | None:
    """The fields that a later server adds are left alone; ``None`` where one is missing."""
    names = [one.name for one in fields(kind)]
    return kind(*(content[name] for name in names)) if content.keys() >= {*names} else None
