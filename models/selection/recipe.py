"""A method before it has learnt: which one, and the parameters it was configured with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from models.core.base import BaseRecommender
from models.lists import catalogue


@dataclass(frozen=True, slots=True)
class Recipe:
    """Two equal recipes fitted on the same night give the same model (with one thread).

    ``kind`` is the method's name, ``parameters`` are those that the configuration gives, of JSON's
    types. What a night learns about them (after how many epochs to stop) is not part of the recipe.
    """

    kind: str
    parameters: Mapping[str, Any]

    def build(self) -> BaseRecommender:
        """The unfitted method; raises ``ConfigurationError`` for an unknown kind or parameter."""
        return catalogue.build(self.kind, self.parameters)

    def is_same_as(self, other: Self) -> bool:
        """Whether both build the same, whichever defaults are spelt out."""
        return self.kind == other.kind and self.build().parameters == other.build().parameters

    def as_json(self) -> dict[str, Any]:
        """The recipe in JSON's types."""
        return {"kind": self.kind, "parameters": dict(self.parameters)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of ``as_json``."""
        return cls(content["kind"], dict(content["parameters"]))
