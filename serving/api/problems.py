"""Problems as RFC 9457 has them: one JSON object for every answer that is not the one asked for."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MEDIA_TYPE = "application/problem+json"


@dataclass(slots=True)
class ProblemError(Exception):
    """What went wrong, for a client: ``name`` is for programs, ``detail`` for people.

    ``errors`` lists what is wrong in the request, never the value that was given.
    """

    status: int
    name: str
    title: str
    detail: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    errors: Sequence[Mapping[str, str]] = ()

    def body(self, request_id: str) -> bytes:
        """The JSON."""
        content: dict[str, object] = {
            "type": f"urn:topshelf:problem:{self.name}",
            "title": self.title,
            "status": self.status,
        }
        if self.detail:
            content["detail"] = self.detail
        if self.errors:
            content["errors"] = [*self.errors]
        return json.dumps(content | {"instance": f"urn:topshelf:request:{request_id}"}).encode()


def unknown_surface(known: Sequence[str]) -> ProblemError:
    """No list of that name is served here."""
    there = ", ".join(known) or "none"
    return ProblemError(404, "unknown-surface", "No such surface", f"There is: {there}.")


def unknown_item() -> ProblemError:
    """The catalogue describes no item of that id."""
    return ProblemError(404, "unknown-item", "No such item")


def invalid_request(errors: Sequence[Mapping[str, str]] = (), detail: str = "") -> ProblemError:
    """Something in the request is not as the API's document says."""
    return ProblemError(400, "invalid-request", "The request is not valid", detail, errors=errors)


def gone() -> ProblemError:
    """A cursor's list is not there any more."""
    return ProblemError(
        410,
        "cursor-expired",
        "The list has changed since its first page",
        "Begin again without a cursor.",
    )


def nothing_to_serve() -> ProblemError:
    """There is no list, not even an old one."""
    return ProblemError(
        503,
        "nothing-to-serve",
        "There is nothing to serve",
        "Nothing was published yet, or the store cannot be read.",
        {"retry-after": "5"},
    )
