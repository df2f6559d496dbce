"""Which items or people a rule is about: attributes and the values wanted of them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Self, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, Strict, model_validator

from models.core.parameters import Parameters, Real

Mask: TypeAlias = NDArray[np.bool_]


class Bounds(Parameters):
    """A number within bounds, both of them included."""

    at_least: Real | None = Field(default=None, description="Not less than this.")
    at_most: Real | None = Field(default=None, description="Not more than this.")

    @model_validator(mode="after")
    def _some(self) -> "Bounds":
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most, or both")
        if None not in (self.at_least, self.at_most) and self.at_least > self.at_most:  # type: ignore[operator]
            raise ValueError(f"at_least {self.at_least} is above at_most {self.at_most}")
        return self


Text: TypeAlias = Annotated[str, Strict()]
Switch: TypeAlias = Annotated[bool, Strict()]
Number: TypeAlias = Annotated[int, Strict()]
Wanted: TypeAlias = Bounds | Switch | Text | Number | tuple[Text | Number, ...]
# All attributes have to be as wanted; of several values any one will do.
Condition: TypeAlias = Mapping[str, Wanted]


class Coded(NamedTuple):
    """An attribute in numbers: that of each row's value (-1 where it is not known), and the values.

    Equal values have the same number. Those of lists are tuples.
    """

    codes: NDArray[np.int32]
    values: "pd.Index[Any]"

    @classmethod
    def of(cls, column: "pd.Series[Any]") -> Self:
        """Number the values of a column."""
        if any(isinstance(value, (list, np.ndarray)) for value in column.dropna().head(1)):
            column = column.map(tuple, na_action="ignore")
        codes, values = pd.factorize(column)
        # An index of tuples would have levels.
        return cls(codes.astype(np.int32), pd.Index(values, dtype=object, tupleize_cols=False))

    def among(self, wanted: Sequence[object]) -> Mask:
        """The rows whose value, or one of whose values, is wanted."""
        if len(self.values) and isinstance(self.values[0], tuple):
            found = np.array([not set(wanted).isdisjoint(value) for value in self.values])
        else:
            found = self.values.isin(list(wanted))
        # What is not known is -1, the last one.
        return np.append(found, False)[self.codes]


def matching(frame: pd.DataFrame, condition: Condition, coded: dict[str, Coded]) -> Mask:
    """The rows that meet ``condition``; what is not known meets none.

    Attributes that are looked at by value are numbered once, in ``coded``.
    """
    mask = np.ones(len(frame), dtype=np.bool_)
    for attribute, wanted in condition.items():
        if attribute not in frame:
            return np.zeros(len(frame), dtype=np.bool_)
        if isinstance(wanted, Bounds):
            mask &= _within(frame[attribute], wanted)
            continue
        if attribute not in coded:
            coded[attribute] = Coded.of(frame[attribute])
        mask &= coded[attribute].among(wanted if isinstance(wanted, tuple) else (wanted,))
    return mask


def mistakes(condition: Condition, kinds: Mapping[str, str], what: str) -> list[str]:
    """What is wrong with a condition on attributes of these ``kinds`` (types of the tables)."""
    found = []
    for attribute, wanted in condition.items():
        kind = kinds.get(attribute)
        if kind is None:
            found.append(f"{what} have no attribute {attribute!r}; there are {', '.join(kinds)}")
        elif isinstance(wanted, Bounds) != (kind in ("int", "long", "double")):
            given = "at_least and at_most" if kind in ("int", "long", "double") else "values"
            found.append(f"{attribute} is of the type {kind}: give {given}")
        elif (kind == "boolean") != isinstance(wanted, bool):
            given = "true or false" if kind == "boolean" else "text"
            found.append(f"{attribute} is of the type {kind}: give {given}")
    return found


def _within(values: "pd.Series[Any]", wanted: Bounds) -> Mask:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    low = -np.inf if wanted.at_least is None else wanted.at_least
    high = np.inf if wanted.at_most is None else wanted.at_most
    return np.asarray((numbers >= low) & (numbers <= high))
