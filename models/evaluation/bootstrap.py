"""Paired bootstrap: how sure a difference between two methods on the same users is."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK_DRAWS = 4_000_000


class Difference(NamedTuple):
    """Mean difference over users, with the bounds of its percentile interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """``+0.0167 [+0.0127, +0.0206]``."""
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


def paired_bootstrap(
    challenger: NDArray[np.float64],
    champion: NDArray[np.float64],
    *,
    seed: int,
    samples: int = 1000,
    confidence: float = 0.95,
) -> Difference:
    """``challenger - champion``, users drawn with replacement (Efron & Tibshirani 1993, ch. 13).

    The arrays hold one measure per user, the same user at the same place. Users where either is NaN
    are left out. Raises ``ValueError`` for arrays of different length or without a user.
    """
    if challenger.shape != champion.shape:
        raise ValueError(f"different users: {challenger.shape} against {champion.shape}")
    gains = challenger - champion
    gains = gains[~np.isnan(gains)]
    if not len(gains):
        raise ValueError("no user has both measures, so there is no difference")
    random = np.random.default_rng(seed)
    per_block = max(1, BLOCK_DRAWS // len(gains))
    means = np.concatenate(
        [
            gains[
                random.integers(len(gains), size=(min(per_block, samples - start), len(gains)))
            ].mean(axis=1)
            for start in range(0, samples, per_block)
        ]
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Difference(float(gains.mean()), float(low), float(high))
