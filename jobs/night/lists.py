"""The lists of a night, from its published methods to rows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd
from scipy import sparse

from jobs.config.rules import CATEGORY
from jobs.config.settings import Settings
from jobs.night.inputs import read_contexts
from lakehouse.lists import EVERYBODY, SURFACES, Surface
from models.core.interactions import Ids, Indices, index_of
from models.core.lists import Lists
from models.lists.keyed import (
    TRENDING_SOURCE,
    KeyedEvents,
    KeyedScores,
    chosen_keys,
    keyed_events,
    sales,
    trends,
)
from models.lists.path import FILL_UP_SOURCE, Policy
from models.lists.published import Published
from models.lists.rules.night import NightRules, night_rules
from models.lists.rules.shelf import Shelf
from models.tracking.versions import Provenance

BLOCK_USERS = 20_000


def served_lists(
    settings: Settings,
    source: Provenance,
    published: Published,
    user_ids: "pd.Series[str]",
    items: pd.DataFrame,
    *,
    policy: Policy,
    shelf: Shelf | None,
) -> Iterator[pd.DataFrame]:
    """Each list of each surface, some thousand users at a time.

    ``items`` are the night's (``item_id``, ``category``). The policy's rules look at the ``shelf``;
    without rules there need not be one. Lists that belong to nobody stand under an empty user id,
    those of contexts under e.g. ``store_id=367``. Columns ``list``, ``user_id``, ``rank``,
    ``item_id``, ``score``, ``source``, ``tier`` (user, context or global) and ``rules`` (ids).
    """
    everybody = np.sort(user_ids.to_numpy(dtype=object))
    keyed = _Keyed.read(settings, source, published, items)
    for surface in SURFACES:
        if surface.keyed_by == "user":
            rules = night_rules(policy.book, surface.name, shelf)
            for start in range(0, len(everybody), BLOCK_USERS):
                ids = everybody[start : start + BLOCK_USERS]
                users = index_of(published.user_ids, ids)
                lists = published.lists(surface, users, policy, rules)
                yield _rows(published, lists, surface, ids=ids, users=users, rules=rules)
            continue
        ranks = keyed.ranking(surface)
        users = np.arange(len(ranks.user_ids), dtype=np.int32)
        rules = night_rules(policy.book, surface.name, _shelf_of_keys(shelf, ranks.user_ids))
        lists = published.lists_by(ranks, surface, users, policy, rules)
        yield _rows(published, lists, surface, ids=ranks.user_ids, users=users, rules=rules)


@dataclass(frozen=True, slots=True, eq=False)
class _Keyed:
    """What is needed to rank items for everybody, for contexts and for categories."""

    events: KeyedEvents
    categories: KeyedEvents
    items: int
    half_life_days: float

    @classmethod
    def read(
        cls, settings: Settings, source: Provenance, published: Published, items: pd.DataFrame
    ) -> Self:
        columns, ids, as_of = settings.recommend.contexts, published.item_ids, source.run_date
        events = read_contexts(settings, source.table_versions, as_of, columns)
        category = items.set_index("item_id")["category"]
        events = events.assign(**{CATEGORY: events["item_id"].map(category)})
        return cls(
            events=keyed_events(events, columns, ids, as_of=as_of),
            categories=keyed_events(events, (*columns, CATEGORY), ids, as_of=as_of),
            items=len(ids),
            half_life_days=settings.train.popularity_half_life_days,
        )

    def ranking(self, surface: Surface) -> KeyedScores:
        """The items of a surface that is nobody's own, for each of its keys."""
        if surface.ranked_by == "trends":
            return trends(self.categories, self.items, name=TRENDING_SOURCE)
        ranked = sales(
            self.events, self.items, half_life_days=self.half_life_days, name=FILL_UP_SOURCE
        )
        return chosen_keys(ranked, (ranked.user_ids == EVERYBODY) == (surface.keyed_by == "nobody"))


def _shelf_of_keys(shelf: Shelf | None, keys: Ids) -> Shelf | None:
    """The shelf with contexts for people, e.g. 367 as the ``store_id`` of ``store_id=367``."""
    if shelf is None:
        return None
    said = [dict([key.split("=", 1)]) if key != EVERYBODY else {} for key in keys]
    nothing = sparse.csr_array((len(keys), len(shelf.items)), dtype=np.int32)
    return replace(shelf, users=pd.DataFrame(said, index=range(len(keys))), days_since=nothing)


def _rows(
    published: Published,
    lists: Lists,
    surface: Surface,
    *,
    ids: Ids,
    users: Indices,
    rules: NightRules | None,
) -> pd.DataFrame:
    """Rows of the lists of ``users``, called ``ids``, with the rules that had a hand in each."""
    rows = published.as_rows(lists)
    row = rows["row"].to_numpy()
    touched: list[list[str]] = [[] for _ in row]
    if rules is not None:
        item = lists.item[row, rows["rank"].to_numpy() - 1]
        touched = rules.touched(users[row], item, rows["rule"].to_numpy())
    key = ids[row]
    tiers = np.where(key == EVERYBODY, "global", "context")
    return rows.drop(columns=["row", "rule"]).assign(
        list=surface.name,
        user_id=key,
        tier="user" if surface.keyed_by == "user" else tiers,
        rules=pd.Series(touched, index=rows.index, dtype=object),
    )
