"""Random numbers that belong to a key: the same on any night, block or machine that asks."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.core.interactions import Ids

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_MANTISSA_BITS: Final = 53


def uniforms(ids: Ids, count: int, seed: Sequence[int]) -> NDArray[np.float64]:
    """``count`` numbers in [0, 1) for each of ``ids`` (rows), drawn by ``seed`` and id alone.

    SplitMix64 (Steele, Lea & Flood 2014), each id's stream starting at a hash of its own. A further
    number changes none of those before it.
    """
    start = np.frombuffer(sha256(repr(tuple(seed)).encode()).digest()[:8], dtype="<u8")[0]
    keys = pd.util.hash_array(np.asarray(ids, dtype=object), categorize=False)
    # The ids' own hashes differ in few bits at times: mixed before the steps are counted off.
    states = _mixed(keys ^ start)[:, np.newaxis]
    steps = (np.arange(count, dtype=np.uint64) + np.uint64(1))[np.newaxis, :] * _GOLDEN
    drawn = _mixed(states + steps) >> np.uint64(64 - _MANTISSA_BITS)
    return np.asarray(drawn.astype(np.float64) / 2.0**_MANTISSA_BITS)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return np.asarray(values ^ (values >> np.uint64(31)))
