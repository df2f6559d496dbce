"""One night's training: which method fills which list, and how all of them did.

Methods are chosen on the validation window, reported on the test window, and fitted anew on
everything for publishing. No window's events take part in what is decided or learnt before it.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lakehouse.errors import DataError
from models.base import BaseRecommender
from models.choice import choose, is_sane
from models.context import Context
from models.ease import Ease
from models.evaluation import Evaluation, Task, active_days, evaluate, task
from models.evidence import Evidence
from models.interactions import Interactions
from models.lightfm_model import HybridLightFM
from models.lightfm_state import LightFMState, newest
from models.methods import HEURISTICS
from models.published import PERSONAL_LISTS, Published
from models.recipe import Recipe
from models.reliability import Places, places_of

PRIMARY_METRIC: Final = "ndcg@10"
METHODS_AT_ONCE: Final = 2

Evaluations = Mapping[str, Mapping[str, Evaluation]]
OnEpoch = Callable[[int, dict[str, float]], None]
# By method, what its fits of one night have learnt.
States = Mapping[str, Sequence[LightFMState]]
NO_STATES: Final[States] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Nights:
    """What was known at the start of the validation window, of the test window, and today."""

    interactions: Interactions
    validation: Context
    test: Context
    today: Context


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The outcome: models to publish, and the measures of every method by list and method.

    ``active_days`` counts each user's days with an event before the test window; ``places`` holds
    what became of the chosen methods' lists in it; a later night may start from ``states``.
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
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Tried:
    """A method fitted before each of both windows, with its measures by list in each."""

    recipe: Recipe
    tuned: BaseRecommender
    judged: BaseRecommender
    validation: Mapping[str, Evaluation]
    test: Mapping[str, Evaluation]


def train(
    recipes: Sequence[Recipe],
    nights: Nights,
    *,
    on_epoch: OnEpoch | None = None,
    earlier: States = NO_STATES,
) -> Trained:
    """Fit, choose, measure and fit again; LightFM goes on from the states of an ``earlier`` night.

    Methods are tried ``METHODS_AT_ONCE``, each in a thread, which does not change any result:
    LightFM and LightGBM leave the interpreter to others while they work. ``on_epoch`` is told, in
    such a thread, of each pass over the data during early stopping. Raises ``DataError`` where a
    window or the history before it has nothing to learn from or be judged by.
    """
    validation_tasks = _tasks(nights.interactions, nights.validation, nights.test)
    test_tasks = _tasks(nights.interactions, nights.test, nights.today)

    def tried(recipe: Recipe) -> _Tried:
        tuned = tune(recipe, nights, on_epoch, earlier)
        judged = refit(tuned, nights.test, earlier)
        return _Tried(
            recipe, tuned, judged, _evaluate(tuned, validation_tasks), _evaluate(judged, test_tasks)
        )

    with ThreadPoolExecutor(METHODS_AT_ONCE) as pool:
        methods = {one.tuned.name: one for one in pool.map(tried, recipes)}
    tuned = {name: one.tuned for name, one in methods.items()}
    validation = _by_list({name: one.validation for name, one in methods.items()})
    choice = {
        name: _choose(tuned, validation[name], validation_tasks[name]) for name in PERSONAL_LISTS
    }
    final = {
        name: refit(tuned[name], nights.today, earlier) for name in sorted(set(choice.values()))
    }
    return Trained(
        published=Published(
            {name: final[choice[name]] for name in PERSONAL_LISTS}, Ease().fit(nights.today)
        ),
        recipes={name: one.recipe for name, one in methods.items()},
        choice=choice,
        validation=validation,
        test=_by_list({name: one.test for name, one in methods.items()}),
        learnt={name: _learnt_parameters(model) for name, model in tuned.items()},
        curve=next((m.curve for m in tuned.values() if isinstance(m, HybridLightFM)), ()),
        active_days=active_days(nights.test.interactions),
        places={
            name: places_of(methods[choice[name]].judged, test_tasks[name])
            for name in PERSONAL_LISTS
        },
        states={
            name: fits
            for name, one in methods.items()
            if (fits := _states(one.tuned, one.judged, final.get(name)))
        },
    )


def judge(recipe: Recipe, nights: Nights, list_name: str) -> Evaluation:
    """The measures of one recipe on the test window, as ``train`` would report them."""
    model = refit(tune(recipe, nights, None), nights.test)
    return evaluate(model, _tasks(nights.interactions, nights.test, nights.today)[list_name])


def tune(
    recipe: Recipe, nights: Nights, on_epoch: OnEpoch | None, earlier: States = NO_STATES
) -> BaseRecommender:
    """The recipe fitted up to the validation window, which says when to stop if passes count.

    LightFM starts from the newest of the states ``earlier`` that knows nothing of the window.
    """
    model = recipe.build()
    if isinstance(model, HybridLightFM):
        night = nights.validation
        window = nights.interactions.between(night.as_of, nights.test.as_of)
        start = newest(earlier.get(model.name, ()), night.as_of)
        return model.fit_with_validation(night, window, on_epoch, start=start)
    return model.fit(nights.validation)


def refit(tuned: BaseRecommender, context: Context, earlier: States = NO_STATES) -> BaseRecommender:
    """The same method, with what tuning taught about its parameters, fitted on ``context``.

    The number of passes holds for a start like that of ``tuned``, cold or from ``earlier`` states.
    """
    model = Recipe(tuned.kind, _learnt_parameters(tuned)).build()
    if isinstance(model, HybridLightFM) and isinstance(tuned, HybridLightFM):
        warm = tuned.started_from is not None
        start = newest(earlier.get(model.name, ()), context.as_of) if warm else None
        return model.fit(context, start=start)
    return model.fit(context)


def _choose(
    models: Mapping[str, BaseRecommender], evaluations: Mapping[str, Evaluation], task: Task
) -> str:
    return choose(
        {name: evaluation.per_user[PRIMARY_METRIC] for name, evaluation in evaluations.items()},
        heuristics=frozenset(name for name, model in models.items() if model.kind in HEURISTICS),
        is_usable=lambda name: is_sane(models[name], task),
    )


def _learnt_parameters(tuned: BaseRecommender) -> dict[str, Any]:
    if isinstance(tuned, HybridLightFM):
        return {**tuned.parameters, "max_epochs": tuned.best_epoch}
    return tuned.parameters


def _states(*fitted: BaseRecommender | None) -> list[LightFMState]:
    return [
        model.state
        for model in fitted
        if isinstance(model, HybridLightFM) and model.state is not None
    ]


def _tasks(interactions: Interactions, start: Context, end: Context) -> dict[str, Task]:
    window = interactions.between(start.as_of, end.as_of)
    for what, events in (("before", start.interactions), ("from", window)):
        if not len(events):
            raise DataError(
                f"no events {what} {start.as_of}, so that the window {start.as_of} to {end.as_of} "
                "has nothing to learn from or to be judged by. Ingest more nights, or shorten "
                "`[train] test_days` and `validation_days`."
            )
    return {name: task(name, start, window) for name in PERSONAL_LISTS}


def _evaluate(model: BaseRecommender, tasks: Mapping[str, Task]) -> dict[str, Evaluation]:
    return {list_name: evaluate(model, task) for list_name, task in tasks.items()}


def _by_list(by_method: Mapping[str, Mapping[str, Evaluation]]) -> Evaluations:
    return {
        list_name: {name: by_list[list_name] for name, by_list in by_method.items()}
        for list_name in PERSONAL_LISTS
    }
