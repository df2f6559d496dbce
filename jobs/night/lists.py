"""The lists of a night, from its published methods to rows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from jobs.config.rules import CATEGORY
from jobs.config.settings import Settings
from jobs.night.inputs import read_contexts, read_gold, read_related
from lakehouse.lists import BECAUSE_YOU_BOUGHT, BOUGHT_TOGETHER, EVERYBODY, SURFACES, Surface
from lakehouse.tables import USER_ITEM_FEATURES
from models.core.capabilities import TimesRepeats
from models.core.interactions import UNKNOWN, Ids, Indices, index_of
from models.core.lists import Lists
from models.lists.because import TAKEN_COLUMNS, because_you_bought
from models.lists.keyed import (
    TRENDING_SOURCE,
    KeyedEvents,
    KeyedScores,
    chosen_keys,
    keyed_events,
    of_items,
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
    ``list``, ``user_id``, ``rank``, ``item_id``, ``score``, ``source``, ``tier``, ``spare``,
    ``rules`` (ids) and ``about``, the id of the item that a list is about, or null.
    """
    everybody = np.sort(user_ids.to_numpy(dtype=object))
    hidden = _hidden(policy, shelf)
    night = KeyedNight.read(settings, source, published, items, hidden)
    for surface in SURFACES:
        shown = policy.on(surface).shown
        if surface.keyed_by == "basket":
            continue
        if surface.ranked_by == "methods":
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
        if surface.keyed_by != "user":
            rules = night_rules(policy.book, surface.name, _shelf_of_keys(shelf, surface, keys))
        else:
            rules = night_rules(policy.book, surface.name, shelf)
            users = users[np.diff(ranks.scores.indptr) > 0]
        for start in range(0, len(users), BLOCK_USERS):
            block = users[start : start + BLOCK_USERS]
            lists = published.lists_by(ranks, surface, block, policy, rules)
            yield _rows(
                published,
                lists,
                surface,
                shown,
                ids=keys[block],
                users=block,
                rules=rules,
                about=None if ranks.about is None else ranks.about[block],
            )


@dataclass(frozen=True, slots=True, eq=False)
class KeyedNight:
    """What is needed to rank items wherever no methods compete.

    ``hidden`` (a mask over items) is what rules hide from everybody: no list may be about it.
    """

    events: KeyedEvents
    item_ids: Ids
    sold: KeyedScores
    settings: Settings
    source: Provenance
    published: Published
    hidden: NDArray[np.bool_]

    @classmethod
    def read(
        cls,
        settings: Settings,
        source: Provenance,
        published: Published,
        items: pd.DataFrame,
        hidden: NDArray[np.bool_] | None = None,
    ) -> Self:
        """Read the events before the night; ``items`` has their ``category``."""
        columns, ids, as_of = settings.recommend.contexts, published.item_ids, source.run_date
        events = read_contexts(settings, source.table_versions, as_of, columns)
        category = items.set_index("item_id")["category"]
        events = events.assign(**{CATEGORY: events["item_id"].map(category)})
        keyed = keyed_events(events, (*columns, CATEGORY), ids, as_of=as_of)
        half_life = settings.train.popularity_half_life_days
        sold = sales(keyed, len(ids), half_life_days=half_life, name=FILL_UP_SOURCE)
        hides = np.zeros(len(ids), dtype=np.bool_) if hidden is None else hidden
        return cls(keyed, ids, sold, settings, source, published, hides)

    def sales(self, surface: Surface) -> KeyedScores:
        """What sells."""
        is_everybodys = self.sold.user_ids == EVERYBODY
        return chosen_keys(self.sold, is_everybodys == (surface.keyed_by == "nobody"))

    def trends(self, surface: Surface) -> KeyedScores:
        """What rises."""
        del surface
        return trends(self.events, len(self.item_ids), name=TRENDING_SOURCE)

    def related(self, surface: Surface) -> KeyedScores:
        """What is related to each item, in the way that the surface's ranking is called."""
        return self._related(surface.ranked_by)

    def because_you_bought(self, surface: Surface) -> KeyedScores:
        """What goes with one item of each user's."""
        night = self.source.run_date
        taken = read_gold(
            self.settings.paths.lake,
            USER_ITEM_FEATURES,
            self.source.table_versions,
            night,
            night,
            columns=TAKEN_COLUMNS,
        )
        return because_you_bought(
            self._related(BOUGHT_TOGETHER.ranked_by),
            taken,
            self.published.user_ids,
            self.item_ids,
            self.published.assortment.sellable & ~self.hidden,
            name=surface.ranked_by,
        )

    def buy_again(self, surface: Surface) -> KeyedScores:
        """What is each user's own, by their next order; nothing where nothing comes again."""
        ids, method = self.published.user_ids, self.published.repeats
        shape = (len(ids), len(self.item_ids))
        timed = method.again if isinstance(method, TimesRepeats) else sparse.csr_array(shape)
        return KeyedScores(surface.ranked_by, ids, timed)

    def _related(self, kind: str) -> KeyedScores:
        night = self.source.run_date
        rows = read_related(self.settings, self.source.table_versions, night, kind)
        item, other = (
            index_of(self.item_ids, rows[name]) for name in ("item_id", "related_item_id")
        )
        known = (item != UNKNOWN) & (other != UNKNOWN)
        scores = sparse.csr_array(
            (rows["score"].to_numpy(dtype=np.float64)[known], (item[known], other[known])),
            shape=(len(self.item_ids), len(self.item_ids)),
        )
        return of_items(scores, self.item_ids, name=kind)


Ranking: TypeAlias = Callable[[KeyedNight, Surface], KeyedScores]
# What orders the items of a surface that no methods compete for, by the name in its declaration.
RANKINGS: Final[Mapping[str, Ranking]] = {
    "sales": KeyedNight.sales,
    "trends": KeyedNight.trends,
    "new": KeyedNight.sales,
    "bought_together": KeyedNight.related,
    "similar": KeyedNight.related,
    "because_you_bought": KeyedNight.because_you_bought,
    "buy_again": KeyedNight.buy_again,
}


def _hidden(policy: Policy, shelf: Shelf | None) -> NDArray[np.bool_] | None:
    """What the rules of lists about an item hide from everybody, if there are any."""
    rules = night_rules(policy.book, BECAUSE_YOU_BOUGHT.name, shelf)
    if rules is None:
        return None
    [(_, plan)] = rules.groups(np.array([UNKNOWN], dtype=np.int32))
    return plan.hidden


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
    about: Ids | None = None,
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
        about=None if about is None else about[row],
    )
