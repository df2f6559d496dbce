"""A recipe tried as a night does it: tuned on the validation window, judged on the test window.

No window's events take part in what is decided or learnt before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lakehouse.lists import PERSONAL_LISTS
from models.core.base import BaseRecommender
from models.core.capabilities import LearnsInPasses, OnEpoch, State, newest
from models.core.context import Context
from models.core.interactions import Indices
from models.core.lists import Lists
from models.evaluation.primary import PLACES, PRIMARY_METRIC
from models.evaluation.protocol import Evaluation, Task, measure, task
from models.lists.catalogue import heuristics
from models.lists.path import Policy, lists_for
from models.selection.choice import Terms, choose, is_sane, look_at
from models.selection.gate import Served
from models.selection.passes import fit_with_validation
from models.selection.recipe import Recipe
from models.selection.split import Nights, Split

# By method, what its fits of one night have learnt.
States = Mapping[str, Sequence[State]]
NO_STATES: Final[States] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of one recipe on one split.

    ``lists`` holds its first ``PLACES`` items for the users of each test task, ``test`` their
    measures. If it competed, ``validation`` holds the measures by list on the window before, and
    ``looks`` what the lists look like there.
    """

    lists: Mapping[str, Indices]
    test: Mapping[str, Evaluation]
    validation: Mapping[str, Evaluation]
    looks: Mapping[str, Served]


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """The models behind an outcome, and the lists of the test tasks with scores and sources.

    ``tuned`` holds what the validation window taught about the parameters, and is fitted before it
    if there was anything to do there; ``judged`` is fitted before the test window.
    """

    recipe: Recipe
    tuned: BaseRecommender
    judged: BaseRecommender
    lists: Mapping[str, Lists]
    outcome: Outcome


def try_out(
    recipe: Recipe,
    split: Split,
    *,
    on_epoch: OnEpoch | None = None,
    earlier: States = NO_STATES,
) -> Tried:
    """Fit and measure before both windows; who learns in passes goes on from an ``earlier`` night.

    Without validation tasks only what the test window needs is done. ``on_epoch`` is told of each
    pass over the data during early stopping.
    """
    nights = split.nights
    tuned = recipe.build()
    if split.validation or isinstance(tuned, LearnsInPasses):
        tuned = tune(recipe, nights, split.policy, on_epoch, earlier)
    shown = _lists(tuned, split.validation, split.policy)
    finite = bool(shown) and tuned.is_finite()
    judged = refit(tuned, nights.test, earlier)
    lists = _lists(judged, split.test, split.policy)
    return Tried(
        recipe=recipe,
        tuned=tuned,
        judged=judged,
        lists=lists,
        outcome=Outcome(
            lists={protocol: listed.head(PLACES).item for protocol, listed in lists.items()},
            test=_measured(lists, split.test),
            validation=_measured(shown, split.validation),
            looks={
                name: look_at(shown[name], asked, finite=finite)
                for name, asked in split.validation.items()
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
    recipe: Recipe,
    nights: Nights,
    policy: Policy,
    on_epoch: OnEpoch | None = None,
    earlier: States = NO_STATES,
) -> BaseRecommender:
    """The recipe fitted up to the validation window, which says when to stop if passes count.

    Who learns in passes starts from the newest of the states ``earlier`` that knows nothing of the
    window.
    """
    model = recipe.build()
    if isinstance(model, LearnsInPasses):
        night = nights.validation
        window = nights.interactions.between(night.as_of, nights.test.as_of)
        judged = task(
            model.validation_protocol,
            night,
            window,
            popularity_half_life_days=policy.popularity_half_life_days,
        )
        start = newest(earlier.get(model.name, ()), night.as_of)
        return fit_with_validation(model, night, judged, policy, on_epoch, start=start)
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


def _lists(model: BaseRecommender, tasks: Mapping[str, Task], policy: Policy) -> dict[str, Lists]:
    long_enough = policy.at_least(PLACES)
    return {protocol: lists_for(model, asked, long_enough) for protocol, asked in tasks.items()}


def _measured(lists: Mapping[str, Lists], tasks: Mapping[str, Task]) -> dict[str, Evaluation]:
    return {
        protocol: measure(lists[protocol].head(PLACES).item, asked)
        for protocol, asked in tasks.items()
    }
