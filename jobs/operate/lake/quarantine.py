"""Rejected rows: what waits, how it looks, and its way back into silver or out of sight."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

from rich.console import RenderableType
from rich.table import Column, Table
from rich.text import Text

from jobs.config.settings import Settings
from jobs.night.running import run_step
from jobs.operate.lookup import plain
from lakehouse.clean.quarantine import (
    Acted,
    Wanted,
    acts,
    groups,
    keep_acts,
    waiting,
)
from lakehouse.errors import ConfigurationError
from lakehouse.io import arrow
from lakehouse.steps import STEPS
from lakehouse.tables import QUARANTINE

CLEAN = next(step for step in STEPS if step.name == "clean")


def listed(settings: Settings, wanted: Wanted) -> RenderableType:
    """The groups that wait, the oldest night first, and how often each was replayed."""
    root = settings.paths.lake
    done = acts(root)
    found = {place: rows for place, rows in waiting(groups(root), done).items() if place in wanted}
    if not found:
        return Text("nothing waits in the quarantine")
    shown = Table("night", "source", "rules", Column("rows", justify="right"), "replayed")
    for place, rows in found.items():
        replays = [one for one in done if one.place == place and one.act == "replayed"]
        last = f"{len(replays)} times, last {replays[-1].at:%Y-%m-%d %H:%M}" if replays else ""
        shown.add_row(str(place.ingest_date), plain(place.source), place.rules, f"{rows:,}", last)
    return shown


def show(settings: Settings, wanted: Wanted, limit: int) -> RenderableType:
    """The first rejected rows as they were delivered, personal data included."""
    root = settings.paths.lake
    shown = Table("night", "source", "file", Column("row", justify="right"), "rules", "record")
    for place in [place for place in groups(root) if place in wanted]:
        if shown.row_count >= limit:
            break
        rows = arrow.read(
            root,
            QUARANTINE,
            filters=[("ingest_date", "=", place.ingest_date), ("source", "=", place.source)],
        ).sort_by([("source_file", "ascending"), ("row_number", "ascending")])
        for row in rows.to_pylist():
            if ", ".join(row["rules"]) == place.rules and shown.row_count < limit:
                shown.add_row(
                    str(place.ingest_date),
                    plain(place.source),
                    plain(row["source_file"]),
                    str(row["row_number"]),
                    place.rules,
                    plain(row["record"]),
                )
    return shown if shown.row_count else Text("the quarantine has no such row")


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decided something, why and when; raises ``ConfigurationError`` without name or reason."""

    who: str
    why: str
    at: datetime

    def __post_init__(self) -> None:
        if not self.who.strip() or not self.why.strip():
            raise ConfigurationError("--who and --why must say something: others read them.")


def replay(settings: Settings, wanted: Wanted, decision: Decision) -> Iterator[str]:
    """Clean the nights of the groups that wait once more, and tell of each what came of it.

    The whole night is cleaned by the configuration of the present; rows that are sound now take
    their place in silver, as of the day of their event, or are found to repeat another. Each night
    is complete before the next begins, so that a call that was killed goes on where it stopped.
    Raises what the step raises.
    """
    root = settings.paths.lake
    asked = [place for place in waiting(groups(root), acts(root)) if place in wanted]
    for night in sorted({place.ingest_date for place in asked}):
        before = groups(root, night)
        run_step(CLEAN, settings, night)
        after = groups(root, night)
        of_night = [place for place in asked if place.ingest_date == night]
        keep_acts(
            root,
            [
                Acted(place, "replayed", before[place], after.get(place, 0), **asdict(decision))
                for place in of_night
            ],
        )
        for place in of_night:
            gone = before[place] - after.get(place, 0)
            yield (
                f"{night}, {place.source}, {place.rules}: {gone:,} of {before[place]:,} rows are "
                "not rejected for it any more"
            )
        new = sum(rows for place, rows in after.items() if place not in before)
        if new:
            yield f"{night}: {new:,} rows break other rules now; see `topshelf quarantine list`"


def drop(settings: Settings, wanted: Wanted, decision: Decision) -> Iterator[str]:
    """Let the groups wait no longer, and tell of each; their rows stay where they are."""
    root = settings.paths.lake
    found = waiting(groups(root), acts(root))
    dropped = [place for place in found if place in wanted]
    keep_acts(
        root,
        [
            Acted(place, "dropped", found[place], found[place], **asdict(decision))
            for place in dropped
        ],
    )
    for place in dropped:
        yield f"{place.ingest_date}, {place.source}, {place.rules}: {found[place]:,} rows dropped"
