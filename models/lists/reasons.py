"""Why an item is in a list, in words for the user, by the method that put it there."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from models.lists.exposure import EXPLORATION_SOURCE
from models.lists.path import FILL_UP_SOURCE

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


# What a reason is given by, of the features of a user and an item.
HISTORY_COLUMNS: Final = ("user_id", "item_id", "events_total", "days_since_last")


def explained(
    lists: pd.DataFrame, pairs: pd.DataFrame, items: pd.DataFrame, event_types: Sequence[str]
) -> pd.DataFrame:
    """``lists`` with the items' ``title`` and a ``reason`` by what the user took before.

    ``lists`` has ``user_id``, ``item_id`` and ``source``, ``pairs`` the ``HISTORY_COLUMNS``,
    ``items`` their ``title``, ``category`` and ``department``.
    """
    groups = items.set_index("item_id")["category"].fillna(items.set_index("item_id")["department"])
    known = pairs.assign(group=pairs["item_id"].map(groups))[["user_id", "group"]]
    known = known.dropna().drop_duplicates().assign(group_known=True)
    rows = (
        lists.assign(group=lists["item_id"].map(groups))
        .merge(items[["item_id", "title"]], how="left", on="item_id", validate="many_to_one")
        .merge(pairs, how="left", on=["user_id", "item_id"], validate="many_to_one")
        .merge(known, how="left", on=["user_id", "group"], validate="many_to_one")
    )
    rows["group_known"] = rows["group_known"].eq(True)
    return rows.assign(reason=reasons(rows, event_types))


def reasons(rows: pd.DataFrame, event_types: Sequence[str]) -> "pd.Series[str]":
    """A sentence per row, aligned with ``rows``.

    ``rows`` has the columns ``source``, ``events_total`` and ``days_since_last`` of the user with
    the item (missing where there are none), ``group`` (the item's category, missing if unknown) and
    ``group_known`` (whether the user took something of it before).
    """
    verb = VERBS[event_types[0]] if len(event_types) == 1 else SEVERAL_KINDS
    again = (rows["source"] != FILL_UP_SOURCE) & rows["events_total"].notna()
    taste = (rows["source"] != FILL_UP_SOURCE) & ~again
    result = pd.Series(SIMILAR_TASTE, index=rows.index, dtype=object)
    result[rows["source"] == FILL_UP_SOURCE] = POPULAR
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
