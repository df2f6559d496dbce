"""The interface of every recommender, and what all of ours share: masks, saving."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import sparse

from lakehouse.errors import ConfigurationError, DataError
from models.core import former_release, storage
from models.core.context import Context
from models.core.interactions import UNKNOWN, Ids, Indices
from models.core.parameters import Parameters, sentences
from models.core.topn import Ranked, nothing_ranked, rows_of


class Ranks(Protocol):
    """Whatever ranks items for those of a vocabulary: users, or keys of lists for nobody."""

    @property
    def name(self) -> str:
        """Name in tables, metrics and lists."""

    @property
    def user_ids(self) -> Ids:
        """The vocabulary that ``rank`` takes indices of."""

    @property
    def seen(self) -> sparse.csr_array:
        """Users x items, stored where a user has taken an item before."""

    def rank(
        self,
        users: Indices,
        n: int,
        *,
        filter_seen: bool,
        items_to_recommend: NDArray[np.bool_] | None = None,
        exclude: sparse.csr_array | None = None,
    ) -> Ranked:
        """See ``Recommender.rank``."""


class Recommender(Ranks, Protocol):
    """A method that learns from a night's context and ranks items for users."""

    @property
    def kind(self) -> str:
        """Name of the class in ``models.lists.catalogue``."""

    @property
    def item_ids(self) -> Ids:
        """The vocabulary that ``rank`` gives indices of."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by name, of JSON's types: the class called with them is this recipe."""

    def fit(self, context: Context) -> Self:
        """Learn; equal context, parameters and one thread give an equal model."""

    def rank(
        self,
        users: Indices,
        n: int,
        *,
        filter_seen: bool,
        items_to_recommend: NDArray[np.bool_] | None = None,
        exclude: sparse.csr_array | None = None,
    ) -> Ranked:
        """The method's own N best sellable items for each of ``users``, each item once.

        ``filter_seen`` leaves out what the user has taken before; ``items_to_recommend`` (a mask
        over items) takes the place of the context's ``sellable``. Without ``filter_seen`` the
        stored entries of ``exclude`` (a row per user x items) are left out. A row is shorter than N
        where the method has no score for more; that of an ``UNKNOWN`` user is empty. What fills
        lists up is not the method's business (see ``models.lists.path``).
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

    ``seen`` holds the users' items (users x items, stored entries).
    """

    user_ids: Ids
    item_ids: Ids
    seen: sparse.csr_array
    sellable: NDArray[np.bool_]

    @classmethod
    def of(cls, context: Context) -> Self:
        """What is known in ``context``."""
        events = context.interactions
        seen = events.matrix()
        return cls(
            user_ids=events.user_ids,
            item_ids=events.item_ids,
            seen=sparse.csr_array(
                (np.ones(seen.nnz, dtype=np.bool_), seen.indices, seen.indptr), shape=seen.shape
            ),
            sellable=context.sellable,
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as plain arrays."""
        return {
            **storage.pack_ids("user_ids", self.user_ids),
            **storage.pack_ids("item_ids", self.item_ids),
            "seen_indptr": self.seen.indptr,
            "seen_indices": self.seen.indices,
            "sellable": self.sellable,
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
        """Nothing that all methods have."""

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
    def seen(self) -> sparse.csr_array:
        """Users x items, stored where a user has taken an item before."""
        return self.known.seen

    @property
    def user_ids(self) -> Ids:
        """The vocabulary that ``rank`` takes indices of."""
        return self.known.user_ids

    @property
    def item_ids(self) -> Ids:
        """The vocabulary that ``rank`` gives indices of."""
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
        self._known = Known.of(context)

    def rank(
        self,
        users: Indices,
        n: int,
        *,
        filter_seen: bool,
        items_to_recommend: NDArray[np.bool_] | None = None,
        exclude: sparse.csr_array | None = None,
    ) -> Ranked:
        """The method's own N best items for each of ``users``; see ``Recommender.rank``."""
        known = self.known
        allowed = known.sellable if items_to_recommend is None else items_to_recommend
        users = np.asarray(users, dtype=np.int32)
        if ((users < UNKNOWN) | (users >= len(known.user_ids))).any():
            raise IndexError(f"{self.name}: user indices must lie in -1..{len(known.user_ids) - 1}")
        is_known = users != UNKNOWN
        asked = users[is_known]
        result = nothing_ranked(len(users), n)
        if filter_seen:
            ranked = self._rank_new(asked, n, allowed, rows_of(known.seen, asked))
        else:
            ranked = self._rank(asked, n, allowed, None if exclude is None else exclude[is_known])
        result.item[is_known], result.score[is_known] = ranked
        return result

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
        stored = former_release.renewed(storage.read(folder), cls.Configuration)
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

    def _rank_new(
        self, users: Indices, n: int, allowed: NDArray[np.bool_], seen: sparse.csr_array
    ) -> Ranked:
        """As ``_rank``, where ``seen`` is what the users have taken before."""
        return self._rank(users, n, allowed, seen)

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
