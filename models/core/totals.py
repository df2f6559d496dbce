"""Recency and frequency of any entity on one night: the formulas stand here once.

A user, an item, a pair of both or a user's category differ by their keys alone. Spark builds the
same measures for the gold tables; here they are built in memory, because a ranker needs them for
several past nights and only for its candidates. A test holds the two against each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Keys = NDArray[np.int64]

COUNTED: Final = ("decayed", "days_in", "active_days")


@dataclass(frozen=True, slots=True, eq=False)
class Totals:
    """Measures of entities; ``keys`` are sorted and unique, each measure is aligned with them."""

    keys: Keys
    measures: dict[str, Floats]

    def at(self, keys: Keys) -> dict[str, Floats]:
        """The measures of ``keys``; where there are none, counts are 0 and the others NaN."""
        place = np.searchsorted(self.keys, keys)
        place[place == len(self.keys)] = 0
        known = self.keys[place] == keys if len(self.keys) else np.zeros(len(keys), dtype=np.bool_)
        found = {}
        for name, values in self.measures.items():
            missing = np.float32(0 if name.startswith(COUNTED) else np.nan)
            found[name] = (
                np.where(known, values[place], missing)
                if len(values)
                else np.full(len(keys), missing)
            )
        return found


def totals(
    keys: Keys,
    age: NDArray[np.int32],
    *,
    half_lives: Sequence[int],
    windows: Sequence[int],
) -> Totals:
    """Recency and frequency of the entities ``keys`` that were active ``age`` days ago.

    There is one entry per entity and active day (``age`` from 1); entries repeated count again.
    The measures:

    ``decayed_{h}``
        Sum of ``0.5 ** (age / h)``.
    ``days_in_{w}``, ``active_days``
        Entries of the last ``w`` days; all entries.
    ``since_first``, ``since_last``
        Greatest and least age.
    ``mean_gap``, ``last_gap``
        Mean and last of the days between entries; NaN with one entry.
    ``overdue``
        ``since_last / mean_gap``: above 1 the entity is late by its own rhythm.
    """
    order = np.lexsort((-age, keys))
    keys, age = keys[order], age[order]
    start = group_starts(keys)
    end = np.append(start[1:], len(keys))
    entries = (end - start).astype(np.float32)
    measures: dict[str, Floats] = {}
    for half_life in half_lives:
        measures[f"decayed_{half_life}"] = sums(0.5 ** (age / half_life), start)
    for window in windows:
        measures[f"days_in_{window}"] = sums((age <= window).astype(np.float64), start)
    first, last = age[start].astype(np.float32), age[end - 1].astype(np.float32)
    several = entries > 1
    mean_gap = np.full(len(start), np.nan, dtype=np.float32)
    mean_gap[several] = (first - last)[several] / (entries[several] - 1)
    last_gap = np.full(len(start), np.nan, dtype=np.float32)
    last_gap[several] = (age[end[several] - 2] - age[end[several] - 1]).astype(np.float32)
    measures |= {
        "active_days": entries,
        "since_first": first,
        "since_last": last,
        "mean_gap": mean_gap,
        "last_gap": last_gap,
        "overdue": ratio(last, mean_gap),
    }
    return Totals(keys[start], measures)


def distinct(keys: NDArray[Any]) -> NDArray[Any]:
    """The different values of ``keys``, sorted; several times faster than hashing them."""
    ordered = np.sort(keys)
    return ordered[group_starts(ordered)]


def group_starts(keys: NDArray[np.int64] | NDArray[np.int32]) -> NDArray[np.int64]:
    """Where each run of equal keys starts; ``keys`` are sorted."""
    if not len(keys):
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))


def sums(values: NDArray[np.float64], start: NDArray[np.int64]) -> Floats:
    """The sum of each run of ``values``; runs begin at ``start``."""
    if not len(start):
        return np.zeros(0, dtype=np.float32)
    return np.asarray(np.add.reduceat(values, start), dtype=np.float32)


def ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> Floats:
    """Element-wise quotient, NaN where the denominator is 0 or NaN."""
    result = np.full(np.broadcast(numerator, denominator).shape, np.nan, dtype=np.float32)
    np.divide(numerator, denominator, out=result, where=denominator > 0, casting="same_kind")
    return result
