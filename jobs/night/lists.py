"""The lists of a night, from its published methods to the rows that are kept and served."""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jobs.config.settings import Settings
from jobs.night.inputs import read_contexts
from models.core.base import FALLBACK_SOURCE
from models.core.interactions import index_of
from models.lists.context_popularity import popular_in_context
from models.lists.exposure import expose
from models.lists.published import FALLBACK_LIST, PERSONAL_LISTS, Published
from models.lists.reasons import reasons
from models.tracking.registry import Provenance

EXPOSING_LIST = "discover"
# What a reason is given by, of the features of a user and an item.
HISTORY_COLUMNS: Final = ("user_id", "item_id", "events_total", "days_since_last")


def fresh_items(published: Published, items: pd.DataFrame, new_item_days: int) -> NDArray[np.bool_]:
    """Which items of the vocabulary are sellable and were first taken in the last days."""
    new = items.loc[items["sellable"] & (items["days_since_first"] <= new_item_days), "item_id"]
    fresh = np.zeros(len(published.item_ids), dtype=np.bool_)
    fresh[index_of(published.item_ids, new)] = True
    return fresh


def served_lists(
    settings: Settings,
    source: Provenance,
    published: Published,
    user_ids: "pd.Series[str]",
    items: pd.DataFrame,
) -> pd.DataFrame:
    """Each list of each user, and those for unknown users.

    The latter stand under an empty user id, and by context under e.g. ``store_id=367``. In
    ``discover`` new ones of ``items`` get a share of the places (see ``models.lists.exposure``).
    Columns ``list``, ``user_id``, ``rank``, ``item_id``, ``score`` and ``source``.
    """
    wanted = settings.recommend
    fresh = fresh_items(published, items, wanted.new_item_days)
    asked = {name: np.sort(user_ids.to_numpy(dtype=object)) for name in PERSONAL_LISTS}
    asked[FALLBACK_LIST] = np.array([""], dtype=object)
    parts = []
    for name, ids in asked.items():
        users = index_of(published.user_ids, ids)
        lists = published.lists(name, users, wanted.size)
        if name == EXPOSING_LIST and wanted.new_item_share:
            lists = expose(
                lists,
                published.lists(name, users, wanted.size, among=fresh),
                share=wanted.new_item_share,
                random=np.random.default_rng([source.seed, source.run_date.toordinal()]),
            )
        rows = published.as_rows(lists)
        parts.append(rows.assign(list=name, user_id=ids[rows["row"]]).drop(columns="row"))
    return pd.concat([*parts, *contextual_lists(settings, source, published)], ignore_index=True)


def contextual_lists(
    settings: Settings, source: Provenance, published: Published
) -> list[pd.DataFrame]:
    """Fallback lists by context, e.g. under the user id ``store_id=367``; columns as there."""
    columns = settings.recommend.contexts
    if not columns:
        return []
    events = read_contexts(settings, source.table_versions, source.run_date, columns)
    listable = set(published.item_ids[published.sellable])
    events = events[events["item_id"].isin(listable)]
    half_life = settings.train.popularity_half_life_days
    return [
        popular_in_context(
            events,
            column,
            as_of=source.run_date,
            half_life_days=half_life,
            size=settings.recommend.size,
        )
        .rename(columns={"context": "user_id"})
        .assign(list=FALLBACK_LIST, source=FALLBACK_SOURCE)
        for column in columns
    ]


def explained(
    lists: pd.DataFrame, pairs: pd.DataFrame, items: pd.DataFrame, event_types: tuple[str, ...]
) -> pd.DataFrame:
    """``lists`` with the items' ``title`` and a ``reason`` by what the user took before.

    ``pairs`` has the ``HISTORY_COLUMNS``.
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
