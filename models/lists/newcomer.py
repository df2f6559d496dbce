"""A list for somebody whom no night knows: from a basket, chosen categories, a context.

It goes the way of every list: these rank, rules apply, and what sells fills up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from lakehouse.lists import ALL, Tier
from models.core.interactions import UNKNOWN, Ids, Indices
from models.core.topn import Ranked, nothing_ranked
from models.lists.path import FILL_UP_SOURCE, Policy, make_lists
from models.lists.published import Published
from models.lists.rules.night import NightRules

CATEGORY_SOURCE: Final = "category"
_RANKED: Final = "newcomer"


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known of a newcomer, over the items of a night.

    ``taken`` are items (indices), ``categories`` masks of those of each chosen category, and
    ``sales`` what sells in their context, ``None`` where none is known.
    """

    taken: Indices
    categories: Sequence[NDArray[np.bool_]] = ()
    sales: NDArray[np.float64] | None = None


class _Part(NamedTuple):
    """Some items in order with their scores, and why they are there."""

    item: Indices
    score: NDArray[Any]
    source: str
    tier: Tier


def newcomer_rows(
    published: Published, known: Known, policy: Policy, rules: NightRules | None = None
) -> pd.DataFrame:
    """The list for a newcomer as ``Published.as_rows`` gives it, with ``tier`` and ``rules`` (ids).

    What goes with the items taken and what sells of each category take turns; what sells in the
    context comes behind them, then what sells elsewhere. Items taken are left out.
    """
    listable = published.assortment.sellable.copy()
    listable[known.taken] = False
    *tastes, context = _parts(published, known, listable)
    merged = [place for turn in zip_longest(*map(_places, tastes)) for place in turn if place]
    merged += _places(context)
    each_once = {item: (score, part) for item, score, part in reversed(merged)}
    order = list(dict.fromkeys(item for item, _, _ in merged))
    ranking = _Ranking(
        published.user_ids,
        published.newcomers.seen,
        np.array(order, dtype=np.int32),
        np.array([each_once[item][0] for item in order], dtype=np.float32),
    )
    nobody = np.array([UNKNOWN], dtype=np.int32)
    lists = make_lists(
        ranking,
        ALL,
        nobody,
        published.assortment,
        policy,
        items_to_recommend=listable,
        rules=rules,
    )
    rows = published.as_rows(lists)
    item = lists.item[0, rows["rank"].to_numpy() - 1]
    parts = [
        each_once[index][1] if source == _RANKED else None
        for index, source in zip(item.tolist(), rows["source"], strict=True)
    ]
    touched: list[list[str]] = [[] for _ in item]
    if rules is not None:
        touched = rules.touched(np.repeat(nobody, len(item)), item, rows["rule"].to_numpy())
    return rows.assign(
        source=[
            source if part is None else part.source
            for part, source in zip(parts, rows["source"], strict=True)
        ],
        tier=["global" if part is None else part.tier for part in parts],
        rules=pd.Series(touched, index=rows.index, dtype=object),
    )


def _parts(published: Published, known: Known, listable: NDArray[np.bool_]) -> Iterator[_Part]:
    """What goes with the basket, what sells of each category, and, last, in the context."""
    if len(known.taken):
        folded = published.fold_in(known.taken)
        yield _Part(*folded, published.newcomers.name, "user")
    elsewhere = published.assortment.popularity
    here = np.zeros_like(elsewhere) if known.sales is None else known.sales
    for category in known.categories:
        wanted = np.flatnonzero(listable & category & ((here > 0) | (elsewhere > 0)))
        best = wanted[np.lexsort((wanted, -elsewhere[wanted], -here[wanted]))].astype(np.int32)
        score = np.where(here[best] > 0, here[best], elsewhere[best])
        yield _Part(best, score, CATEGORY_SOURCE, "user")
    sold = np.flatnonzero(here > 0)
    best = sold[np.argsort(-here[sold], kind="stable")].astype(np.int32)
    yield _Part(best, here[best], FILL_UP_SOURCE, "context")


def _places(part: _Part) -> list[tuple[int, float, _Part]]:
    return [
        (item, score, part)
        for item, score in zip(part.item.tolist(), part.score.tolist(), strict=True)
        if item != UNKNOWN
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Ranking:
    """One order of items, for whoever asks."""

    user_ids: Ids
    seen: sparse.csr_array
    item: Indices
    score: NDArray[np.float32]
    # Each place says later where it comes from.
    name: str = _RANKED

    def rank(
        self,
        users: Indices,
        n: int,
        *,
        filter_seen: bool,
        items_to_recommend: NDArray[np.bool_] | None = None,
        exclude: sparse.csr_array | None = None,
    ) -> Ranked:
        """The first N that are allowed; see ``models.core.base.Recommender``."""
        del filter_seen, exclude
        kept = slice(None) if items_to_recommend is None else items_to_recommend[self.item]
        item, score = self.item[kept][:n], self.score[kept][:n]
        result = nothing_ranked(len(users), n)
        result.item[:, : len(item)], result.score[:, : len(item)] = item, score
        return result
