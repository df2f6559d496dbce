"""The figures of ``topshelf quality``: what was judged, and the differences that matter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from jobs.resources import Cost
from models.backtest import LIST_OF, Cut, Outcome, gain, ranking
from models.bootstrap import Difference
from models.evaluation import PROTOCOLS, Protocol
from models.recipe import Recipe
from models.training import PRIMARY_METRIC

PUBLISHED: Final = "published"


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a reader has to know of how the figures came about."""

    lines: int
    users: int
    items: int
    seed: int
    competing: Sequence[str]
    recipes: Mapping[str, Recipe]
    lists: Path


@dataclass(frozen=True, slots=True, eq=False)
class CutResult:
    """All methods at one cut.

    ``outcomes`` holds ``published`` too, which is the choice for the list that a protocol concerns;
    ``segments`` its measures by list, kind of segment and segment.
    """

    cut: Cut
    choice: Mapping[str, str]
    outcomes: Mapping[str, Outcome]
    costs: Mapping[str, Cost]
    segments: Mapping[str, Mapping[str, pd.DataFrame]]

    def metric(self, protocol: Protocol, method: str, name: str = PRIMARY_METRIC) -> float:
        """One measure of one method."""
        return self.outcomes[method].test[protocol].metrics[name]

    def cost(self, protocol: Protocol, method: str) -> Cost:
        """What a method took at this cut; ``published`` what the method published took."""
        return self.costs[self.choice[LIST_OF[protocol]] if method == PUBLISHED else method]

    def gain(self, protocol: Protocol, method: str, seed: int) -> Difference:
        """NDCG@10 of ``published`` less that of ``method``."""
        return gain(self.outcomes[PUBLISHED], self.outcomes[method], protocol, seed)


def as_json(
    results: Sequence[CutResult],
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Every measure by cut, protocol and method, with the seconds that the method took."""
    return {
        result.cut.start.isoformat(): {
            protocol: {
                method: {
                    **result.outcomes[method].test[protocol].metrics,
                    "seconds": round(result.cost(protocol, method).seconds, 2),
                }
                for method in ranking(result.outcomes, protocol)
            }
            for protocol in PROTOCOLS
        }
        for result in results
    }
