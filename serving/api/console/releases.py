"""What serves and how it stands, and how one release differs from another."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, get_args

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from lakehouse.errors import TopshelfError
from lakehouse.lists import LISTS, Tier
from serving.api.console.pages import Asked, Text, denied, page, service_of
from serving.api.shelf import Shelves
from serving.format.comparison import Comparison
from serving.format.releases import by_night, last_two, night, state

# A night that is missing shows at once: what serves is of yesterday at the latest.
FRESH_DAYS: Final = 1
REFUSED: Final = 400
FAILED: Final = 500


@dataclass(frozen=True, slots=True)
class Check:
    """What should be well, and how it is."""

    name: str
    is_well: bool
    finding: str


@dataclass(slots=True)
class Answers:
    """A surface's answers: by whose lists they were, and how many were degraded or failed."""

    tiers: Counter[str] = field(default_factory=Counter)
    degraded: int = 0
    failed: int = 0

    @property
    def count(self) -> int:
        """All of them."""
        return self.tiers.total() + self.failed


@get("/", include_in_schema=False)
async def home(request: Asked) -> Response[str]:
    """What serves, and how it stands."""
    service = service_of(request)
    shelves, pointer = service.shelves, service.shelves.pointer
    names = sorted(shelves.manifests, key=lambda name: by_night(name, pointer), reverse=True)
    answers = by_surface(service.metrics.answers())
    return page(
        "home.html",
        pointer=pointer,
        trouble=shelves.trouble,
        checks=checks(shelves, answers.values()),
        releases=[(shelves.manifests[name], state(name, pointer)) for name in names],
        pair=last_two(pointer),
        answers=answers,
        tiers=get_args(Tier),
        denied=(await denied(service)).in_force,
    )


@get("/compare", include_in_schema=False)
async def compare(request: Asked, *, before: Text = "", after: Text = "") -> Response[str]:
    """Two releases, by default those that one most likely wants to compare."""
    service = service_of(request)
    manifests = service.shelves.manifests
    if not (before and after):
        before, after = last_two(service.shelves.pointer) or ("", "")
    found: Comparison | None = None
    trouble = ""
    if not {before, after} <= {"", *manifests}:
        trouble = "There is no such release in the store."
    elif before:
        try:
            found = await service.compare(before, after)
        except TopshelfError as error:
            trouble = str(error)
    return page(
        "compare.html",
        before=before,
        after=after,
        found=found,
        trouble=trouble,
        releases=sorted(manifests, reverse=True),
    )


def by_surface(samples: Iterable[tuple[Mapping[str, str], int]]) -> dict[str, Answers]:
    """Answers of the surfaces that were asked for, from the figures of ``Metrics.answers``.

    Requests that were refused are none of them.
    """
    found = {name: Answers() for name in LISTS}
    for labels, count in samples:
        status, answers = int(labels["status"]), found.get(labels["surface"])
        if answers is None or REFUSED <= status < FAILED:
            continue
        if status >= FAILED:
            answers.failed += count
            continue
        answers.tiers[labels["tier"]] += count
        if labels["degraded"] != "none":
            answers.degraded += count
    return {name: answers for name, answers in found.items() if answers.count}


def checks(shelves: Shelves, answers: Iterable[Answers]) -> list[Check]:
    """Whether readers get what they should: a fresh release, whole, from a store that answers."""
    current = shelves.pointer.current
    if current is None:
        return []
    age = (datetime.now(UTC).date() - night(current)).days
    poor, total = 0, 0
    for one in answers:
        poor, total = poor + one.degraded + one.failed, total + one.count
    is_there = current in shelves.manifests
    is_open = shelves.breaker.is_open
    return [
        Check("Release", is_there, current if is_there else f"{current} is damaged or gone"),
        Check("Age", age <= FRESH_DAYS, f"{age:,} day{'' if age == 1 else 's'}"),
        Check(
            "Store",
            shelves.trouble is None and not is_open,
            "left alone after failures" if is_open else "fails" if shelves.trouble else "answers",
        ),
        Check(
            "Degraded answers", not poor, f"{poor:,} of {total:,}" if total else "none asked for"
        ),
    ]


ROUTES: Final[tuple[HTTPRouteHandler, ...]] = (home, compare)
