"""What there was to list on a night, whoever ranks it: kept beside the methods of a model."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from lakehouse.errors import DataError
from models.core import storage
from models.core.context import Context
from models.core.interactions import day_number
from models.core.reactions import Reactions

KIND: Final = "assortment"
NEVER: Final = -1


@dataclass(frozen=True, slots=True, eq=False)
class Assortment:
    """The items of a vocabulary as of one night.

    ``sellable`` says which may be listed; ``popularity`` counts each one's events, decayed by age;
    ``age_days`` are the days since its first event, ``NEVER`` (-1) without any. ``reactions`` say
    what of it which users have had enough of, where any are known.
    """

    as_of: date
    sellable: NDArray[np.bool_]
    popularity: NDArray[np.float64]
    age_days: NDArray[np.int32]
    reactions: Reactions | None = None

    @classmethod
    def of(cls, context: Context, popularity_half_life_days: float) -> Self:
        """What ``context`` knows; an event counts ``0.5 ** (age / popularity_half_life_days)``."""
        events = context.interactions
        today = day_number(context.as_of)
        first = np.full(events.items, today + 1, dtype=np.int32)
        np.minimum.at(first, events.item, events.day)
        return cls(
            as_of=context.as_of,
            sellable=context.sellable,
            popularity=np.bincount(
                events.item,
                weights=events.decay(context.as_of, popularity_half_life_days),
                minlength=events.items,
            ),
            age_days=(today - first).astype(np.int32),
            reactions=context.reactions,
        )

    def fresh(self, days: int) -> NDArray[np.bool_]:
        """Which items are sellable and had their first event within the last ``days``."""
        return np.asarray(self.sellable & (self.age_days != NEVER) & (self.age_days <= days))

    def save(self, folder: Path) -> None:
        """Write it to ``folder`` (see ``models.core.storage``)."""
        arrays = {
            "sellable": self.sellable,
            "popularity": self.popularity,
            "age_days": self.age_days,
            **({} if self.reactions is None else self.reactions.arrays()),
        }
        storage.write(folder, KIND, {"as_of": self.as_of.isoformat()}, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; raises ``DataError`` where it is missing or damaged."""
        stored = storage.read(folder)
        if stored.kind != KIND:
            raise DataError(f"{folder} holds a {stored.kind!r}, not an {KIND!r}")
        return cls(
            as_of=date.fromisoformat(stored.parameters["as_of"]),
            sellable=stored.arrays["sellable"],
            popularity=stored.arrays["popularity"],
            age_days=stored.arrays["age_days"],
            reactions=Reactions.from_arrays(stored.arrays),
        )
