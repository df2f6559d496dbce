"""What some methods can do beyond filling lists, so that nobody has to know them by their class."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Protocol, Self, TypeVar, runtime_checkable

import pandas as pd
from scipy import sparse

from models.core.base import BaseRecommender, Lists
from models.core.context import Context
from models.core.interactions import Interactions

OnEpoch = Callable[[int, dict[str, float]], None]


@runtime_checkable
class FoldsIn(Protocol):
    """A method that lists items for people whom it has not seen."""

    def fold_in(self, histories: sparse.csr_array, n: int) -> Lists:
        """N sellable items for each row of ``histories`` (people x items), none of its own."""


class State(Protocol):
    """What a fit on events before ``as_of`` has learnt, for a later fit to go on from."""

    @property
    def as_of(self) -> date:
        """The night of the fit."""

    def save(self, folder: Path) -> None:
        """Write the state to ``folder``."""


AnyState = TypeVar("AnyState", bound=State)


class LearnsInPasses(BaseRecommender):
    """A method that passes over the data until a validation window says that it is enough.

    It can go on from the ``state`` of an earlier fit. After a fit ``curve`` has the measures of
    each pass that was judged, ``started_from`` the night of the fit that it went on from.
    """

    curve: Sequence[Mapping[str, float]]
    started_from: date | None

    @property
    @abstractmethod
    def state(self) -> State | None:
        """What the fit has learnt, ``None`` before."""

    @abstractmethod
    def fit(self, context: Context, *, start: State | None = None) -> Self:
        """Learn from ``context`` in the configured number of passes, going on from ``start``."""

    @abstractmethod
    def fit_with_validation(
        self,
        context: Context,
        validation: Interactions,
        on_epoch: OnEpoch | None = None,
        *,
        start: State | None = None,
    ) -> Self:
        """As ``fit``, and keep the pass after which lists for ``validation`` are best."""

    @classmethod
    @abstractmethod
    def load_state(cls, folder: Path) -> State:
        """Read a state; raises ``DataError`` where it is missing or damaged."""


def newest(states: Iterable[AnyState], as_of: date) -> AnyState | None:
    """The one that knows most of those that a fit at ``as_of`` may start from, if any."""
    allowed = (state for state in states if state.as_of <= as_of)
    return max(allowed, key=lambda state: state.as_of, default=None)


@runtime_checkable
class TellsImportance(Protocol):
    """A method that knows how much each of its features had a say."""

    def importance(self, task: str) -> "pd.Series[float]":
        """Shares by feature for a list, the greatest first; empty where nothing was learnt."""
