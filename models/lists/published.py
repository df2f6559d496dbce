"""What a night hands over: for each served list the fitted method that fills it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from lakehouse.errors import ConfigurationError, DataError
from lakehouse.lists import ALL, PERSONAL_LISTS, Surface
from models.core import former_release, storage
from models.core.assortment import Assortment
from models.core.base import BaseRecommender, Ranks
from models.core.capabilities import FoldsIn
from models.core.interactions import UNKNOWN, Ids, Indices
from models.core.lists import Lists
from models.core.topn import Ranked, rows_of
from models.lists import catalogue as methods
from models.lists.discounts import Reacting
from models.lists.path import Policy, make_lists
from models.lists.rules.night import NightRules, Plan
from models.lists.rules.select import reachable

PUBLISHED_FOLDER: Final = "published"
INDEX_FILE: Final = "published.json"
NEWCOMERS_FOLDER: Final = "newcomers"
ASSORTMENT_FOLDER: Final = "assortment"
REPEATS_FOLDER: Final = "repeats"


@dataclass(frozen=True, slots=True, eq=False)
class Published:
    """The methods behind each list that people have of their own, over one vocabulary.

    One method may fill several. ``newcomers`` lists items for people of whom only a few are known,
    without learning anew. ``assortment`` is what there was to list on the night. ``repeats`` times
    what people buy again, where anything does.
    """

    by_list: Mapping[str, BaseRecommender]
    newcomers: BaseRecommender
    assortment: Assortment
    repeats: BaseRecommender | None = None

    def __post_init__(self) -> None:
        if sorted(self.by_list) != sorted(PERSONAL_LISTS):
            raise ValueError(f"methods for {PERSONAL_LISTS} needed, got {sorted(self.by_list)}")
        _ = self._folding

    @property
    def _folding(self) -> FoldsIn:
        if not isinstance(self.newcomers, FoldsIn):
            raise ConfigurationError(
                f"{self.newcomers.name} cannot list for people whom it has not seen: name another "
                "method under `[recommend] newcomers`."
            )
        return self.newcomers

    @property
    def user_ids(self) -> Ids:
        """The vocabulary of users."""
        return self._any.user_ids

    @property
    def item_ids(self) -> Ids:
        """The vocabulary of items."""
        return self._any.item_ids

    @property
    def _any(self) -> BaseRecommender:
        return self.by_list[ALL.name]

    def is_finite(self) -> bool:
        """Whether every learnt number of every method is finite."""
        others = [method for method in (self.newcomers, self.repeats) if method is not None]
        return all(method.is_finite() for method in (*self.by_list.values(), *others))

    def lists(
        self,
        surface: Surface,
        users: Indices,
        policy: Policy,
        rules: NightRules | None = None,
    ) -> Lists:
        """The list of each of ``users``, or what sells for who is nobody.

        ``rules`` are the surface's on the night, over the same vocabularies.
        """
        if surface.name not in self.by_list:
            users = np.full_like(users, UNKNOWN)
        method = self.by_list.get(surface.name, self._any)
        return self.lists_by(method, surface, users, policy, rules)

    def lists_by(
        self,
        ranks: Ranks,
        surface: Surface,
        users: Indices,
        policy: Policy,
        rules: NightRules | None = None,
    ) -> Lists:
        """The same, ranked by something else over the same items; its users may be keys."""
        is_new = surface.ranked_by == "new"
        return make_lists(
            ranks,
            surface,
            users,
            self.assortment,
            policy,
            items_to_recommend=self.assortment.fresh(policy.new_item_days) if is_new else None,
            rules=rules,
        )

    def fold_in(self, taken: Indices) -> Ranked:
        """What goes with the items ``taken`` by somebody unknown, without these, best first."""
        history = sparse.csr_array(
            (np.ones(len(taken), dtype=np.bool_), (np.zeros(len(taken), dtype=np.int32), taken)),
            shape=(1, len(self.item_ids)),
        )
        folded = self._folding.fold_in(history, len(self.item_ids))
        return Ranked(folded.item[0], folded.score[0])

    def as_rows(self, lists: Lists) -> pd.DataFrame:
        """Lists as rows ``row``, ``rank``, ``item_id``, ``score``, ``source`` and ``rule``.

        ``row`` is the list's place, ``rank`` starts at 1; places that no item fills have no row.
        """
        row, place = np.nonzero(lists.item != UNKNOWN)
        sources = np.array(lists.source_names, dtype=object)
        return pd.DataFrame(
            {
                "row": row,
                "rank": (place + 1).astype(np.int32),
                "item_id": self.item_ids[lists.item[row, place]],
                "score": lists.score[row, place].astype(np.float64),
                "source": sources[lists.source[row, place]],
                "rule": lists.rule[row, place],
            }
        )

    def possible(
        self, surface: Surface, users: Indices, rules: NightRules | None = None
    ) -> NDArray[np.int64]:
        """How many sellable items with sales the list of each of ``users`` could hold at least.

        Where several caps meet, nothing is promised.
        """
        seen = self.by_list.get(surface.name, self._any).known.seen
        listable = self.assortment.sellable & (self.assortment.popularity > 0)
        counts = np.zeros(len(users), dtype=np.int64)
        reacting = Reacting.of(self.assortment.reactions, surface, self.user_ids)
        whole = [(np.arange(len(users)), Plan(hidden=np.zeros_like(listable)))]
        for rows, plan in whole if rules is None else rules.groups(users):
            open_items = listable & ~plan.hidden
            counts[rows] = reachable(plan, open_items) if len(plan.caps) <= 1 else 0
            if surface.filter_seen:
                counts[rows] -= rows_of(seen, users[rows]) @ open_items.astype(np.int64)
            elif plan.repeats is not None and plan.days_since is not None:
                waiting = (open_items & (plan.repeats > 0)).astype(np.int64)
                counts[rows] -= (rows_of(plan.days_since, users[rows]) > 0) @ waiting
                if reacting is not None:
                    counts[rows] -= (reacting.bought(users[rows]) > 0) @ waiting
        if reacting is not None:
            counts -= (reacting.hidden(users) > 0) @ listable.astype(np.int64)
        return np.maximum(counts, 0)

    def save(self, folder: Path) -> None:
        """Write each method once, below ``folder``, and which lists it fills."""
        for name, method in {m.name: m for m in self.by_list.values()}.items():
            method.save(folder / name)
        self.newcomers.save(folder / NEWCOMERS_FOLDER)
        self.assortment.save(folder / ASSORTMENT_FOLDER)
        if self.repeats is not None:
            self.repeats.save(folder / REPEATS_FOLDER)
        index = {name: method.name for name, method in self.by_list.items()}
        (folder / INDEX_FILE).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; raises ``DataError`` where a file is missing or damaged."""
        try:
            index = json.loads((folder / INDEX_FILE).read_text())
        except (OSError, ValueError) as error:
            raise DataError(f"no readable model in {folder}: {error}. Train again.") from error
        fitted = {name: methods.load(folder / name) for name in sorted(set(index.values()))}
        return cls(
            {name: fitted[method] for name, method in index.items()},
            methods.load(folder / NEWCOMERS_FOLDER),
            _assortment(folder, folder / index[ALL.name]),
            methods.load(folder / REPEATS_FOLDER) if (folder / REPEATS_FOLDER).exists() else None,
        )


def _assortment(folder: Path, method: Path) -> Assortment:
    """As ``save`` wrote it; of the former release, which kept it with each ``method``."""
    if (folder / ASSORTMENT_FOLDER).exists():
        return Assortment.load(folder / ASSORTMENT_FOLDER)
    return former_release.assortment(storage.read(method))
