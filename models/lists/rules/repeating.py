"""When something that a person took may be shown to them again."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.core.parameters import MAX_DAYS, Whole
from models.lists.rules.rule import Rule
from models.lists.rules.shelf import Shelf


class Repeat(Rule):
    """The items are shown again to who took them after so many days, or never."""

    kind: Literal["repeat"]
    after_days: Whole | None = Field(
        default=None, ge=1, le=MAX_DAYS, description="Days since the last time; without, never."
    )

    def repeats_after(self, shelf: Shelf) -> NDArray[np.float64] | None:
        """0 for all other items."""
        days = np.inf if self.after_days is None else float(self.after_days)
        return np.where(self.chosen(shelf), days, 0.0)
