"""When events happened, by the clock of their shop: the day of the week, the time of day."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from models.lists.rules.rule import WEEKDAYS

SLOT_HOURS: Final = 6
SLOTS: Final = tuple(f"{hour:02}-{hour + SLOT_HOURS:02}" for hour in range(0, 24, SLOT_HOURS))


def time_contexts(
    when: "pd.Series[Any]", source: "pd.Series[Any]", zones: Mapping[str, str]
) -> pd.DataFrame:
    """``weekday`` (``mon``) and ``hour_slot`` (``06-12``) of each event, aligned with ``when``.

    ``when`` are instants in UTC, ``zones`` the zone of each ``source``. Where a source's events all
    fall on midnight it gives days only, and no slot is known; of a source without a zone neither.
    """
    weekday = np.full(len(when), None, dtype=object)
    hour_slot = weekday.copy()
    for name, zone in zones.items():
        rows = np.flatnonzero((source == name).to_numpy())
        local = when.iloc[rows].dt.tz_convert(zone)
        weekday[rows] = np.array(WEEKDAYS, dtype=object)[local.dt.weekday.to_numpy()]
        if not (local == local.dt.normalize()).all():
            slots = np.array(SLOTS, dtype=object)
            hour_slot[rows] = slots[local.dt.hour.to_numpy() // SLOT_HOURS]
    return pd.DataFrame({"weekday": weekday, "hour_slot": hour_slot}, index=when.index)
