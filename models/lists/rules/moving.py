"""Rules that move items up or down. All of them count in places of a list."""

from typing import ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.core.parameters import MAX_DAYS, Real
from models.lists.rules.rule import Affinity, Rule
from models.lists.rules.shelf import AGE, Shelf

MOST_PLACES: Final = 1000
BUYERS: Final = "buyers_total"
ITEM_PRICE: Final = "price_band"
USER_PRICE: Final = "price_band_mean"


class _Moving(Rule):
    places: Real = Field(gt=0, le=MOST_PLACES, description="How many places.")


class Boost(_Moving):
    """The items go up."""

    kind: Literal["boost"]

    def moves(self, shelf: Shelf) -> NDArray[np.float64] | None:
        """The same for all of them."""
        return np.where(self.chosen(shelf), self.places, 0.0)


class Bury(_Moving):
    """The items go down."""

    kind: Literal["bury"]

    def moves(self, shelf: Shelf) -> NDArray[np.float64] | None:
        """The same for all of them."""
        return np.where(self.chosen(shelf), -self.places, 0.0)


class _OfAll(_Moving):
    """Rules that need not say which items they are about."""

    about_items: ClassVar[bool] = False


class Freshness(_OfAll):
    """New items go up: by all ``places`` on their first day, by half after the half-life."""

    kind: Literal["freshness"]
    half_life_days: Real = Field(
        default=14.0, gt=0, le=MAX_DAYS, description="Days after which half is left."
    )

    def moves(self, shelf: Shelf) -> NDArray[np.float64] | None:
        """Nothing for items without an event."""
        age = shelf.items[AGE].to_numpy(dtype=float, na_value=np.nan)
        gained = self.places * 0.5 ** (age / self.half_life_days)
        return np.where(self.chosen(shelf) & ~np.isnan(age), gained, 0.0)


class Popular(_OfAll):
    """Items go down by ``places`` each time that their buyers double."""

    kind: Literal["damp_popular"]

    def moves(self, shelf: Shelf) -> NDArray[np.float64] | None:
        """Nothing where buyers are not known."""
        if BUYERS not in shelf.items:
            return None
        buyers = shelf.items[BUYERS].to_numpy(dtype=float, na_value=0.0)
        return np.where(self.chosen(shelf), -self.places * np.log2(1 + buyers), 0.0)


class PriceAffinity(_OfAll):
    """Items go down by ``places`` for each price band between them and what the user pays."""

    kind: Literal["price_affinity"]

    def affinity(self, shelf: Shelf) -> Affinity | None:
        """Of items without a price, and users whose prices are not known, nothing."""
        if ITEM_PRICE not in shelf.items or USER_PRICE not in shelf.users:
            return None
        band = shelf.items[ITEM_PRICE].to_numpy(dtype=float, na_value=np.nan)
        return Affinity(
            items=np.where(self.chosen(shelf), band, np.nan),
            users=shelf.users[USER_PRICE].to_numpy(dtype=float, na_value=np.nan),
            places=self.places,
        )


class Diversity(_OfAll):
    """Items like one that stands before them go down (MMR, Carbonell & Goldstein 1998).

    The likeness of two items is the share of department, category, product type and brand that
    they have in common.
    """

    kind: Literal["diversity"]

    def spreads(self) -> float:
        """All ``places`` where everything is in common."""
        return self.places
