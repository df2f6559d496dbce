"""The lists of a night, from its published methods to rows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

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
    those of contexts under e.g. ``store_id=367``, those of items under the item's. Columns
    ``list``, ``user_id``, ``rank``, ``item_id``, ``score``, ``source``, ``tier``, ``spare`` and
    ``rules`` (ids).
    """
    everybody = np.sort(user_ids.to_numpy(dtype=object))
    night = KeyedNight.read(settings, source, published, items)
    for surface in SURFACES:
        shown = policy.on(surface).shown
        if surface.keyed_by == "basket":
            continue
        if surface.keyed_by == "user":
            rules = night_rules(policy.book, surface.name, shelf)
            for start in range(0, len(everybody), BLOCK_USERS):
                ids = everybody[start : start + BLOCK_USERS]
                users = index_of(published.user_ids, ids)
                lists = published.lists(surface, users, policy, rules)
                yield _rows(published, lists, surface, shown, ids=ids, users=users, rules=rules)
            continue
        ranks = RANKINGS[surface.ranked_by](night, surface)
        keys = ranks.user_ids
        users = np.arange(len(keys), dtype=np.int32)
        rules = night_rules(policy.book, surface.name, _shelf_of_keys(shelf, surface, keys))
        lists = published.lists_by(ranks, surface, users, policy, rules)
        yield _rows(published, lists, surface, shown, ids=keys, users=users, rules=rules)


@dataclass(frozen=True, slots=True, eq=False)
class KeyedNight:
    """What is needed to rank items for everybody, for contexts and for items."""

    events: KeyedEvents
    item_ids: Ids
    sold: KeyedScores

    @classmethod
    def read(
        cls, settings: Settings, source: Provenance, published: Published, items: pd.DataFrame
    ) -> Self:
        """Read the events before the night; ``items`` has their ``category``."""
        columns, ids, as_of = settings.recommend.contexts, published.item_ids, source.run_date
        events = read_contexts(settings, source.table_versions, as_of, columns)
        category = items.set_index("item_id")["category"]
        events = events.assign(**{CATEGORY: events["item_id"].map(category)})
        keyed = keyed_events(events, (*columns, CATEGORY), ids, as_of=as_of)
        half_life = settings.train.popularity_half_life_days
        sold = sales(keyed, len(ids), half_life_days=half_life, name=FILL_UP_SOURCE)
        return cls(events=keyed, item_ids=ids, sold=sold)

    def sales(self, surface: Surface) -> KeyedScores:
        """What sells."""
        is_everybodys = self.sold.user_ids == EVERYBODY
        return chosen_keys(self.sold, is_everybodys == (surface.keyed_by == "nobody"))

    def trends(self, surface: Surface) -> KeyedScores:
        """What rises."""
        del surface
        return trends(self.events, len(self.item_ids), name=TRENDING_SOURCE)


Ranking: TypeAlias = Callable[[KeyedNight, Surface], KeyedScores]
# What orders the items of a surface that is no user's, by the name that its declaration gives.
RANKINGS: Final[Mapping[str, Ranking]] = {
    "sales": KeyedNight.sales,
    "trends": KeyedNight.trends,
    "new": KeyedNight.sales,
}


def _shelf_of_keys(shelf: Shelf | None, surface: Surface, keys: Ids) -> Shelf | None:
    """The shelf with keys for people; of contexts with e.g. 367 as ``store_id``."""
    if shelf is None:
        return None
    is_context = surface.keyed_by == "context"
    said = [dict([key.split("=", 1)]) if is_context and key != EVERYBODY else {} for key in keys]
    nothing = sparse.csr_array((len(keys), len(shelf.items)), dtype=np.int32)
    users = pd.DataFrame(said, index=range(len(keys)))
    return shelf.with_people(users, nothing)


def _rows(
    published: Published,
    lists: Lists,
    surface: Surface,
    shown: int,
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
    if surface.keyed_by in ("user", "item"):
        tier = np.full(len(key), surface.keyed_by, dtype=object)
    else:
        tier = np.where(key == EVERYBODY, "global", "context")
    return rows.drop(columns=["row", "rule"]).assign(
        list=surface.name,
        user_id=key,
        tier=tier,
        spare=rows["rank"] > shown,
        rules=pd.Series(touched, index=rows.index, dtype=object),
    )
