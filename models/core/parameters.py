"""What recommenders are configured with: types of parameters, and those that a night shares.

Light to import: the configuration reads it where nothing of a model may be loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError

MAX_DAYS: Final = 36_525  # A hundred years.
MAX_SEED: Final = 2**32 - 1
# The only places that say so; settings pass on what they are set to.
COLD_USER_DAYS: Final = 5
NEW_ITEM_DAYS: Final = 28
POPULARITY_HALF_LIFE_DAYS: Final = 30.0

Number: TypeAlias = "int | float"
Whole: TypeAlias = Annotated[int, Strict()]
Real: TypeAlias = Annotated[float, Strict()]
Switch: TypeAlias = Annotated[bool, Strict()]


@dataclass(frozen=True, slots=True)
class Shared:
    """Marks a parameter whose value, where it isn't given, is the night's value ``name``.

    These are fields of ``[train]``, ``new_item_days`` of ``[recommend]``, and ``user_attributes``,
    the attributes that sources give.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Range:
    """Marks a parameter that can be tuned, and says where to look for it.

    ``log`` looks as long for 1 to 10 as for 10 to 100.
    """

    low: Number
    high: Number
    log: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int)

    def __contains__(self, value: Number) -> bool:
        return self.low <= value <= self.high


Seed: TypeAlias = Annotated[
    int,
    Strict(),
    Field(ge=0, le=MAX_SEED, description="Seed of everything random."),
    Shared("seed"),
]
Threads: TypeAlias = Annotated[
    int,
    Strict(),
    Field(
        ge=1,
        le=1024,
        description="Threads of LightFM and implicit ALS; more than one is not deterministic.",
    ),
    Shared("threads"),
]
PopularityHalfLife: TypeAlias = Annotated[
    float,
    Strict(),
    Field(gt=0, le=MAX_DAYS, description="Days after which popularity counts an event half."),
    Shared("popularity_half_life_days"),
]
CountsHalfLife: TypeAlias = Annotated[
    float,
    Strict(),
    Field(gt=0, le=MAX_DAYS, description="Days after which a user's own event counts half."),
    Shared("counts_half_life_days"),
]
TestDays: TypeAlias = Annotated[
    int,
    Strict(),
    Field(ge=1, le=3650, description="Length of the test window, and of a ranker's past nights."),
    Shared("test_days"),
]

NewItemDays: TypeAlias = Annotated[
    int,
    Strict(),
    Field(ge=1, le=MAX_DAYS, description="An item is new within so many days of its first event."),
    Shared("new_item_days"),
]


class Parameters(BaseModel):
    """What may be said of something; wrong and unknown names and values are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )


def shared_names(parameters: type[BaseModel]) -> Mapping[str, str]:
    """The night's value behind each field that is marked as ``Shared``."""
    return {
        field: mark.name
        for field, info in parameters.model_fields.items()
        for mark in info.metadata
        if isinstance(mark, Shared)
    }


def ranges(parameters: type[BaseModel]) -> Mapping[str, Range]:
    """Where to look for each field that can be tuned."""
    return {
        field: mark
        for field, info in parameters.model_fields.items()
        for mark in info.metadata
        if isinstance(mark, Range)
    }


def sentences(error: ValidationError) -> str:
    """All that is wrong, in one line, without the values."""
    return "; ".join(
        f"{'.'.join(map(str, found['loc'])) or 'parameters'}: {found['msg']}"
        for found in error.errors(include_url=False)
    )
