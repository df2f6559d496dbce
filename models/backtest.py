"""Rolling-origin backtest: on several dates, learn from what was before and be judged by what came.

At each origin (Tashman 2000) a night is run as it would have been then: methods compete on the
validation window before the cut, and the choice is judged on the window after it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from models.base import BaseRecommender
from models.bootstrap import Difference, paired_bootstrap
from models.choice import choose, is_sane
from models.context import Context
from models.evaluation import (
    PROTOCOLS,
    Evaluation,
    Protocol,
    Task,
    compare_methods,
    evaluate,
    measure,
    task,
)
from models.interactions import Indices, Interactions
from models.lightfm_model import HybridLightFM
from models.methods import HEURISTICS
from models.published import PERSONAL_LISTS
from models.recipe import Recipe
from models.training import PRIMARY_METRIC, Nights, refit, tune

LIST_OF: Final[Mapping[Protocol, str]] = {
    "all": "all",
    "discover": "discover",
    "cold_users": "all",
    "cold_items": "discover",
}
PLACES: Final = 10
# Neither these nor what is published in their name count as simple.
ELABORATE: Final = frozenset({"lightfm", "hybrid_lightfm", "two_stage", "published"})


@dataclass(frozen=True, slots=True)
class Cut:
    """Methods compete on ``[validation_start, start)`` and are judged on ``[start, end)``."""

    validation_start: date
    start: date
    end: date

    def __post_init__(self) -> None:
        if not self.validation_start < self.start < self.end:
            raise ValueError(f"windows out of order: {self}")


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """What was known at a cut, and what methods are asked for there.

    ``validation`` holds a task for each list that is published, ``test`` one for each protocol;
    the windows are those between the nights.
    """

    nights: Nights
    validation: Mapping[str, Task]
    test: Mapping[Protocol, Task]

    @classmethod
    def of(cls, nights: Nights, protocols: Sequence[Protocol] = PROTOCOLS) -> "Origin":
        """Raises ``DataError`` where a window has nobody to be judged by."""
        before = nights.interactions.between(nights.validation.as_of, nights.test.as_of)
        after = nights.interactions.between(nights.test.as_of, nights.today.as_of)
        return cls(
            nights=nights,
            validation={name: task(name, nights.validation, before) for name in PERSONAL_LISTS},
            test={protocol: task(protocol, nights.test, after) for protocol in protocols},
        )

    @classmethod
    def at(
        cls, cut: Cut, interactions: Interactions, context: Callable[[date], Context]
    ) -> "Origin":
        """The origin of a cut, on all protocols; ``context`` gives what was known on a day."""
        return cls.of(
            Nights(
                interactions=interactions,
                validation=context(cut.validation_start),
                test=context(cut.start),
                today=context(cut.end),
            )
        )


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """One method at one origin.

    ``lists`` holds its first ``PLACES`` items for the users of each protocol's task, ``test``
    their measures. If it competed, ``validation`` holds the measures by list on the window before,
    and ``sane`` whether the lists can be used (see ``models.choice``).
    """

    lists: Mapping[Protocol, Indices]
    test: Mapping[Protocol, Evaluation]
    validation: Mapping[str, Evaluation]
    sane: Mapping[str, bool]


def backtest(recipe: Recipe, origin: Origin, *, competes: bool) -> Outcome:
    """Run a recipe as a night does; without ``competes`` only what the test window needs."""
    model = recipe.build()
    validation: dict[str, Evaluation] = {}
    sane: dict[str, bool] = {}
    if competes or isinstance(model, HybridLightFM):
        tuned = tune(recipe, origin.nights, None)
        for name, asked in origin.validation.items() if competes else ():
            validation[name] = evaluate(tuned, asked)
            sane[name] = is_sane(tuned, asked)
        model = refit(tuned, origin.nights.test)
    else:
        model.fit(origin.nights.test)
    lists = {protocol: _lists(model, asked) for protocol, asked in origin.test.items()}
    test = {protocol: measure(lists[protocol], asked) for protocol, asked in origin.test.items()}
    return Outcome(lists=lists, test=test, validation=validation, sane=sane)


def choices(outcomes: Mapping[str, Outcome], competing: Sequence[str]) -> dict[str, str]:
    """The method that a night would publish for each list, of those ``competing`` (in order)."""
    return {list_name: _choice(outcomes, competing, list_name) for list_name in PERSONAL_LISTS}


def published(outcomes: Mapping[str, Outcome], choice: Mapping[str, str]) -> Outcome:
    """What a night with this choice serves: each protocol from the list that it concerns."""
    return Outcome(
        lists={name: outcomes[choice[LIST_OF[name]]].lists[name] for name in PROTOCOLS},
        test={name: outcomes[choice[LIST_OF[name]]].test[name] for name in PROTOCOLS},
        validation={name: outcomes[choice[name]].validation[name] for name in PERSONAL_LISTS},
        sane={name: outcomes[choice[name]].sane[name] for name in PERSONAL_LISTS},
    )


def ranking(outcomes: Mapping[str, Outcome], protocol: Protocol) -> list[str]:
    """The methods by NDCG@10 on the test window, the best first."""
    return compare_methods(
        {name: outcome.test[protocol] for name, outcome in outcomes.items()}, PRIMARY_METRIC
    )


def best_simple(outcomes: Mapping[str, Outcome], protocol: Protocol) -> str | None:
    """The best method that is neither LightFM nor has two stages; ``None`` without one."""
    return next((name for name in ranking(outcomes, protocol) if name not in ELABORATE), None)


def gain(one: Outcome, other: Outcome, protocol: Protocol, seed: int) -> Difference:
    """NDCG@10 of ``one`` less that of ``other``, over the same users of the test window."""
    ours, theirs = (outcome.test[protocol].per_user[PRIMARY_METRIC] for outcome in (one, other))
    return paired_bootstrap(ours, theirs, seed=seed)


def _choice(outcomes: Mapping[str, Outcome], competing: Sequence[str], list_name: str) -> str:
    return choose(
        {name: outcomes[name].validation[list_name].per_user[PRIMARY_METRIC] for name in competing},
        heuristics=HEURISTICS,
        is_usable=lambda name: outcomes[name].sane[list_name],
    )


def _lists(model: BaseRecommender, asked: Task) -> Indices:
    listed = model.recommend(asked.users, PLACES, new_only=asked.new_only, among=asked.among)
    return listed.item
