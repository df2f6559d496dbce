"""What a trained version tells the gate: its recipes, its choice, and how well each method did."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.core import former_release, storage
from models.evaluation.bootstrap import Difference
from models.lists import catalogue
from models.selection.recipe import Recipe

EVIDENCE_FOLDER: Final = "evidence"
KIND: Final = "evidence"
ACTIVE_DAYS: Final = "active_days"


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Recipes by method, the method chosen for each list, and users' NDCG@10 on the test window.

    ``ndcg[list][method]`` holds one value per user with a hit in the window, the same user at the
    same place for all methods; ``active_days[list]`` how many days with an event before the window
    that user has. ``rule_costs[list]`` is what the night's rules cost the chosen method in NDCG@10,
    and what it had without them.
    """

    recipes: Mapping[str, Recipe]
    choice: Mapping[str, str]
    ndcg: Mapping[str, Mapping[str, NDArray[np.float64]]]
    active_days: Mapping[str, NDArray[np.int64]]
    rule_costs: Mapping[str, tuple[Difference, float]] = field(default_factory=dict)

    def recipe_of(self, list_name: str) -> Recipe:
        """The recipe behind a list."""
        return self.recipes[self.choice[list_name]]

    def method_with(self, recipe: Recipe) -> str | None:
        """The method tried with this very recipe, if any."""
        tried = self.recipes.items()
        return next((name for name, other in tried if other.is_same_as(recipe)), None)

    def save(self, folder: Path) -> None:
        """Write the evidence with its digest (see ``models.core.storage``)."""
        description: dict[str, Any] = {
            "recipes": {name: recipe.as_json() for name, recipe in self.recipes.items()},
            "choice": dict(self.choice),
            "rule_costs": {
                name: [*lost, before] for name, (lost, before) in self.rule_costs.items()
            },
        }
        ndcg = {
            f"{list_name}/{method}": values
            for list_name, by_method in self.ndcg.items()
            for method, values in by_method.items()
        }
        days = {f"{ACTIVE_DAYS}/{name}": values for name, values in self.active_days.items()}
        storage.write(folder, KIND, description, ndcg | days)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; raises ``DataError`` where it is missing or damaged."""
        stored = storage.read(folder)
        ndcg: dict[str, dict[str, NDArray[np.float64]]] = {}
        active_days = {}
        for key, values in stored.arrays.items():
            first, _, second = key.partition("/")
            if first == ACTIVE_DAYS:
                active_days[second] = values
            else:
                ndcg.setdefault(first, {})[second] = values
        known = catalogue.methods()
        recipes = {
            # In the former release lightfm was hybrid_lightfm with other parameters.
            name: Recipe(
                name,
                former_release.parameters(known[name].Configuration, content["parameters"])
                if name in known
                else content["parameters"],
            )
            for name, content in stored.parameters["recipes"].items()
        }
        return cls(
            recipes=recipes,
            choice=stored.parameters["choice"],
            ndcg=ndcg,
            active_days=active_days,
            rule_costs={
                name: (Difference(*lost), before)
                for name, (*lost, before) in stored.parameters.get("rule_costs", {}).items()
            },
        )
