"""Lists of items, whoever filled their places."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from models.core.interactions import Indices

NO_RULE: Final = -1


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """Users x N recommendations, best first.

    ``item`` is ``UNKNOWN`` (-1) where there are no more; ``source`` is the place in
    ``source_names`` of the method that put the item there (-1 with an ``UNKNOWN`` item). A score
    compares within one list and source only. ``rule`` is the place, among a night's rules, of the
    one that put the item there, ``NO_RULE`` (-1) where none did.
    """

    item: Indices
    score: NDArray[np.float32]
    source: NDArray[np.int8]
    source_names: tuple[str, ...]
    rule: NDArray[np.int16]

    def head(self, n: int) -> Self:
        """The first ``n`` places of each list."""
        return type(self)(
            self.item[:, :n],
            self.score[:, :n],
            self.source[:, :n],
            self.source_names,
            self.rule[:, :n],
        )
