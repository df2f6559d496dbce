"""One night's training: which method fills which list, and how all of them did.

Methods are chosen on the validation window, reported on the test window, and fitted anew on
everything for publishing. No window's events take part in what is decided or learnt before it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lakehouse.errors import DataError
from models.base import BaseRecommender
from models.context import Context
from models.evaluation import Evaluation, Task, compare_methods, evaluate, task
from models.evidence import Evidence
from models.interactions import Interactions
from models.lightfm_model import HybridLightFM
from models.published import PERSONAL_LISTS, Published
from models.recipe import Recipe

PRIMARY_METRIC: Final = "ndcg@10"

Evaluations = Mapping[str, Mapping[str, Evaluation]]
OnEpoch = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, slots=True, eq=False)
class Nights:
    """What was known at the start of the validation window, of the test window, and today."""

    interactions: Interactions
    validation: Context
    test: Context
    today: Context


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The outcome: models to publish, and the measures of every method by list and method."""

    published: Published
    recipes: Mapping[str, Recipe]
    choice: Mapping[str, str]
    validation: Evaluations
    test: Evaluations
    learnt: Mapping[str, Mapping[str, Any]]
    curve: Sequence[Mapping[str, float]]

    def evidence(self) -> Evidence:
        """What the gate needs to know."""
        return Evidence(
            recipes=self.recipes,
            choice=self.choice,
            ndcg={
                list_name: {name: e.per_user[PRIMARY_METRIC] for name, e in by_method.items()}
                for list_name, by_method in self.test.items()
            },
        )


def train(recipes: Sequence[Recipe], nights: Nights, *, on_epoch: OnEpoch | None = None) -> Trained:
    """Fit, choose, measure and fit again.

    ``on_epoch`` is told of each pass over the data during early stopping. Raises ``DataError``
    where a window or the history before it has nothing to learn from or be judged by.
    """
    validation_tasks = _tasks(nights.interactions, nights.validation, nights.test)
    test_tasks = _tasks(nights.interactions, nights.test, nights.today)
    tuned = {}
    curve: Sequence[Mapping[str, float]] = ()
    for recipe in recipes:
        model = tune(recipe, nights, on_epoch)
        tuned[model.name] = model
        if isinstance(model, HybridLightFM):
            curve = model.curve
    validation = _evaluate(tuned, validation_tasks)
    choice = {name: compare_methods(validation[name], PRIMARY_METRIC)[0] for name in PERSONAL_LISTS}

    test = _evaluate({n: refit(m, nights.test) for n, m in tuned.items()}, test_tasks)
    final = {name: refit(tuned[name], nights.today) for name in sorted(set(choice.values()))}
    return Trained(
        published=Published({name: final[choice[name]] for name in PERSONAL_LISTS}),
        recipes=dict(zip(tuned, recipes, strict=True)),
        choice=choice,
        validation=validation,
        test=test,
        learnt={name: _learnt_parameters(model) for name, model in tuned.items()},
        curve=curve,
    )


def judge(recipe: Recipe, nights: Nights, list_name: str) -> Evaluation:
    """The measures of one recipe on the test window, as ``train`` would report them."""
    model = refit(tune(recipe, nights, None), nights.test)
    return evaluate(model, _tasks(nights.interactions, nights.test, nights.today)[list_name])


def tune(recipe: Recipe, nights: Nights, on_epoch: OnEpoch | None) -> BaseRecommender:
    """The recipe fitted up to the validation window, which says when to stop if passes count."""
    model = recipe.build()
    if isinstance(model, HybridLightFM):
        window = nights.interactions.between(nights.validation.as_of, nights.test.as_of)
        return model.fit_with_validation(nights.validation, window, on_epoch)
    return model.fit(nights.validation)


def refit(tuned: BaseRecommender, context: Context) -> BaseRecommender:
    """The same method, with what tuning taught about its parameters, fitted on ``context``."""
    return Recipe(tuned.kind, _learnt_parameters(tuned)).build().fit(context)


def _learnt_parameters(tuned: BaseRecommender) -> dict[str, Any]:
    if isinstance(tuned, HybridLightFM):
        return {**tuned.parameters, "max_epochs": tuned.best_epoch}
    return tuned.parameters


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


def _evaluate(models: Mapping[str, BaseRecommender], tasks: Mapping[str, Task]) -> Evaluations:
    return {
        list_name: {name: evaluate(model, task) for name, model in models.items()}
        for list_name, task in tasks.items()
    }
