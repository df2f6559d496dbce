"""What waits in the quarantine, and what people did about it.

Rejected rows that came in on one night from one source and broke the same rules are one *group*.
A group that was dropped waits no longer, until it has another number of rows.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.io import arrow
from lakehouse.tables import QUARANTINE, QUARANTINE_ACTS

Act: TypeAlias = Literal["replayed", "dropped"]

# The oldest age in nights of each class, and what a report calls it.
AGES: Final = ((1, "last night"), (7, "2 to 7 nights"), (28, "8 to 28 nights"))
OLDER: Final = "older"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a group stands: the night, the source, and the broken rules, in the order checked."""

    ingest_date: date
    source: str
    rules: str


@dataclass(frozen=True, slots=True)
class Acted:
    """What was done about a group, and the rows that it had before and after."""

    place: Place
    act: Act
    rows_before: int
    rows_after: int
    who: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which groups are meant: those of the source, that broke the rule, of nights between.

    What is ``None`` restricts nothing.
    """

    source: str | None = None
    rule: str | None = None
    first: date | None = None
    last: date | None = None

    def __contains__(self, place: Place) -> bool:
        """Whether the group is meant."""
        return (
            self.source in (None, place.source)
            and (self.rule is None or self.rule in place.rules.split(", "))
            and (self.first is None or self.first <= place.ingest_date)
            and (self.last is None or place.ingest_date <= self.last)
        )


def groups(root: Path, night: date | None = None) -> dict[Place, int]:
    """The rows of each group in the quarantine, of one night where it is given, oldest first."""
    if not arrow.exists(root, QUARANTINE):
        return {}
    filters = None if night is None else [("ingest_date", "=", night)]
    rows = arrow.read(root, QUARANTINE, columns=["ingest_date", "source", "rules"], filters=filters)
    named = rows.set_column(2, "rules", pc.binary_join(rows["rules"], ", "))
    counted = named.group_by(["ingest_date", "source", "rules"]).aggregate([([], "count_all")])
    return dict(
        sorted(
            (Place(row["ingest_date"], row["source"], row["rules"]), row["count_all"])
            for row in counted.to_pylist()
        )
    )


def acts(root: Path) -> list[Acted]:
    """What was done about the quarantine, in the order of the clock."""
    if not arrow.exists(root, QUARANTINE_ACTS):
        return []
    rows = arrow.read(root, QUARANTINE_ACTS).sort_by("at").to_pylist()
    return [
        Acted(Place(row.pop("ingest_date"), row.pop("source"), row.pop("rules")), **row)
        for row in rows
    ]


def keep_acts(root: Path, done: Sequence[Acted]) -> None:
    """Add what was done to ``ops.quarantine_acts``, in one commit for each night."""
    for night in sorted({one.place.ingest_date for one in done}):
        rows = [asdict(one) for one in done if one.place.ingest_date == night]
        new = pa.Table.from_pylist(
            [row.pop("place") | row for row in rows], arrow.arrow_schema(QUARANTINE_ACTS)
        )
        with arrow.writing(root, QUARANTINE_ACTS):
            if arrow.exists(root, QUARANTINE_ACTS):
                of_night = [("ingest_date", "=", night)]
                new = pa.concat_tables([arrow.read(root, QUARANTINE_ACTS, filters=of_night), new])
            arrow.replace(root, QUARANTINE_ACTS, new, {"ingest_date": night})


def waiting(found: dict[Place, int], done: Iterable[Acted]) -> dict[Place, int]:
    """The groups that nobody has dropped with as many rows as they have now."""
    dropped = {one.place: one.rows_after for one in done if one.act == "dropped"}
    return {place: rows for place, rows in found.items() if dropped.get(place) != rows}


def by_age(found: dict[Place, int], night: date) -> dict[tuple[str, str], Counter[str]]:
    """Rows by source and rules, and by their age on ``night`` in the classes of ``AGES``."""
    ages: dict[tuple[str, str], Counter[str]] = {}
    for place, rows in found.items():
        nights = (night - place.ingest_date).days
        if nights >= 0:
            age = next((name for oldest, name in AGES if nights < oldest), OLDER)
            ages.setdefault((place.source, place.rules), Counter())[age] += rows
    return ages
