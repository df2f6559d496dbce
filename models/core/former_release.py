"""Models that the former release saved, as this one reads them; to go with the next release.

Each method kept what fills up its lists then: a half-life among its parameters, and the items'
popularity among what it knew of the night.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, Final

import numpy as np
from pydantic import BaseModel

from models.core.assortment import NEVER, Assortment
from models.core.storage import Stored

POPULARITY: Final = "popularity"
HALF_LIFE: Final = "popularity_half_life_days"
KNOWN: Final = f"known_{POPULARITY}"


def renewed(stored: Stored, configuration: type[BaseModel]) -> Stored:
    """A saved method in the terms of today's ``configuration``; one of this release as it is."""
    if KNOWN not in stored.arrays:
        return stored
    arrays = {name: array for name, array in stored.arrays.items() if name != KNOWN}
    if stored.kind == POPULARITY:
        arrays["learnt_popularity"] = stored.arrays[KNOWN]
    return replace(stored, parameters=parameters(configuration, stored.parameters), arrays=arrays)


def assortment(stored: Stored) -> Assortment:
    """What there was to list, of which no item is known to be new; the date was not kept."""
    popularity = stored.arrays[KNOWN]
    return Assortment(
        as_of=date.min,
        sellable=stored.arrays["known_sellable"],
        popularity=popularity,
        age_days=np.full(len(popularity), NEVER, dtype=np.int32),
    )


def parameters(configuration: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """A method's parameters without those that have left its ``configuration``."""
    left = {HALF_LIFE} - set(configuration.model_fields)
    return {name: value for name, value in given.items() if name not in left}
