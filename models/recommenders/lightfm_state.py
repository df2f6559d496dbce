"""What a LightFM fit has learnt, by name, so that a later night's fit can go on from it.

Matrices of two nights differ: people and items come and go, and with them what has an identity or
an attribute of its own. Rows are carried over by name, new ones stay as the library drew them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from lightfm import LightFM
from numpy.typing import NDArray

from lakehouse.errors import ConfigurationError, DataError
from models.core import storage
from models.core.interactions import UNKNOWN, Ids, index_of

KIND: Final = "lightfm_state"
SIDES: Final = ("user", "item")
# All that Adagrad goes on from; the momenta are Adadelta's.
PARTS: Final = ("embeddings", "embedding_gradients", "biases", "bias_gradients")


@dataclass(frozen=True, slots=True, eq=False)
class LightFMState:
    """The parameters and sums of squared gradients of a fit on events before ``as_of``.

    ``recipe`` holds the parameters that have to be equal for rows to mean the same. ``names``
    gives, for ``user`` and ``item``, what each row stands for; ``arrays`` holds the library's
    arrays of the same names, e.g. ``user_embeddings``.
    """

    as_of: date
    recipe: Mapping[str, Any]
    names: Mapping[str, Ids]
    arrays: Mapping[str, NDArray[np.float32]]

    @classmethod
    def of(
        cls, model: LightFM, as_of: date, recipe: Mapping[str, Any], names: Mapping[str, Ids]
    ) -> Self:
        """A copy of what ``model`` has learnt so far."""
        attributes = [f"{side}_{part}" for side in SIDES for part in PARTS]
        arrays = {name: getattr(model, name).copy() for name in attributes}
        return cls(as_of, recipe, names, arrays)

    def require_not_after(self, as_of: date) -> None:
        """Raise ``ConfigurationError`` where a fit at ``as_of`` would learn from its future."""
        if self.as_of > as_of:
            raise ConfigurationError(
                f"a fit on events before {as_of} may not start from one on events before "
                f"{self.as_of}, which knows what came later. Start from that day's or an earlier "
                "night's."
            )

    def carry_over(self, model: LightFM, names: Mapping[str, Ids]) -> None:
        """Overwrite those rows of the initialised ``model`` whose names are known here."""
        for side in SIDES:
            place = index_of(self.names[side], names[side])
            known = place != UNKNOWN
            for part in PARTS:
                attribute = f"{side}_{part}"
                getattr(model, attribute)[known] = self.arrays[attribute][place[known]]

    def save(self, folder: Path) -> None:
        """Write the state to ``folder`` (see ``models.core.storage``)."""
        names = {
            name: array
            for side in SIDES
            for name, array in storage.pack_ids(f"{side}_names", self.names[side]).items()
        }
        parameters = {"as_of": self.as_of.isoformat(), "recipe": dict(self.recipe)}
        storage.write(folder, KIND, parameters, {**names, **self.arrays})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; raises ``DataError`` where it is missing or damaged."""
        stored = storage.read(folder)
        if stored.kind != KIND:
            raise DataError(f"{folder} holds a model of kind {stored.kind!r}, not {KIND!r}")
        return cls(
            as_of=date.fromisoformat(stored.parameters["as_of"]),
            recipe=stored.parameters["recipe"],
            names={side: storage.unpack_ids(f"{side}_names", stored.arrays) for side in SIDES},
            arrays={
                f"{side}_{part}": stored.arrays[f"{side}_{part}"]
                for side in SIDES
                for part in PARTS
            },
        )
