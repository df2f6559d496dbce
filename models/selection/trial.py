"""A recipe tried as a night does it: tuned on the validation window, judged on the test window.

No window's events take part in what is decided or learnt before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from models.core.base import BaseRecommender, Lists
from models.core.capabilities import LearnsInPasses, OnEpoch, State, newest
from models.core.context import Context
from models.core.interactions import Indices
from models.evaluation.protocol import Evaluation, Protocol, Task, measure
from models.lists.catalogue import heuristics
from models.lists.published import PERSONAL_LISTS
from models.selection.choice import PRIMARY_METRIC, Terms, choose, is_sane, look_at
from models.selection.gate import PLACES, Served
from models.selection.origin import Nights, Origin
from models.selection.recipe import Recipe

# By method, what its fits of one night have learnt.
States = Mapping[str, Sequence[State]]
NO_STATES: Final[States] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of one recipe at one origin.

    ``lists`` holds its first ``PLACES`` items for the users of each test task, ``test`` their
    measures. If it competed, ``validation`` holds the measures by list on the window before, and
    ``looks`` what the lists look like there.
    """

    lists: Mapping[Protocol, Indices]
    test: Mapping[Protocol, Evaluation]
    validation: Mapping[Protocol, Evaluation]
    looks: Mapping[Protocol, Served]


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """The models behind an outcome, and the lists of the test tasks with scores and sources.

    ``tuned`` holds what the validation window taught about the parameters, and is fitted before it
    if there was anything to do there; ``judged`` is fitted before the test window.
    """

    recipe: Recipe
    tuned: BaseRecommender
    judged: BaseRecommender
    lists: Mapping[Protocol, Lists]
    outcome: Outcome


def try_out(
    recipe: Recipe,
    origin: Origin,
    *,
    on_epoch: OnEpoch | None = None,
    earlier: States = NO_STATES,
) -> Tried:
    """Fit and measure before both windows; who learns in passes goes on from an ``earlier`` night.

    Without validation tasks only what the test window needs is done. ``on_epoch`` is told of each
    pass over the data during early stopping.
    """
    nights = origin.nights
    tuned = recipe.build()
    if origin.validation or isinstance(tuned, LearnsInPasses):
        tuned = tune(recipe, nights, on_epoch, earlier)
    shown = _lists(tuned, origin.validation)
    finite = bool(shown) and tuned.is_finite()
    judged = refit(tuned, nights.test, earlier)
    lists = _lists(judged, origin.test)
    return Tried(
        recipe=recipe,
        tuned=tuned,
        judged=judged,
        lists=lists,
        outcome=Outcome(
            lists={protocol: listed.item for protocol, listed in lists.items()},
            test=_measured(lists, origin.test),
            validation=_measured(shown, origin.validation),
            looks={
                name: look_at(shown[name], asked, finite=finite)
                for name, asked in origin.validation.items()
            },
        ),
    )


def choices(
    outcomes: Mapping[str, Outcome], competing: Sequence[str], terms: Terms
) -> dict[str, str]:
    """The method that a night publishes for each list, of those ``competing`` (in order)."""
    return {
        list_name: choose(
            {
                name: outcomes[name].validation[list_name].per_user[PRIMARY_METRIC]
                for name in competing
            },
            heuristics=heuristics(),
            usable=[name for name in competing if is_sane(outcomes[name].looks[list_name], terms)],
            seed=terms.seed,
        )
        for list_name in PERSONAL_LISTS
    }


def tune(
    recipe: Recipe, nights: Nights, on_epoch: OnEpoch | None, earlier: States = NO_STATES
) -> BaseRecommender:
    """The recipe fitted up to the validation window, which says when to stop if passes count.

    Who learns in passes starts from the newest of the states ``earlier`` that knows nothing of the
    window.
    """
    model = recipe.build()
    if isinstance(model, LearnsInPasses):
        night = nights.validation
        window = nights.interactions.between(night.as_of, nights.test.as_of)
        start = newest(earlier.get(model.name, ()), night.as_of)
        return model.fit_with_validation(night, window, on_epoch, start=start)
    return model.fit(nights.validation)


def refit(tuned: BaseRecommender, context: Context, earlier: States = NO_STATES) -> BaseRecommender:
    """The same method, with what tuning taught about its parameters, fitted on ``context``.

    The number of passes holds for a start like that of ``tuned``, cold or from ``earlier`` states.
    """
    model = Recipe(tuned.kind, tuned.learnt_parameters).build()
    if isinstance(model, LearnsInPasses) and isinstance(tuned, LearnsInPasses):
        warm = tuned.started_from is not None
        start = newest(earlier.get(model.name, ()), context.as_of) if warm else None
        return model.fit(context, start=start)
    return model.fit(context)


def _lists(model: BaseRecommender, tasks: Mapping[Protocol, Task]) -> dict[Protocol, Lists]:
    return {
        protocol: model.recommend(asked.users, PLACES, new_only=asked.new_only, among=asked.among)
        for protocol, asked in tasks.items()
    }


def _measured(
    lists: Mapping[Protocol, Lists], tasks: Mapping[Protocol, Task]
) -> dict[Protocol, Evaluation]:
    return {protocol: measure(lists[protocol].item, asked) for protocol, asked in tasks.items()}
