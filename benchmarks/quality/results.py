"""The figures of ``make quality``: what was judged, and the differences that matter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from jobs.night.resources import Cost
from models.evaluation.bootstrap import Difference, paired_bootstrap
from models.evaluation.primary import PRIMARY_METRIC
from models.evaluation.protocol import PROTOCOLS, SURFACE_OF, Cold
from models.selection.backtest import PUBLISHED, gain, ranking
from models.selection.recipe import Recipe
from models.selection.split import Cut
from models.selection.trial import Outcome


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
    cold: Cold


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

    def metric(self, protocol: str, method: str, name: str = PRIMARY_METRIC) -> float:
        """One measure of one method."""
        return self.outcomes[method].test[protocol].metrics[name]

    def cost(self, protocol: str, method: str) -> Cost:
        """What a method took at this cut; ``published`` what the method published took."""
        return self.costs[self.choice[SURFACE_OF[protocol].name] if method == PUBLISHED else method]

    def gain(self, protocol: str, method: str, seed: int) -> Difference:
        """NDCG@10 of ``published`` less that of ``method``."""
        return gain(self.outcomes[PUBLISHED], self.outcomes[method], protocol, seed)


def overall(results: Sequence[CutResult], protocol: str) -> list[str]:
    """The methods judged at every cut by their mean NDCG@10 over the cuts, the best first."""
    everywhere = set.intersection(*(set(result.outcomes) for result in results))
    return sorted(
        everywhere,
        key=lambda method: (
            -sum(result.metric(protocol, method) for result in results),
            method,
        ),
    )


def overall_gain(
    results: Sequence[CutResult], protocol: str, method: str, seed: int
) -> tuple[Difference, int]:
    """NDCG@10 of ``published`` less that of ``method`` over all cuts, and the number of users.

    A user's windows are not independent of each other: each user counts once, with the mean over
    the cuts where they are judged, and users are drawn.
    """
    gains = []
    for result in results:
        ours, theirs = (result.outcomes[name].test[protocol] for name in (PUBLISHED, method))
        difference = ours.per_user[PRIMARY_METRIC] - theirs.per_user[PRIMARY_METRIC]
        gains.append(pd.Series(difference, index=ours.users))
    of_user = np.asarray(pd.concat(gains).groupby(level=0).mean(), dtype=np.float64)
    return paired_bootstrap(of_user, np.zeros(len(of_user)), seed=seed), len(of_user)


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
