"""What all rules share: who wants it, why, since when, for whom and on which surfaces.

A kind of rule is a file beside this one: a subclass that says by one or more of the methods below
what it does. All of them are asked once a night for each surface; ``models.lists.rules.select``
carries them out for everybody at once.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, ClassVar, Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from lakehouse.lists import LISTS, surface
from models.core.parameters import Parameters
from models.lists.rules.conditions import Condition, Mask, mistakes
from models.lists.rules.shelf import Shelf

Weekday: TypeAlias = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Said: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]


class Cap(NamedTuple):
    """At most ``limit`` items of the same ``codes`` (one per item, -1 for none) in a list."""

    codes: NDArray[np.int32]
    limit: int


class Quota(NamedTuple):
    """At least ``at_least`` items of ``items`` among the first ``of`` places."""

    items: Mask
    at_least: int
    of: int


class Pin(NamedTuple):
    """The item (by its place in the vocabulary) that stands at a place, from 1."""

    item: int
    place: int


class Affinity(NamedTuple):
    """Places lost for each unit between an item's number and its user's; NaN counts nothing."""

    items: NDArray[np.float64]
    users: NDArray[np.float64]
    places: float


class Kinds(NamedTuple):
    """What can be said of items, users and contexts: the types of their attributes by name."""

    items: Mapping[str, str]
    users: Mapping[str, str]
    contexts: Mapping[str, str]


class Rule(Parameters):
    """One rule of ``rules.toml``."""

    about_items: ClassVar[bool] = True

    kind: str
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")] = Field(
        description="Names the rule in reports: small letters, digits, - and _."
    )
    owner: Said = Field(description="Who answers for it.")
    reason: Said = Field(description="Why it is there.")
    surfaces: tuple[str, ...] = Field(default=LISTS, min_length=1, description="Where it applies.")
    items: Condition = Field(default={}, description="Which items; without, all.")
    users: Condition = Field(default={}, description="Which people; without, everybody.")
    contexts: Condition = Field(
        default={}, description="Which contexts, on surfaces that have lists by them; without, all."
    )
    weekdays: tuple[Weekday, ...] = Field(
        default=WEEKDAYS, min_length=1, description="On nights of these days."
    )
    valid_from: date | None = Field(default=None, description="First night.")
    valid_to: date | None = Field(default=None, description="Last night.")

    @field_validator("surfaces")
    @classmethod
    def _known(cls, surfaces: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted(set(surfaces) - set(LISTS)):
            raise ValueError(f"there is no {', '.join(unknown)}; there are {', '.join(LISTS)}")
        return surfaces

    @model_validator(mode="after")
    def _in_order(self) -> "Rule":
        if self.valid_from and self.valid_to and self.valid_from > self.valid_to:
            raise ValueError(f"valid_from {self.valid_from} is after valid_to {self.valid_to}")
        if self.about_items and not self.items:
            raise ValueError("items: say which items it is about")
        named = self.surfaces if "surfaces" in self.model_fields_set else ()
        if unfit := [name for name in named if not self.fits(name)]:
            raise ValueError(f"surfaces: {self.kind} does not apply to {', '.join(unfit)}")
        return self

    def fits(self, name: str) -> bool:
        """Whether rules of this kind apply to a surface."""
        kinds = surface(name).rules
        return kinds is None or self.kind in kinds

    def is_active(self, night: date) -> bool:
        """Whether the rule holds on a night."""
        return (
            (self.valid_from is None or self.valid_from <= night)
            and (self.valid_to is None or night <= self.valid_to)
            and WEEKDAYS[night.weekday()] in self.weekdays
        )

    def mistakes(self, kinds: Kinds, size: int) -> Sequence[str]:
        """What is wrong beyond the file's own form, where attributes are of these ``kinds``."""
        del size
        return [
            *mistakes(self.items, kinds.items, "items"),
            *mistakes(self.users, kinds.users, "users"),
            *mistakes(self.contexts, kinds.contexts, "contexts"),
        ]

    def chosen(self, shelf: Shelf) -> Mask:
        """The items that the rule is about."""
        return shelf.matching(self.items)

    def people(self, shelf: Shelf) -> Mask | None:
        """The users, or contexts, that the rule is about; ``None`` where it is about all."""
        wanted = {**self.users, **self.contexts}
        return shelf.people(wanted) if wanted else None

    def hides(self, shelf: Shelf) -> Mask | None:
        """Items that are not shown."""
        del shelf
        return None

    def moves(self, shelf: Shelf) -> NDArray[np.float64] | None:
        """How many places each item goes up (or down, where negative)."""
        del shelf
        return None

    def caps(self, shelf: Shelf) -> Sequence[Cap]:
        """How many alike may stand in a list."""
        del shelf
        return ()

    def quotas(self, shelf: Shelf) -> Sequence[Quota]:
        """What there has to be at least."""
        del shelf
        return ()

    def pins(self, shelf: Shelf) -> Sequence[Pin]:
        """What stands where."""
        del shelf
        return ()

    def repeats_after(self, shelf: Shelf) -> NDArray[np.float64] | None:
        """Days after which each item may be shown again to who took it; infinity for never."""
        del shelf
        return None

    def spreads(self) -> float:
        """Places that an item loses in full where one like it in all attributes stands before."""
        return 0.0

    def affinity(self, shelf: Shelf) -> Affinity | None:
        """How an item is to suit its user."""
        del shelf
        return None
