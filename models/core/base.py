"""The interface of every recommender, and what all of ours share: masks, fallback, saving."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import sparse

from lakehouse.errors import ConfigurationError, DataError
from models.core import storage
from models.core.context import Context
from models.core.interactions import UNKNOWN, Ids, Indices
from models.core.parameters import Parameters, PopularityHalfLife, sentences
from models.core.topn import Ranked

FALLBACK_SOURCE = "popularity"
FILL_ROWS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """Users x N recommendations, best first.

    ``item`` is ``UNKNOWN`` (-1) where there are no more; ``source`` is the place in
    ``source_names`` of the method that put the item there (-1 with an ``UNKNOWN`` item). A score
    compares within one list and source only.
    """

    item: Indices
    score: NDArray[np.float32]
    source: NDArray[np.int8]
    source_names: tuple[str, ...]

    def head(self, n: int) -> "Lists":
        """The first ``n`` places of each list."""
        return Lists(self.item[:, :n], self.score[:, :n], self.source[:, :n], self.source_names)


class Recommender(Protocol):
    """A method that learns from a night's context and fills lists of items."""

    @property
    def kind(self) -> str:
        """Name of the class in ``models.lists.catalogue``."""

    @property
    def name(self) -> str:
        """Name in tables, metrics and lists."""

    @property
    def user_ids(self) -> Ids:
        """The vocabulary that ``recommend`` takes indices of."""

    @property
    def item_ids(self) -> Ids:
        """The vocabulary that lists hold indices of."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by name, of JSON's types: the class called with them is this recipe."""

    def fit(self, context: Context) -> Self:
        """Learn; equal context, parameters and one thread give an equal model."""

    def recommend(
        self,
        users: Indices,
        n: int,
        *,
        new_only: bool,
        among: NDArray[np.bool_] | None = None,
    ) -> Lists:
        """N sellable items for each of ``users``, each item once; ``UNKNOWN`` users are served too.

        ``new_only`` leaves out what the user has taken before; ``among`` (a mask over items) takes
        the place of the context's ``sellable``. A list is shorter than N only where no further
        such item has a score or sales.
        """

    def is_finite(self) -> bool:
        """Whether every learnt number is finite: a diverged or damaged model must not be served."""

    def save(self, folder: Path) -> None:
        """Write the model to ``folder`` (see ``models.core.storage``)."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; raises ``DataError`` where it is missing or damaged."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What each of our models keeps of its context to answer requests.

    ``seen`` holds the users' items (users x items, stored entries), ``popularity`` the decayed
    number of events of each item.
    """

    user_ids: Ids
    item_ids: Ids
    seen: sparse.csr_array
    sellable: NDArray[np.bool_]
    popularity: NDArray[np.float64]

    @classmethod
    def of(cls, context: Context, half_life_days: float) -> Self:
        """What is known in ``context``; popularity decays with ``half_life_days``."""
        events = context.interactions
        seen = events.matrix()
        return cls(
            user_ids=events.user_ids,
            item_ids=events.item_ids,
            seen=sparse.csr_array(
                (np.ones(seen.nnz, dtype=np.bool_), seen.indices, seen.indptr), shape=seen.shape
            ),
            sellable=context.sellable,
            popularity=np.bincount(
                events.item,
                weights=events.decay(context.as_of, half_life_days),
                minlength=events.items,
            ),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as plain arrays."""
        return {
            **storage.pack_ids("user_ids", self.user_ids),
            **storage.pack_ids("item_ids", self.item_ids),
            "seen_indptr": self.seen.indptr,
            "seen_indices": self.seen.indices,
            "sellable": self.sellable,
            "popularity": self.popularity,
        }

    @classmethod
    def from_arrays(cls, arrays: storage.Arrays) -> Self:
        """The inverse of ``arrays``."""
        user_ids = storage.unpack_ids("user_ids", arrays)
        item_ids = storage.unpack_ids("item_ids", arrays)
        indices = arrays["seen_indices"]
        return cls(
            user_ids=user_ids,
            item_ids=item_ids,
            seen=sparse.csr_array(
                (np.ones(len(indices), dtype=np.bool_), indices, arrays["seen_indptr"]),
                shape=(len(user_ids), len(item_ids)),
            ),
            sellable=arrays["sellable"],
            popularity=arrays["popularity"],
        )


class BaseRecommender(ABC):
    """A recommender with its ``configuration``; subclasses learn and rank, this does the rest.

    A subclass registers itself (``models.core.registration``) and extends ``Configuration``, which
    declares every parameter with type, bounds, default and meaning.
    """

    kind: ClassVar[str]
    # What anybody would try first: a method that takes more than these has to be surely better.
    is_heuristic: ClassVar[bool] = False
    # Whether it takes so much that it doesn't count as simple where gains are told.
    is_elaborate: ClassVar[bool] = False
    # Whether commands that try all methods leave it out.
    only_when_named: ClassVar[bool] = False

    class Configuration(Parameters):
        """Popularity fills up short lists, and serves users without any."""

        popularity_half_life_days: PopularityHalfLife = 30.0

    configuration: Configuration

    def __init__(self, **parameters: object) -> None:
        """Raise ``ConfigurationError`` for an unknown or wrong parameter."""
        try:
            self.configuration = self.Configuration.model_validate(parameters)
        except ValidationError as error:
            raise ConfigurationError(f"method {self.kind}: {sentences(error)}") from None
        self._known: Known | None = None

    @property
    def name(self) -> str:
        """Name in tables, metrics and lists."""
        return self.kind

    @property
    def known(self) -> Known:
        """What the model keeps of its context; raises ``RuntimeError`` before ``fit``."""
        if self._known is None:
            raise RuntimeError(
                f"{self.name} has not been fitted: call fit(context) or load(folder)"
            )
        return self._known

    @property
    def user_ids(self) -> Ids:
        """The vocabulary that ``recommend`` takes indices of."""
        return self.known.user_ids

    @property
    def item_ids(self) -> Ids:
        """The vocabulary that lists hold indices of."""
        return self.known.item_ids

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by name, as JSON takes them."""
        return self.configuration.model_dump(mode="json")

    @property
    def learnt_parameters(self) -> dict[str, Any]:
        """The parameters for the next fit: as configured, but for what a validation taught."""
        return self.parameters

    @property
    def is_deterministic(self) -> bool:
        """Whether fitting again gives an equal model."""
        return True

    def changed(self, **parameters: object) -> Self:
        """An unfitted recommender with other values of some parameters."""
        return type(self)(**{**self.parameters, **parameters})

    def fit(self, context: Context) -> Self:
        """Learn from ``context``. Raises ``DataError`` where it has no event."""
        self._begin(context)
        self._learn(context)
        return self

    def _begin(self, context: Context) -> None:
        """Set ``known``."""
        if not len(context.interactions):
            raise DataError(
                f"{self.name}: no events before {context.as_of} to learn from. Check the run date "
                "and that the nights before it were loaded."
            )
        self._known = Known.of(context, self.configuration.popularity_half_life_days)

    def recommend(
        self,
        users: Indices,
        n: int,
        *,
        new_only: bool,
        among: NDArray[np.bool_] | None = None,
    ) -> Lists:
        """N items for each of ``users``; see ``Recommender.recommend``."""
        known = self.known
        allowed = known.sellable if among is None else among
        users = np.asarray(users, dtype=np.int32)
        if ((users < UNKNOWN) | (users >= len(known.user_ids))).any():
            raise IndexError(f"{self.name}: user indices must lie in -1..{len(known.user_ids) - 1}")
        item = np.full((len(users), n), UNKNOWN, dtype=np.int32)
        score = np.zeros((len(users), n), dtype=np.float32)
        is_known = users != UNKNOWN
        exclude = _rows(known.seen, users) if new_only else None
        item[is_known], score[is_known] = self._rank(
            users[is_known], n, allowed, None if exclude is None else exclude[is_known]
        )
        return self._filled_up(Ranked(item, score), allowed, exclude)

    def _filled_up(
        self, ranked: Ranked, allowed: NDArray[np.bool_], exclude: sparse.csr_array | None
    ) -> Lists:
        """The method's own ``ranked`` items, and popular ones where there are too few."""
        item, score = ranked
        source = np.where(item == UNKNOWN, UNKNOWN, 0).astype(np.int8)
        _fill_up(item, score, np.where(allowed, self.known.popularity, 0), exclude)
        names = tuple(dict.fromkeys((self.name, FALLBACK_SOURCE)))
        source[(item != UNKNOWN) & (source == UNKNOWN)] = len(names) - 1
        return Lists(item, score, source, names)

    def is_finite(self) -> bool:
        """Whether every learnt number is finite."""
        return all(
            bool(np.isfinite(array).all())
            for array in self._arrays().values()
            if array.dtype.kind == "f"
        )

    def save(self, folder: Path) -> None:
        """Write the model to ``folder``; equal models give equal bytes."""
        known = {f"known_{name}": array for name, array in self.known.arrays().items()}
        learnt = {f"learnt_{name}": array for name, array in self._arrays().items()}
        storage.write(folder, self.kind, self.parameters, {**known, **learnt})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; raises ``DataError`` where it is missing or damaged."""
        stored = storage.read(folder)
        if stored.kind != cls.kind:
            raise DataError(f"{folder} holds a model of kind {stored.kind!r}, not {cls.kind!r}")
        try:
            model = cls(**stored.parameters)
        except ConfigurationError as error:
            raise DataError(
                f"the model in {folder} was saved by another version of this code: {error}. Train "
                "again."
            ) from error
        model._known = Known.from_arrays(_with_prefix("known_", stored.arrays))
        model._restore(_with_prefix("learnt_", stored.arrays))
        return model

    @abstractmethod
    def _learn(self, context: Context) -> None:
        """Set the learnt fields; ``known`` is there already."""

    @abstractmethod
    def _rank(
        self,
        users: Indices,
        n: int,
        allowed: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> Ranked:
        """The model's own best items that are ``allowed`` and not stored in ``exclude``, if any."""

    @abstractmethod
    def _arrays(self) -> dict[str, NDArray[Any]]:
        """The learnt fields as plain arrays."""

    @abstractmethod
    def _restore(self, arrays: storage.Arrays) -> None:
        """Set the learnt fields from ``_arrays``'s result."""


def _with_prefix(prefix: str, arrays: storage.Arrays) -> dict[str, NDArray[Any]]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _rows(matrix: sparse.csr_array, rows: Indices) -> sparse.csr_array:
    """Rows of ``matrix`` in the order of ``rows``; an empty one for ``UNKNOWN``."""
    known = rows != UNKNOWN
    taken = matrix[rows[known]]
    lengths = np.zeros(len(rows), dtype=taken.indptr.dtype)
    lengths[known] = np.diff(taken.indptr)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return sparse.csr_array((taken.data, taken.indices, indptr), shape=(len(rows), matrix.shape[1]))


def _fill_up(
    item: Indices,
    score: NDArray[np.float32],
    popularity: NDArray[np.float64],
    exclude: sparse.csr_array | None,
) -> None:
    """Fill the ``UNKNOWN`` ends of lists with items of positive ``popularity`` not yet in them."""
    short = np.flatnonzero((item == UNKNOWN).any(axis=1))
    candidates = np.flatnonzero(popularity > 0)
    popular = candidates[np.argsort(-popularity[candidates], kind="stable")]
    if not len(short) or not len(popular):
        return
    place = np.full(len(popularity), len(popular))
    place[popular] = np.arange(len(popular))
    for start in range(0, len(short), FILL_ROWS):
        rows = short[start : start + FILL_ROWS]
        listed_row, column = np.nonzero(item[rows] != UNKNOWN)
        taken_row, taken_item = listed_row, item[rows][listed_row, column]
        if exclude is not None:
            hidden = exclude[rows]
            taken_row = np.concatenate(
                [taken_row, np.repeat(np.arange(len(rows)), np.diff(hidden.indptr))]
            )
            taken_item = np.concatenate([taken_item, hidden.indices])
        width = min(len(popular), item.shape[1] + int(np.max(np.bincount(taken_row, minlength=1))))
        free = np.ones((len(rows), width), dtype=np.bool_)
        near = place[taken_item] < width
        free[taken_row[near], place[taken_item][near]] = False
        listed = np.bincount(listed_row, minlength=len(rows))
        free_row, choice = np.nonzero(free)
        target = listed[free_row] + np.arange(len(free_row)) - np.searchsorted(free_row, free_row)
        fits = target < item.shape[1]
        into = rows[free_row[fits]], target[fits]
        item[into] = popular[choice[fits]]
        score[into] = popularity[popular[choice[fits]]]
