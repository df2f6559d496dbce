"""What some methods can do beyond filling lists, so that nobody has to know them by their class."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import ClassVar, Final, Protocol, Self, TypeVar, runtime_checkable

import pandas as pd
from scipy import sparse

from models.core.base import BaseRecommender
from models.core.context import Context
from models.core.topn import Ranked

# The days within which something is due.
DUE_DAYS: Final = 7

OnEpoch = Callable[[int, dict[str, float]], None]


@runtime_checkable
class FoldsIn(Protocol):
    """A method that ranks items for people whom it has not seen."""

    def fold_in(self, histories: sparse.csr_array, n: int) -> Ranked:
        """N sellable items for each row of ``histories`` (people x items), none of its own."""


@runtime_checkable
class TimesRepeats(Protocol):
    """A method that knows what of their own its users may buy again, and when."""

    @property
    def again(self) -> sparse.csr_array:
        """Users x items: the scores of the user's own items that may be bought again."""

    @property
    def due(self) -> sparse.csr_array:
        """Users x items: the chance that the user buys the item within ``DUE_DAYS``."""


class State(Protocol):
    """What a fit on events before ``as_of`` has learnt, for a later fit to go on from."""

    @property
    def as_of(self) -> date:
        """The night of the fit."""

    def save(self, folder: Path) -> None:
        """Write the state to ``folder``."""


AnyState = TypeVar("AnyState", bound=State)


class Trainer(Protocol):
    """A fit under way, of a method that learns in passes."""

    def train_epoch(self) -> None:
        """One more pass over the data."""

    def finish(self) -> None:
        """Let the method rank by what the passes so far have learnt; more may follow."""


class LearnsInPasses(BaseRecommender):
    """A method that passes over the data, and can be asked for lists after each pass.

    It can go on from the ``state`` of an earlier fit; ``started_from`` is the night of that one.
    After a fit with a validation window (``models.selection.passes``) ``curve`` has the measures of
    each pass, and ``best_epoch`` is the number of passes after which lists were best.
    """

    curve: Sequence[Mapping[str, float]] = ()
    best_epoch: int = 0
    started_from: date | None = None

    @property
    @abstractmethod
    def max_epochs(self) -> int:
        """Passes at most, and without a validation window."""

    @property
    @abstractmethod
    def patience(self) -> int:
        """After so many passes without a gain on the validation window it is enough."""

    @property
    @abstractmethod
    def validation_protocol(self) -> str:
        """By which lists the number of passes is chosen."""

    @property
    @abstractmethod
    def state(self) -> State | None:
        """What the fit has learnt, ``None`` before; it is not saved with the model."""

    def trainer(self, context: Context, *, start: State | None = None) -> Trainer:
        """Begin a fit on ``context``, going on from ``start`` if that is given and fits.

        Raises ``ConfigurationError`` where ``start`` knows more than ``context`` may, and
        ``DataError`` where there is no event.
        """
        self._begin(context)
        return self._trainer(context, start)

    def fit(self, context: Context, *, start: State | None = None) -> Self:
        """Learn from ``context`` in ``max_epochs`` passes; see ``trainer``."""
        self._begin(context)
        self._learn(context, start)
        return self

    def _learn(self, context: Context, start: State | None = None) -> None:
        trainer = self._trainer(context, start)
        for _ in range(self.max_epochs):
            trainer.train_epoch()
        trainer.finish()
        self.best_epoch = self.max_epochs

    @abstractmethod
    def _trainer(self, context: Context, start: State | None) -> Trainer:
        """As ``trainer``; ``known`` is there already."""

    @classmethod
    @abstractmethod
    def load_state(cls, folder: Path) -> State:
        """Read a state; raises ``DataError`` where it is missing or damaged."""


def newest(states: Iterable[AnyState], as_of: date) -> AnyState | None:
    """The one that knows most of those that a fit at ``as_of`` may start from, if any."""
    allowed = (state for state in states if state.as_of <= as_of)
    return max(allowed, key=lambda state: state.as_of, default=None)


class LearnsFromFeatures(BaseRecommender):
    """A method that learns from features of several groups, whose value can be told apart."""

    groups: ClassVar[tuple[str, ...]]

    @abstractmethod
    def importance(self, task: str) -> "pd.Series[float]":
        """As ``TellsImportance.importance``."""

    @abstractmethod
    def members(self, group: str, features: Iterable[str]) -> list[str]:
        """Those of ``features`` that belong to ``group``."""

    @abstractmethod
    def without_group(self, group: str) -> Self:
        """The same method, unfitted, that does not learn from ``group``."""

    @abstractmethod
    def shuffled(self, context: Context, group: str, seed: int) -> Self:
        """The fitted method asked with the features of ``group`` dealt out anew.

        ``context`` is the one of the fit.
        """


@runtime_checkable
class TellsImportance(Protocol):
    """A method that knows how much each of its features had a say."""

    def importance(self, task: str) -> "pd.Series[float]":
        """Shares by feature for a list, the greatest first; empty where nothing was learnt."""
