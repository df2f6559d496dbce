"""Rolling-origin backtest: on several dates, learn from what was before and be judged by what came.

On each split (Tashman 2000) a night is run as it would have been then: methods compete on the
validation window before the cut, and the choice is judged on the window after it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from lakehouse.lists import PERSONAL_LISTS
from models.evaluation.bootstrap import Difference, paired_bootstrap
from models.evaluation.primary import PRIMARY_METRIC
from models.evaluation.protocol import SURFACE_OF, compare_methods
from models.lists.catalogue import methods
from models.selection.recipe import Recipe
from models.selection.split import Split
from models.selection.trial import Outcome, try_out

PUBLISHED: Final = "published"


def backtest(recipe: Recipe, split: Split, *, competes: bool) -> Outcome:
    """Run a recipe as a night does; without ``competes`` only what the test window needs."""
    return try_out(recipe, split if competes else replace(split, validation={})).outcome


def published(outcomes: Mapping[str, Outcome], choice: Mapping[str, str]) -> Outcome:
    """What a night with this choice serves: each protocol from the list that it concerns."""
    by_protocol = {name: outcomes[choice[surface.name]] for name, surface in SURFACE_OF.items()}
    return Outcome(
        lists={name: outcome.lists[name] for name, outcome in by_protocol.items()},
        test={name: outcome.test[name] for name, outcome in by_protocol.items()},
        validation={name: outcomes[choice[name]].validation[name] for name in PERSONAL_LISTS},
        looks={name: outcomes[choice[name]].looks[name] for name in PERSONAL_LISTS},
    )


def ranking(outcomes: Mapping[str, Outcome], protocol: str) -> list[str]:
    """The methods by NDCG@10 on the test window, the best first."""
    return compare_methods(
        {name: outcome.test[protocol] for name, outcome in outcomes.items()}, PRIMARY_METRIC
    )


def best_simple(outcomes: Mapping[str, Outcome], protocol: str) -> str | None:
    """The best method that is not elaborate, nor what is published; ``None`` without one."""
    elaborate = {name for name, method in methods().items() if method.is_elaborate}
    ranked = ranking(outcomes, protocol)
    return next((name for name in ranked if name not in {PUBLISHED, *elaborate}), None)


def gain(one: Outcome, other: Outcome, protocol: str, seed: int) -> Difference:
    """NDCG@10 of ``one`` less that of ``other``, over the same users of the test window."""
    ours, theirs = (outcome.test[protocol].per_user[PRIMARY_METRIC] for outcome in (one, other))
    return paired_bootstrap(ours, theirs, seed=seed)
