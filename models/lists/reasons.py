"""Why an item is in a list, in words for the user, by the method that put it there."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from lakehouse import lists as surfaces
from models.lists.exposure import EXPLORATION_SOURCE
from models.lists.keyed import TRENDING_SOURCE
from models.lists.path import FILL_UP_SOURCE, RULE_SOURCE

AGAIN: Final = "again"
DUE: Final = "due"
TASTE: Final = "taste"
SIMILAR_TASTE: Final = "similar_taste"
POPULAR: Final = "popular"
TRENDING: Final = "trending"
NEW: Final = "new"
CHOSEN: Final = "chosen"
TOGETHER: Final = "together"
SIMILAR: Final = "similar"
BECAUSE: Final = "because"
# By the surface's name: why an item is on a list that is about another one.
OF_SHELVES: Final[Mapping[str, str]] = {
    surfaces.BOUGHT_TOGETHER.name: TOGETHER,
    surfaces.SIMILAR.name: SIMILAR,
    surfaces.BECAUSE_YOU_BOUGHT.name: BECAUSE,
}
# In words; those of the others are about the user, or about an item.
WORDS: Final[Mapping[str, str]] = {
    SIMILAR_TASTE: "People with a taste like yours choose it",
    POPULAR: "Popular right now",
    TRENDING: "Selling more than usual",
    NEW: "New in the range",
    CHOSEN: "Chosen by the shop",
}
CODES: Final = (AGAIN, DUE, TASTE, *WORDS, *OF_SHELVES.values())
PURCHASE: Final = "purchase"
VERBS: Final[Mapping[str, str]] = {
    PURCHASE: "bought",
    "rating": "rated",
    "view": "looked at",
    "click": "clicked",
    "cart": "put in your basket",
}
SEVERAL_KINDS: Final = "chose"
# So many purchases make a rhythm; one that stopped so many gaps ago is none any more.
RHYTHM_PURCHASES: Final = 3
GIVEN_UP: Final = 3


# What a reason is given by, of the features of a user and an item.
HISTORY_COLUMNS: Final = (
    "user_id",
    "item_id",
    "events_total",
    "active_days",
    "days_since_last",
    "mean_gap_days",
)


def explained(
    lists: pd.DataFrame,
    pairs: pd.DataFrame,
    items: pd.DataFrame,
    together: pd.DataFrame,
    event_types: Sequence[str],
) -> pd.DataFrame:
    """``lists`` with the items' ``title``, ``reason_code`` and ``reason``.

    ``lists`` has ``list``, ``user_id``, ``tier``, ``item_id``, ``source`` and ``about`` (an item's
    id, or null), ``pairs`` the ``HISTORY_COLUMNS``, ``items`` their ``title``, ``category`` and
    ``department``; ``together`` says in how many (``support``) of the ``baskets`` with ``item_id``
    the ``related_item_id`` was too. Only users have a history: a context or an item may be called
    as one of them.
    """
    groups = items.set_index("item_id")["category"].fillna(items.set_index("item_id")["department"])
    known = pairs.assign(group=pairs["item_id"].map(groups))[["user_id", "group"]]
    known = known.dropna().drop_duplicates().assign(group_known=True)
    pairs, known = (frame.rename(columns={"user_id": "person"}) for frame in (pairs, known))
    titles = items.set_index("item_id")["title"]
    together = together[["item_id", "related_item_id", "support", "baskets"]]
    together = together.rename(columns={"item_id": "about", "related_item_id": "item_id"})
    rows = (
        lists.assign(
            group=lists["item_id"].map(groups),
            about_title=lists["about"].map(titles).fillna(lists["about"]),
            person=lists["user_id"].where(lists["tier"] == "user"),
        )
        .merge(items[["item_id", "title"]], how="left", on="item_id", validate="many_to_one")
        .merge(pairs, how="left", on=["person", "item_id"], validate="many_to_one")
        .merge(known, how="left", on=["person", "group"], validate="many_to_one")
        .merge(together, how="left", on=["about", "item_id"], validate="many_to_one")
        .drop(columns="person")
    )
    rows["group_known"] = rows["group_known"].eq(True)
    rows["reason_code"] = reason_codes(rows)
    return rows.assign(reason=reasons(rows, event_types))


def reason_codes(rows: pd.DataFrame) -> "pd.Series[str]":
    """Why, in one of ``CODES``, aligned with ``rows``.

    ``rows`` has the columns ``list``, ``source``, ``events_total`` of the user with the item
    (missing where there are none), ``group`` (the item's category, missing if unknown) and
    ``group_known`` (whether the user took something of it before).
    """
    source = rows["source"]
    ranked = ~source.isin([FILL_UP_SOURCE, EXPLORATION_SOURCE, TRENDING_SOURCE, RULE_SOURCE])
    again = ranked & rows["events_total"].notna()
    codes = pd.Series(SIMILAR_TASTE, index=rows.index, dtype=object)
    codes[ranked & rows["group"].notna() & rows["group_known"]] = TASTE
    codes[again] = AGAIN
    codes[again & (rows["list"] == surfaces.BUY_AGAIN.name)] = DUE
    codes[source == FILL_UP_SOURCE] = POPULAR
    codes[source == TRENDING_SOURCE] = TRENDING
    codes[source == RULE_SOURCE] = CHOSEN
    codes[(source == EXPLORATION_SOURCE) | (rows["list"] == surfaces.NEW.name)] = NEW
    of_shelf = rows["list"].map(OF_SHELVES)
    return codes.where(of_shelf.isna(), of_shelf)


def reasons(rows: pd.DataFrame, event_types: Sequence[str]) -> "pd.Series[str]":
    """A sentence per row, aligned with ``rows``.

    ``rows`` has the columns of ``reason_codes``, ``reason_code``, the other ``HISTORY_COLUMNS`` of
    the user with the item, and where a list is about an item, its ``about_title``, and the
    ``support`` and ``baskets`` of both.
    """
    codes = rows["reason_code"]
    result = codes.map(WORDS).astype(object)
    taste = codes == TASTE
    result[taste] = "Goes with your taste in " + rows.loc[taste, "group"].astype(object)
    # What is not bought has no rhythm of purchases.
    due = (codes == DUE) & (tuple(event_types) == (PURCHASE,))
    again = (codes == AGAIN) | (codes == DUE) & ~due
    verb = VERBS[event_types[0]] if len(event_types) == 1 else SEVERAL_KINDS
    pairs = rows.loc[again, ["events_total", "days_since_last"]].astype(np.int64)
    result[again] = np.array(
        [
            f"You {verb} it {_times(times)} {_ago(days)}"
            for times, days in pairs.itertuples(index=False)
        ],
        dtype=object,
    )
    if due.any():
        columns = ["active_days", "mean_gap_days", "days_since_last"]
        result[due] = [
            rhythm(int(times), gap, int(days))
            for times, gap, days in rows.loc[due, columns].itertuples(index=False)
        ]
    for code, words in ((SIMILAR, "Like "), (BECAUSE, "Because you bought ")):
        of_code = codes == code
        if of_code.any():
            result[of_code] = words + rows.loc[of_code, "about_title"].astype(object)
    of_code = codes == TOGETHER
    if of_code.any():
        columns = ["about_title", "support", "baskets"]
        result[of_code] = [
            f"Bought with {title} in {int(support)} of {int(baskets):,} baskets"
            for title, support, baskets in rows.loc[of_code, columns].itertuples(index=False)
        ]
    return result


def rhythm(purchases: int, mean_gap: float, days_since_last: int) -> str:
    """How regularly the user buys an item, and when it is due by that, as a sentence.

    ``mean_gap`` is the mean of the days between the ``purchases``. Fewer than ``RHYTHM_PURCHASES``
    make no rhythm, and nothing is said to be due that the user has not bought for ``GIVEN_UP``
    times as long.
    """
    if purchases < RHYTHM_PURCHASES:
        return f"You {VERBS[PURCHASE]} it {_times(purchases)} {_ago(days_since_last)}"
    gap = max(round(mean_gap), 1)
    often = "every day" if gap == 1 else f"every {gap} days"
    sentence = f"You buy it {often}, last {_ago(days_since_last)}"
    if days_since_last > GIVEN_UP * gap:
        return sentence
    left = gap - days_since_last
    when = {0: "today", 1: "tomorrow", -1: "since yesterday"}.get(
        left, f"in {left} days" if left > 0 else f"since {-left} days"
    )
    return f"{sentence}: due {when}"


def _times(times: int) -> str:
    return {1: "once,", 2: "twice, last"}.get(times, f"{times} times, last")


def _ago(days: int) -> str:
    return "1 day ago" if days == 1 else f"{days} days ago"
