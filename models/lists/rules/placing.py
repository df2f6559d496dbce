"""Rules about what stands in a list: at which place, how many at least, how many at most."""

from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from lakehouse.lists import surface
from models.core.interactions import UNKNOWN
from models.core.parameters import Whole
from models.lists.rules.rule import Cap, Kinds, Pin, Quota, Rule
from models.lists.rules.shelf import Shelf

Per: TypeAlias = Literal[
    "department", "category", "product_type", "brand", "manufacturer", "price_band"
]


class Pinned(Rule):
    """An item stands at a place.

    Who may not see it, or took it where a list is of new ones, has another there.
    """

    about_items: ClassVar[bool] = False

    kind: Literal["pin"]
    item: str = Field(min_length=1, description="The item's id.")
    place: Whole = Field(ge=1, le=1000, description="From 1.")

    def mistakes(self, kinds: Kinds, size: int) -> Sequence[str]:
        """A place that no list has, too."""
        longest = max(surface(name).size or size for name in self.surfaces if self.fits(name))
        beyond = self.place > longest
        told = [f"place {self.place} is beyond a list of {longest}"] if beyond else []
        return [*super().mistakes(kinds, size), *told]

    def pins(self, shelf: Shelf) -> Sequence[Pin]:
        """None where the night does not know the item."""
        item = int(shelf.item_ids.get_indexer(pd.Index([self.item]))[0])
        return [] if item == UNKNOWN else [Pin(item, self.place)]


class Share(Rule):
    """At least so many of the first places are of the items."""

    kind: Literal["quota"]
    at_least: Whole = Field(ge=1, le=1000, description="So many.")
    of: Whole = Field(default=10, ge=1, le=1000, description="Of the first so many places.")

    @model_validator(mode="after")
    def _possible(self) -> "Share":
        if self.at_least > self.of:
            raise ValueError(f"at_least {self.at_least} is more than of {self.of}")
        return self

    def quotas(self, shelf: Shelf) -> Sequence[Quota]:
        """One."""
        return [Quota(self.chosen(shelf), self.at_least, self.of)]


class AtMost(Rule):
    """At most so many of the items, or of each value of ``per`` among them, are in a list."""

    about_items: ClassVar[bool] = False

    kind: Literal["at_most"]
    limit: Whole = Field(ge=0, le=1000, description="So many.")
    per: Per | None = Field(default=None, description="Counted by the value of this attribute.")

    @model_validator(mode="after")
    def _about_something(self) -> "AtMost":
        if self.per is None and not self.items:
            raise ValueError("say by which attribute to count (per), which items, or both")
        return self

    def caps(self, shelf: Shelf) -> Sequence[Cap]:
        """Items without a value of ``per`` are not counted."""
        codes = np.zeros(len(shelf.items), np.int32) if self.per is None else shelf.codes(self.per)
        return [Cap(np.where(self.chosen(shelf), codes, -1).astype(np.int32), self.limit)]
