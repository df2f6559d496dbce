"""The last nights, as their steps left them in the runs folder: how each ended, and the verdicts.

The folder is there where nights run on the server's machine or on a disk they share.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from lakehouse.errors import DataError
from lakehouse.files import read_json
from lakehouse.lists import PERSONAL_LISTS
from lakehouse.steps import STEPS
from serving.api.console.pages import Asked, page, service_of
from serving.api.problems import ProblemError

SHOWN: Final = 14
LARGEST_OUTCOME_BYTES: Final = 1 << 20
LARGEST_REPORT_BYTES: Final = 32 << 20
METRIC: Final = "ndcg@"
# A report has its style and pictures in itself, and no script.
REPORT_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_REMEDY: Final = "Run the step again."


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate said of the night's model: ``metric`` by list, and why it was refused."""

    model: str
    has_passed: bool
    metric: Mapping[str, float | None]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Night:
    """How a night's steps ended: ``done`` in ``seconds`` together, ``failed`` with the reasons."""

    run_date: date
    done: tuple[str, ...]
    seconds: float
    failed: Mapping[str, str]
    verdict: Verdict | None
    has_report: bool


@get("/nights", include_in_schema=False)
async def nights(request: Asked) -> Response[str]:
    """The last nights."""
    runs = service_of(request).settings.runs
    found = await asyncio.to_thread(last_nights, runs)
    return page("nights.html", nights=found, steps=STEPS, lists=PERSONAL_LISTS)


@get("/nights/{run_date:date}/report", include_in_schema=False)
async def report(request: Asked, *, run_date: date) -> Response[bytes]:
    """A night's run report, as the night wrote it."""
    place = service_of(request).settings.runs / run_date.isoformat() / "report.html"
    content = await asyncio.to_thread(_content, place)
    if content is None:
        raise ProblemError(404, "not-found", "This night has no report")
    headers = {"content-security-policy": REPORT_POLICY}
    return Response(content, media_type="text/html", headers=headers)


def last_nights(runs: Path) -> list[Night]:
    """The newest nights below ``runs``, the last one first; none where there is no such folder."""
    folders = sorted(_nights_in(runs), reverse=True)
    return [_night(runs / run_date.isoformat(), run_date) for run_date in folders[:SHOWN]]


def _nights_in(runs: Path) -> Iterator[date]:
    for path in runs.iterdir() if runs.is_dir() else ():
        with suppress(ValueError):
            yield date.fromisoformat(path.name)


def _night(folder: Path, run_date: date) -> Night:
    outcomes = {step.name: _outcome(folder / f"{step.name}.json") for step in STEPS}
    failures = {step.name: _outcome(folder / f"{step.name}.failed.json") for step in STEPS}
    failed = {name: str(one["reason"]) for name, one in failures.items() if one}
    done = {name: one for name, one in outcomes.items() if one and name not in failed}
    return Night(
        run_date=run_date,
        done=tuple(done),
        seconds=sum(one["seconds"] for one in done.values()),
        failed=failed,
        verdict=_verdict(outcomes["gate"]),
        has_report=(folder / "report.html").is_file(),
    )


def _verdict(outcome: Mapping[str, Any]) -> Verdict | None:
    facts = outcome.get("facts", {})
    if not {"challenger", "passed", "checks", "reasons"} <= facts.keys():
        return None
    return Verdict(
        model=facts["challenger"],
        has_passed=facts["passed"],
        metric={
            check["list"]: check["challenger"]
            for check in facts["checks"]
            # Not those over other methods, or of some users only.
            if check["rule"].startswith(METRIC) and " " not in check["rule"]
        },
        reasons=tuple(facts["reasons"]),
    )


def _outcome(path: Path) -> dict[str, Any]:
    """What a step left; empty where there is nothing, or nothing that can be read."""
    try:
        is_small = path.stat().st_size <= LARGEST_OUTCOME_BYTES
        return read_json(path, _REMEDY) if is_small else {}
    except (OSError, DataError):
        return {}


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.stat().st_size <= LARGEST_REPORT_BYTES else None
    except OSError:
        return None


ROUTES: Final[tuple[HTTPRouteHandler, ...]] = (nights, report)
