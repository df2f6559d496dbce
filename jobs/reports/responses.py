"""What came of the places that people were shown, by surface and position, for the run report."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from lakehouse.io import arrow
from lakehouse.tables import FEEDBACK_DAILY

NIGHTS: Final = 7
# The first place of each band of positions, and what the band is called.
BANDS: Final = ((1, "1"), (2, "2"), (3, "3"), (4, "4-5"), (6, "6-10"), (11, "11 and on"))
UNKNOWN_BAND: Final = "not known"


@dataclass(frozen=True, slots=True)
class Response:
    """What people did with one band of places of a surface."""

    surface: str
    positions: str
    impressions: int
    clicks: int
    purchases: int

    @property
    def ctr(self) -> float | None:
        """Clicks by impressions."""
        return self.clicks / self.impressions if self.impressions else None

    @property
    def conversion(self) -> float | None:
        """Purchases by impressions."""
        return self.purchases / self.impressions if self.impressions else None


def responses(lake: Path, run_date: date) -> tuple[Response, ...]:
    """The feedback that the last ``NIGHTS`` nights took in, by surface and band of positions."""
    if not arrow.exists(lake, FEEDBACK_DAILY):
        return ()
    rows = arrow.read(
        lake,
        FEEDBACK_DAILY,
        columns=["surface", "position", "impressions", "clicks", "purchases"],
        filters=[("run_date", "<=", run_date), ("run_date", ">", run_date - timedelta(NIGHTS))],
    )
    sums: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in rows.to_pylist():
        counts = sums[row["surface"], _band(row["position"])]
        for place, name in enumerate(("impressions", "clicks", "purchases")):
            counts[place] += row[name]
    names = [*(name for _, name in BANDS), UNKNOWN_BAND]
    return tuple(
        Response(surface, names[band], *counts) for (surface, band), counts in sorted(sums.items())
    )


def _band(position: int) -> int:
    """The place of the position's band, that of ``UNKNOWN_BAND`` for 0."""
    return sum(first <= position for first, _ in BANDS) - 1 if position else len(BANDS)
