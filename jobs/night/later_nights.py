"""What a night is without because a later night took it in before this one ran."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Final

from lakehouse.ingest.files import FoundFile, RegisteredFile
from lakehouse.io import arrow
from lakehouse.tables import SILVER_INTERACTIONS

REMEDY: Final = (
    "If that night is a mistake, `topshelf undo-night` takes it back: see A night of the future in "
    "docs/operations.md"
)


def later_files(
    found: Sequence[FoundFile], register: Sequence[RegisteredFile], run_date: date
) -> tuple[str, ...]:
    """A warning where a later night took in files that belong to ``run_date``; else none.

    ``found`` are the files dated before ``run_date``.
    """
    belonging = {(file.source, file.source_file) for file in found}
    nights = (row.ingest_date for row in register if (row.source, row.source_file) in belonging)
    return _warning("file(s)", nights, run_date)


def later_events(lake: Path, run_date: date) -> tuple[str, ...]:
    """A warning where later nights took in events from before ``run_date``; else none."""
    if not arrow.exists(lake, SILVER_INTERACTIONS):
        return ()
    rows = arrow.read(
        lake,
        SILVER_INTERACTIONS,
        columns=["ingest_date"],
        filters=[("ingest_date", ">", run_date), ("event_date", "<", run_date)],
    )
    return _warning("event(s)", rows["ingest_date"].to_pylist(), run_date)


def _warning(what: str, nights: Iterable[date], run_date: date) -> tuple[str, ...]:
    later = Counter(night for night in nights if night > run_date)
    if not later:
        return ()
    which = (
        f"the later night of {max(later)}"
        if len(later) == 1
        else f"{len(later)} later nights, the last that of {max(later)},"
    )
    return (
        f"{later.total():,} {what} from before {run_date} were taken in by {which} and are not "
        f"part of this one. {REMEDY}",
    )
