"""Search for better parameters on windows before the test window, by Optuna.

What is maximised is a method's NDCG@10 relative to that of the present parameters, averaged over
the served lists and over windows, the newest first: a trial that does badly on the newest one is
given up.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from lakehouse.errors import DataError
from lakehouse.lists import PERSONAL_LISTS
from models.core.parameters import Number, Range
from models.evaluation.primary import PRIMARY_METRIC
from models.evaluation.protocol import Evaluation
from models.lists.path import Policy, evaluate
from models.selection.recipe import Recipe
from models.selection.split import Nights, Split
from models.selection.trial import tune

Parameters: TypeAlias = Mapping[str, Number]
Report: TypeAlias = Callable[[int, float], bool]
Trial: TypeAlias = "Callable[[int, Parameters, Report], float | None]"
Evaluations: TypeAlias = Mapping[str, Evaluation]

SIGNIFICANT_DIGITS: Final = 3
RANDOM_TRIALS: Final = 5
AS_NOW: Final = 1.0
NOW: Final = "now"


@dataclass(frozen=True, slots=True)
class Found:
    """The best parameters, their value (1 is as now), and how many trials were made and pruned."""

    best: Parameters
    value: float
    trials: int
    pruned: int


def windows(nights: Nights, count: int, policy: Policy) -> tuple[Split, ...]:
    """The validation window and up to ``count - 1`` before it, as long, the newest first.

    No event of the test window is in them. The older ones know what ``Context.earlier`` lets them
    know. Windows without anybody to be judged by are left out; raises ``DataError`` where that is
    the newest.
    """
    sealed = replace(nights, interactions=nights.interactions.before(nights.test.as_of))
    found = [Split.of(sealed, (), policy=policy)]
    length = nights.test.as_of - nights.validation.as_of
    while len(found) < count:
        later = found[-1].nights
        sealed = Nights(
            interactions=later.interactions.before(later.validation.as_of),
            validation=later.validation.earlier(later.validation.as_of - length),
            test=later.validation,
            today=later.test,
        )
        try:
            found.append(Split.of(sealed, (), policy=policy))
        except DataError:
            break
    return tuple(found)


def judge(recipe: Recipe, split: Split) -> dict[str, Evaluation]:
    """The recipe's measures on the validation window, by list."""
    model = tune(recipe, split.nights, split.policy)
    return {name: evaluate(model, asked, split.policy) for name, asked in split.validation.items()}


def relative(found: Evaluations, now: Evaluations) -> float:
    """Mean over the lists of NDCG@10 as a multiple of that of ``now``; both 0 count as 1."""
    ratios = []
    for name in PERSONAL_LISTS:
        ours, theirs = (side[name].metrics[PRIMARY_METRIC] for side in (found, now))
        ratios.append(ours / theirs if theirs else AS_NOW + ours)
    return math.fsum(ratios) / len(ratios)


def search(
    name: str,
    journal: Path,
    ranges: Mapping[str, Range],
    now: Parameters,
    trial: Trial,
    *,
    trials: int,
    seed: int,
) -> Found:
    """Make trials until the study ``name`` has ``trials``, and tell the best.

    ``trial`` gets its number, parameters, and a function that takes a step and the value so far and
    says whether to give up; it returns the value, or ``None`` when it gave up. ``journal`` keeps
    what was tried, so that a killed search goes on where it stopped. ``now`` is known to be worth
    1 and costs no trial. The same seed and journal give the same trials.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal.parent.mkdir(parents=True, exist_ok=True)
    distributions = {key: _distribution(place) for key, place in ranges.items()}
    study = optuna.create_study(
        study_name=name,
        storage=JournalStorage(JournalFileBackend(str(journal))),
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=RANDOM_TRIALS),
    )
    if not study.trials and all(now[key] in place for key, place in ranges.items()):
        study.add_trial(
            optuna.create_trial(
                params={key: now[key] for key in ranges},
                distributions=distributions,
                value=AS_NOW,
                user_attrs={NOW: True},
            )
        )
    # After a restart the same seed would draw the same numbers again.
    made = len(_made(study))
    study.sampler = optuna.samplers.TPESampler(seed=seed + made, n_startup_trials=RANDOM_TRIALS)
    for _ in range(made, trials):
        asked = study.ask(distributions)

        def give_up(step: int, value: float, asked: optuna.Trial = asked) -> bool:
            asked.report(value, step)
            return asked.should_prune()

        value = trial(asked.number, _rounded(ranges, asked.params), give_up)
        state = TrialState.PRUNED if value is None else TrialState.COMPLETE
        study.tell(asked, value, state=state)

    ended = _made(study)
    complete = [one for one in ended if one.state == TrialState.COMPLETE and one.value is not None]
    pruned = len(ended) - len(complete)
    best = max(complete, key=lambda one: float(one.value or 0), default=None)
    if best is None or best.value is None or best.value <= AS_NOW:
        return Found(dict(now), AS_NOW, len(ended), pruned)
    return Found(_rounded(ranges, best.params), best.value, len(ended), pruned)


def _made(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that ended, without what was known before."""
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return [one for one in ended if NOW not in one.user_attrs]


def _rounded(ranges: Mapping[str, Range], values: Mapping[str, Number]) -> dict[str, Number]:
    """The values as they are tried and proposed, readable for people."""
    return {
        key: int(values[key]) if place.is_whole else float(f"{values[key]:.{SIGNIFICANT_DIGITS}g}")
        for key, place in ranges.items()
    }


def _distribution(place: Range) -> optuna.distributions.BaseDistribution:
    """A range in Optuna's terms."""
    if place.is_whole:
        return optuna.distributions.IntDistribution(int(place.low), int(place.high), log=place.log)
    return optuna.distributions.FloatDistribution(place.low, place.high, log=place.log)
