"""A night's two windows: what was known when each began, and what methods are asked for there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from lakehouse.errors import DataError
from models.core.context import Context
from models.core.interactions import Interactions
from models.evaluation.protocol import COLD, PROTOCOLS, Cold, Protocol, Task, task
from models.lists.published import PERSONAL_LISTS


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
class Origin:
    """What was known at a cut, and what methods are asked for there.

    ``validation`` holds a task for each list that methods compete for, ``test`` one for each
    protocol; the windows are those between the nights.
    """

    nights: Nights
    validation: Mapping[Protocol, Task]
    test: Mapping[Protocol, Task]

    @classmethod
    def of(
        cls,
        nights: Nights,
        protocols: Sequence[Protocol] = PROTOCOLS,
        *,
        lists: Sequence[Protocol] = PERSONAL_LISTS,
        cold: Cold = COLD,
    ) -> "Origin":
        """Tasks for ``lists`` on the validation window and for ``protocols`` on the test window.

        Raises ``DataError`` where a window or the history before it has nothing to learn from or be
        judged by.
        """
        return cls(
            nights=nights,
            validation=_tasks(lists, nights.interactions, nights.validation, nights.test, cold),
            test=_tasks(protocols, nights.interactions, nights.test, nights.today, cold),
        )

    @classmethod
    def at(
        cls,
        cut: Cut,
        interactions: Interactions,
        context: Callable[[date], Context],
        protocols: Sequence[Protocol] = PROTOCOLS,
        *,
        cold: Cold = COLD,
    ) -> "Origin":
        """The origin of a cut; ``context`` gives what was known on a day."""
        return cls.of(
            Nights(
                interactions=interactions,
                validation=context(cut.validation_start),
                test=context(cut.start),
                today=context(cut.end),
            ),
            protocols,
            cold=cold,
        )


def _tasks(
    protocols: Sequence[Protocol],
    interactions: Interactions,
    start: Context,
    end: Context,
    cold: Cold,
) -> dict[Protocol, Task]:
    window = interactions.between(start.as_of, end.as_of)
    for what, events in (("before", start.interactions), ("from", window)):
        if protocols and not len(events):
            raise DataError(
                f"no events {what} {start.as_of}, so that the window {start.as_of} to {end.as_of} "
                "has nothing to learn from or to be judged by. Ingest more nights, or shorten "
                "`[train] test_days` and `validation_days`."
            )
    return {protocol: task(protocol, start, window, cold) for protocol in protocols}
