"""A night's two windows: what was known when each began, and what methods are asked for there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from lakehouse.errors import DataError
from lakehouse.lists import PERSONAL_LISTS
from models.core.context import Context
from models.core.interactions import Interactions
from models.evaluation.protocol import COLD, PROTOCOLS, Cold, Task, task
from models.lists.path import DEFAULT_POLICY, Policy


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
class Nights:
    """What was known at the start of the validation window, of the test window, and today."""

    interactions: Interactions
    validation: Context
    test: Context
    today: Context


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """What was known at a cut, and what methods are asked for there.

    ``validation`` holds a task for each list that methods compete for, ``test`` one for each
    protocol; the windows are those between the nights. Lists are made by ``policy``.
    """

    nights: Nights
    policy: Policy
    validation: Mapping[str, Task]
    test: Mapping[str, Task]

    @classmethod
    def of(
        cls,
        nights: Nights,
        protocols: Sequence[str] = PROTOCOLS,
        *,
        lists: Sequence[str] = PERSONAL_LISTS,
        cold: Cold = COLD,
        policy: Policy = DEFAULT_POLICY,
    ) -> "Split":
        """Tasks for ``lists`` on the validation window and for ``protocols`` on the test window.

        Raises ``DataError`` where a window or the history before it has nothing to learn from or be
        judged by.
        """

        def tasks(asked: Sequence[str], start: Context, end: Context) -> dict[str, Task]:
            if not asked:
                return {}
            window = _window(nights.interactions, start, end)
            half_life = policy.popularity_half_life_days
            return {
                name: task(name, start, window, cold=cold, popularity_half_life_days=half_life)
                for name in asked
            }

        return cls(
            nights=nights,
            policy=policy,
            validation=tasks(lists, nights.validation, nights.test),
            test=tasks(protocols, nights.test, nights.today),
        )

    @classmethod
    def at(
        cls,
        cut: Cut,
        interactions: Interactions,
        context: Callable[[date], Context],
        protocols: Sequence[str] = PROTOCOLS,
        *,
        cold: Cold = COLD,
        policy: Policy = DEFAULT_POLICY,
    ) -> "Split":
        """The split at a cut; ``context`` gives what was known on a day."""
        return cls.of(
            Nights(
                interactions=interactions,
                validation=context(cut.validation_start),
                test=context(cut.start),
                today=context(cut.end),
            ),
            protocols,
            cold=cold,
            policy=policy,
        )


def _window(interactions: Interactions, start: Context, end: Context) -> Interactions:
    """The events between two nights, if there are any there and before."""
    window = interactions.between(start.as_of, end.as_of)
    for what, events in (("before", start.interactions), ("from", window)):
        if not len(events):
            raise DataError(
                f"no events {what} {start.as_of}, so that the window {start.as_of} to {end.as_of} "
                "has nothing to learn from or to be judged by. Ingest more nights, or shorten "
                "`[train] test_days` and `validation_days`."
            )
    return window
