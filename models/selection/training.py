"""One night's training: which method fills which list, and how all of them did.

Methods are chosen on the validation window, reported on the test window, and fitted anew on
everything for publishing.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from lakehouse.lists import ALL, PERSONAL_LISTS
from models.core.assortment import Assortment
from models.core.base import BaseRecommender
from models.core.capabilities import LearnsInPasses, OnEpoch, State, TimesRepeats
from models.evaluation.primary import PRIMARY_METRIC
from models.evaluation.protocol import Evaluation, active_days
from models.evaluation.reliability import Places, places_of
from models.lists.path import Policy
from models.lists.published import Published
from models.selection.choice import Terms
from models.selection.evidence import Evidence
from models.selection.recipe import Recipe
from models.selection.repeats import RepeatEvaluation, judge_repeats
from models.selection.rule_costs import RuleCost, rule_costs
from models.selection.split import Nights, Split
from models.selection.trial import (
    NO_STATES,
    States,
    Tried,
    choices,
    refit,
    try_out,
)

METHODS_AT_ONCE: Final = 2

Evaluations = Mapping[str, Mapping[str, Evaluation]]


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The outcome: models to publish, and the measures of every method by list and method.

    ``active_days`` counts each user's days with an event before the test window; ``places`` holds
    what became of the chosen methods' lists in it; a later night may start from ``states``.
    ``rule_costs`` says for each list what the night's rules cost the chosen method there, and
    ``repeats`` how the method that times repeat purchases did, if there is one.
    """

    published: Published
    recipes: Mapping[str, Recipe]
    choice: Mapping[str, str]
    validation: Evaluations
    test: Evaluations
    learnt: Mapping[str, Mapping[str, Any]]
    curve: Sequence[Mapping[str, float]]
    active_days: NDArray[np.int64]
    places: Mapping[str, Places]
    states: States
    rule_costs: Mapping[str, tuple[RuleCost, ...]]
    repeats: RepeatEvaluation | None = None

    def evidence(self) -> Evidence:
        """What the gate needs to know."""
        return Evidence(
            recipes=self.recipes,
            choice=self.choice,
            ndcg={
                list_name: {name: e.per_user[PRIMARY_METRIC] for name, e in by_method.items()}
                for list_name, by_method in self.test.items()
            },
            active_days={
                name: self.active_days[self.test[name][method].users]
                for name, method in self.choice.items()
            },
            rule_costs={
                name: (costs[0].ndcg, costs[0].ndcg_without)
                for name, costs in self.rule_costs.items()
                if costs
            },
        )


def train(
    recipes: Sequence[Recipe],
    nights: Nights,
    terms: Terms,
    *,
    newcomers: Recipe,
    policy: Policy,
    on_epoch: OnEpoch | None = None,
    earlier: States = NO_STATES,
    repeats: Recipe | None = None,
) -> Trained:
    """Fit, choose, measure and fit again, in passes from where an ``earlier`` night stopped.

    Methods are tried ``METHODS_AT_ONCE``, each in a thread, which does not change any result:
    LightFM and LightGBM leave the interpreter to others while they work. ``on_epoch`` is told, in
    such a thread, of each pass over the data during early stopping. ``newcomers`` is what lists for
    people of whom a few items are known, ``repeats`` what times repeat purchases; ``policy`` shapes
    all lists. Raises ``DataError`` where a window or the history before it has nothing to learn
    from or be judged by.
    """
    split = Split.of(nights, PERSONAL_LISTS, policy=policy)

    def tried(recipe: Recipe) -> Tried:
        return try_out(recipe, split, on_epoch=on_epoch, earlier=earlier)

    # BLAS's threads are one global of the process: set before threads start, not in one of them.
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(METHODS_AT_ONCE) as pool:
        methods = {one.tuned.name: one for one in pool.map(tried, recipes)}
    outcomes = {name: one.outcome for name, one in methods.items()}
    choice = choices(outcomes, list(outcomes), terms)
    final = {
        name: refit(methods[name].tuned, nights.today, earlier)
        for name in sorted(set(choice.values()))
    }
    tuned = [one.tuned for one in methods.values()]
    judged = None if repeats is None else repeats.build().fit(nights.test)
    return Trained(
        published=Published(
            {name: final[choice[name]] for name in PERSONAL_LISTS},
            newcomers.build().fit(nights.today),
            Assortment.of(nights.today, policy.popularity_half_life_days),
            None if repeats is None else repeats.build().fit(nights.today),
        ),
        recipes={name: one.recipe for name, one in methods.items()},
        choice=choice,
        validation=_by_list({name: one.validation for name, one in outcomes.items()}),
        test=_by_list({name: one.test for name, one in outcomes.items()}),
        learnt={model.name: model.learnt_parameters for model in tuned},
        curve=next((model.curve for model in tuned if isinstance(model, LearnsInPasses)), ()),
        active_days=active_days(nights.test.interactions),
        places={
            name: places_of(methods[choice[name]].lists[name], split.test[name].relevant)
            for name in PERSONAL_LISTS
        },
        rule_costs={
            name: rule_costs(
                methods[choice[name]].judged, split.test[name], policy, seed=terms.seed
            )
            for name in PERSONAL_LISTS
        },
        states={
            name: fits
            for name, one in methods.items()
            if (fits := _states(one.tuned, one.judged, final.get(name)))
        },
        repeats=None
        if not isinstance(judged, TimesRepeats)
        else judge_repeats(
            judged,
            {choice[ALL.name]: methods[choice[ALL.name]].judged, judged.name: judged},
            nights.test,
            nights.interactions.between(nights.test.as_of, nights.today.as_of),
        ),
    )


def judge(recipe: Recipe, nights: Nights, list_name: str, policy: Policy) -> Evaluation:
    """The measures of one recipe on the test window, as ``train`` would report them."""
    split = Split.of(nights, [list_name], lists=(), policy=policy)
    return try_out(recipe, split).outcome.test[list_name]


def _states(*fitted: BaseRecommender | None) -> list[State]:
    return [
        model.state
        for model in fitted
        if isinstance(model, LearnsInPasses) and model.state is not None
    ]


def _by_list(by_method: Mapping[str, Mapping[str, Evaluation]]) -> Evaluations:
    return {
        list_name: {name: by_list[list_name] for name, by_list in by_method.items()}
        for list_name in PERSONAL_LISTS
    }
