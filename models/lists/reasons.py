"""Why an item is in a list, in words for the user, by the method that put it there."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from models.lists.exposure import EXPLORATION_SOURCE

POPULAR: Final = "Popular right now"
NEW: Final = "New in the range"
SIMILAR_TASTE: Final = "People with a taste like yours choose it"
VERBS: Final[Mapping[str, str]] = {
    "purchase": "bought",
    "rating": "rated",
    "view": "looked at",
    "click": "clicked",
    "cart": "put in your basket",
}
SEVERAL_KINDS: Final = "chose"


def reasons(rows: pd.DataFrame, event_types: Sequence[str]) -> "pd.Series[str]":
    """A sentence per row, aligned with ``rows``.

    ``rows`` has the columns ``source``, ``events_total`` and ``days_since_last`` of the user with
    the item (missing where there are none), ``group`` (the item's category, missing if unknown) and
    ``group_known`` (whether the user took something of it before).
    """
    verb = VERBS[event_types[0]] if len(event_types) == 1 else SEVERAL_KINDS
    again = (rows["source"] != "popularity") & rows["events_total"].notna()
    taste = (rows["source"] != "popularity") & ~again
    result = pd.Series(SIMILAR_TASTE, index=rows.index, dtype=object)
    result[rows["source"] == "popularity"] = POPULAR
    grouped = taste & rows["group"].notna() & rows["group_known"]
    result[grouped] = "Goes with your taste in " + rows.loc[grouped, "group"].astype(object)
    pairs = rows.loc[again, ["events_total", "days_since_last"]].astype(np.int64)
    result[again] = np.array(
        [
            f"You {verb} it {_times(times)} {_ago(days)}"
            for times, days in pairs.itertuples(index=False)
        ],
        dtype=object,
    )
    result[rows["source"] == EXPLORATION_SOURCE] = NEW
    return result


def _times(times: int) -> str:
    return {1: "once,", 2: "twice, last"}.get(times, f"{times} times, last")


def _ago(days: int) -> str:
    return "1 day ago" if days == 1 else f"{days} days ago"
