"""The one path to a list: rank, leave out, fill up, give new items their share of places.

Evaluation, the choice of methods, the gate, the nightly lists and their reproduction all come this
way, so that what is measured is what is served. Users are taken in blocks; nobody's list depends on
who else is in theirs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lakehouse.lists import Surface
from models.core.assortment import Assortment
from models.core.base import BaseRecommender
from models.core.draws import uniforms
from models.core.fill_up import fill_up
from models.core.interactions import UNKNOWN, Indices
from models.core.lists import Lists
from models.core.parameters import NEW_ITEM_DAYS, POPULARITY_HALF_LIFE_DAYS
from models.core.topn import Ranked, rows_of
from models.evaluation.protocol import Evaluation, Task, measure
from models.lists.exposure import draws_needed, expose

BLOCK_USERS: Final = 4096
# What fills up, by the name that it has in lists.
FILL_UP_SOURCE: Final = "popularity"


@dataclass(frozen=True, slots=True)
class Policy:
    """What is decided about lists, whoever ranks them; fields are those of the configuration.

    Draws depend on ``seed``, the night and the user.
    """

    size: int = 20
    new_item_share: float = 0.0
    new_item_days: int = NEW_ITEM_DAYS
    popularity_half_life_days: float = POPULARITY_HALF_LIFE_DAYS
    seed: int = 42

    def at_least(self, places: int) -> Self:
        """The same with lists long enough to be judged on so many places."""
        return self if self.size >= places else replace(self, size=places)


DEFAULT_POLICY: Final = Policy()


def list_blocks(
    method: BaseRecommender,
    surface: Surface,
    users: Indices,
    assortment: Assortment,
    policy: Policy,
    *,
    items_to_recommend: NDArray[np.bool_] | None = None,
) -> Iterator[Lists]:
    """The list of each of ``users`` (``UNKNOWN`` ones too), ``BLOCK_USERS`` users at a time.

    ``method`` ranks; ``assortment`` is of its night and vocabulary; ``items_to_recommend`` (a mask
    over items) takes the place of all that is sellable. A list is shorter than ``policy.size`` only
    where no further such item has a score or sales.
    """
    allowed = assortment.sellable if items_to_recommend is None else items_to_recommend
    fresh = allowed & assortment.fresh(policy.new_item_days)
    explores = surface.explores and policy.new_item_share > 0 and bool(fresh.any())

    def filled(block: Indices, among: NDArray[np.bool_], seen: sparse.csr_array | None) -> Lists:
        ranked = method.rank(
            block, policy.size, filter_seen=surface.filter_seen, items_to_recommend=among
        )
        return filled_up(ranked, method.name, np.where(among, assortment.popularity, 0), seen)

    for start in range(0, max(len(users), 1), BLOCK_USERS):
        block = users[start : start + BLOCK_USERS]
        seen = rows_of(method.known.seen, block) if surface.filter_seen else None
        lists = filled(block, allowed, seen)
        if explores:
            known = block != UNKNOWN
            ids = np.where(known, method.user_ids[np.where(known, block, 0)], "")
            seed = (policy.seed, assortment.as_of.toordinal())
            drawn = uniforms(ids, draws_needed(policy.size), seed)
            lists = expose(
                lists, filled(block, fresh, seen), share=policy.new_item_share, drawn=drawn
            )
        yield lists


def make_lists(
    method: BaseRecommender,
    surface: Surface,
    users: Indices,
    assortment: Assortment,
    policy: Policy,
    *,
    items_to_recommend: NDArray[np.bool_] | None = None,
) -> Lists:
    """All of ``list_blocks``, one below the other."""
    blocks = list(
        list_blocks(
            method, surface, users, assortment, policy, items_to_recommend=items_to_recommend
        )
    )
    return Lists(
        item=np.concatenate([block.item for block in blocks]),
        score=np.concatenate([block.score for block in blocks]),
        source=np.concatenate([block.source for block in blocks]),
        source_names=blocks[0].source_names,
    )


def filled_up(
    ranked: Ranked,
    name: str,
    popularity: NDArray[np.float64],
    exclude: sparse.csr_array | None,
) -> Lists:
    """What the method ``name`` ranked, and popular items where that is too few.

    The stored entries of ``exclude`` (rows x items) are left out. The arrays of ``ranked`` become
    those of the lists.
    """
    source = np.where(ranked.item == UNKNOWN, UNKNOWN, 0).astype(np.int8)
    fill_up(ranked, popularity, exclude)
    names = tuple(dict.fromkeys((name, FILL_UP_SOURCE)))
    source[(ranked.item != UNKNOWN) & (source == UNKNOWN)] = len(names) - 1
    return Lists(ranked.item, ranked.score, source, names)


def lists_for(method: BaseRecommender, task: Task, policy: Policy) -> Lists:
    """The lists that ``task`` asks for; ``method`` must be fitted on its context."""
    return make_lists(
        method,
        task.surface,
        task.users,
        task.assortment,
        policy,
        items_to_recommend=task.items_to_recommend,
    )


def evaluate(
    method: BaseRecommender, task: Task, policy: Policy = DEFAULT_POLICY, *, n: int = 10
) -> Evaluation:
    """Make the task's lists and measure their first ``n`` places."""
    return measure(lists_for(method, task, policy.at_least(n)).head(n).item, task)
