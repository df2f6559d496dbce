"""The one path to a list: rank, leave out, fill up, arrange by rules, give new items their share.

Evaluation, the choice of methods, the gate, the nightly lists and their reproduction all come this
way, so that what is measured is what is served. Users are taken in blocks; nobody's list depends on
who else is in theirs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lakehouse.lists import Surface
from models.core.assortment import Assortment
from models.core.base import Ranks
from models.core.draws import uniforms
from models.core.fill_up import fill_up
from models.core.interactions import UNKNOWN, Indices
from models.core.lists import NO_RULE, Lists
from models.core.parameters import NEW_ITEM_DAYS, POPULARITY_HALF_LIFE_DAYS
from models.core.topn import Ranked, rows_of
from models.evaluation.protocol import Evaluation, Task, measure
from models.lists.discounts import Reacting, discounted
from models.lists.exposure import draws_needed, expose
from models.lists.rules.book import NO_RULES, RuleBook
from models.lists.rules.night import NightRules, Plan, of_context
from models.lists.rules.select import (
    arranged,
    best_of,
    fill_quota,
    pin,
    reachable,
    replaced,
)
from models.lists.spare import with_spare

BLOCK_USERS: Final = 10_000
# A ranking that rules choose from grows so many times where it was too short.
POOL_GROWTH: Final = 3
# Users times places of such a ranking that are in memory at once, where it takes a long one.
POOL_CELLS: Final = 4_000_000
# What fills up, by the name that it has in lists.
FILL_UP_SOURCE: Final = "popularity"
# Whoever stands at a place because a person wants it there.
RULE_SOURCE: Final = "rule"


@dataclass(frozen=True, slots=True)
class Policy:
    """What is decided about lists, whoever ranks them; fields are those of the configuration.

    Draws depend on ``seed``, the night and the user. Of ``size`` places the last ``spare`` are not
    shown unless an item before them is denied; the others are as without spare places. A surface
    may have a size of its own (``on``); lists to be judged have ``least`` places, whatever that is.
    """

    size: int = 20
    new_item_share: float = 0.0
    new_item_days: int = NEW_ITEM_DAYS
    popularity_half_life_days: float = POPULARITY_HALF_LIFE_DAYS
    seed: int = 42
    book: RuleBook = NO_RULES
    spare: int = 0
    least: int = 0

    @property
    def shown(self) -> int:
        """The places that are not spare."""
        return self.size - self.spare

    def at_least(self, places: int) -> Self:
        """The same with lists long enough to be judged on so many places."""
        return replace(self, size=max(self.size, places), least=places)

    def on(self, surface: Surface) -> Self:
        """The same for lists of one surface."""
        if surface.size is None:
            return self
        return replace(self, size=max(surface.size + self.spare, self.least))


DEFAULT_POLICY: Final = Policy()


def list_blocks(
    method: Ranks,
    surface: Surface,
    users: Indices,
    assortment: Assortment,
    policy: Policy,
    *,
    items_to_recommend: NDArray[np.bool_] | None = None,
    rules: NightRules | None = None,
) -> Iterator[Lists]:
    """The list of each of ``users`` (``UNKNOWN`` ones too), ``BLOCK_USERS`` users at a time.

    ``method`` ranks; ``assortment`` is of its night and vocabulary, and so are the ``rules`` of the
    surface; ``items_to_recommend`` (a mask over items) takes the place of all that is sellable. A
    list is shorter than the policy's size only where no further item has a score or sales that the
    rules let in.
    """
    maker = _Maker(
        method,
        surface,
        assortment,
        policy.on(surface),
        assortment.sellable if items_to_recommend is None else items_to_recommend,
        Reacting.of(assortment.reactions, surface, method.user_ids),
    )
    for start in range(0, max(len(users), 1), BLOCK_USERS):
        block = users[start : start + BLOCK_USERS]
        if rules is None or not len(block):
            yield maker.lists(block, Plan(hidden=np.zeros(len(assortment.sellable), np.bool_)))
            continue
        rows, parts = [], []
        for members, plan in rules.groups(block):
            rows.append(members)
            parts.append(maker.lists(block[members], plan))
        yield _joined(parts, np.argsort(np.concatenate(rows), kind="stable"))


def make_lists(
    method: Ranks,
    surface: Surface,
    users: Indices,
    assortment: Assortment,
    policy: Policy,
    *,
    items_to_recommend: NDArray[np.bool_] | None = None,
    rules: NightRules | None = None,
) -> Lists:
    """All of ``list_blocks``, one below the other."""
    blocks = list_blocks(
        method,
        surface,
        users,
        assortment,
        policy,
        items_to_recommend=items_to_recommend,
        rules=rules,
    )
    return _joined(list(blocks))


@dataclass(frozen=True, slots=True, eq=False)
class _Maker:
    """What is the same for all blocks."""

    method: Ranks
    surface: Surface
    assortment: Assortment
    policy: Policy
    allowed: NDArray[np.bool_]
    reacting: Reacting | None

    def lists(self, users: Indices, plan: Plan) -> Lists:
        """The lists of people whom one plan is for."""
        allowed = self.allowed & ~plan.hidden
        exclude = self._exclude(users, plan)
        if plan.arranges:
            lists, ranked = self._arranged(users, plan, allowed, exclude)
        else:
            lists = ranked = self._filled(users, self.policy.size, allowed, exclude)
        shown = self._explored(lists.head(self.policy.shown), users, allowed, exclude)
        shown = self._placed(shown, ranked, users, plan, allowed=allowed, exclude=exclude)
        return with_spare(shown, lists, ranked, plan.caps)

    def _arranged(
        self,
        users: Indices,
        plan: Plan,
        allowed: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> tuple[Lists, Lists]:
        """Lists chosen from longer rankings, and the rankings that were first chosen from.

        A ranking is long enough where no item beyond it could stand in the list; else a longer one
        is asked for.
        """
        size = self.policy.size
        target = min(size, reachable(plan, allowed))

        def chosen(rows: NDArray[np.int64], pool: int) -> tuple[Lists, Lists, NDArray[np.int64]]:
            """The lists of some of the users, their rankings, and whose were not long enough."""
            hidden = None if exclude is None else exclude[rows]
            ranked = self._filled(users[rows], pool, allowed, hidden)
            lists, lowest = arranged(ranked, plan, users[rows], size)
            is_short = (lists.item != UNKNOWN).sum(axis=1) < target
            could_be_other = is_short | (lowest < plan.highest - pool)
            return lists, ranked, rows[could_be_other & (ranked.item[:, -1] != UNKNOWN)]

        pool = max(min(size + plan.reach(size), len(allowed)), size)
        lists, ranked, short = chosen(np.arange(len(users)), pool)
        while len(short) and pool < len(allowed):
            pool = min(pool * POOL_GROWTH, len(allowed))
            still = []
            for start in range(0, len(short), max(POOL_CELLS // pool, 1)):
                rows = short[start : start + max(POOL_CELLS // pool, 1)]
                longer, _, left = chosen(rows, pool)
                lists = replaced(lists, rows, longer)
                still.append(left)
            short = np.concatenate(still)
        return lists, ranked

    def _exclude(self, users: Indices, plan: Plan) -> sparse.csr_array | None:
        """Items that a user is not shown: taken before, on a surface of new ones, or lately."""
        if self.surface.filter_seen:
            return rows_of(self.method.seen, users)
        if plan.repeats is None or plan.days_since is None:
            return None
        too_soon = _within(rows_of(plan.days_since, users), plan.repeats)
        if self.reacting is not None:
            too_soon += _within(self.reacting.bought(users), plan.repeats)
        return too_soon

    def _filled(
        self,
        users: Indices,
        n: int,
        among: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> Lists:
        """The first ``n`` of what the method ranks and of what sells, after the users' discounts.

        Who has any is ranked again, until no item beyond the ranking could stand in the list.
        """
        lists = self._ranked(users, n, among, exclude)
        if self.reacting is None:
            return lists
        discounts = self.reacting.discounts(users)
        pool, left = n, np.flatnonzero(np.diff(discounts.indptr))
        while len(left):
            pool = min(pool * POOL_GROWTH, max(len(among), n))
            still = []
            for start in range(0, len(left), max(POOL_CELLS // pool, 1)):
                rows = left[start : start + max(POOL_CELLS // pool, 1)]
                hidden = None if exclude is None else exclude[rows]
                longer = self._ranked(users[rows], pool, among, hidden)
                better, is_short = discounted(longer, discounts[rows], n)
                lists = replaced(lists, rows, better)
                still.append(rows[is_short])
            left = np.concatenate(still) if pool < len(among) else left[:0]
        return lists

    def _ranked(
        self,
        users: Indices,
        n: int,
        among: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> Lists:
        ranked = self.method.rank(
            users,
            n,
            filter_seen=self.surface.filter_seen,
            items_to_recommend=among,
            exclude=None if self.surface.filter_seen else exclude,
        )
        fills = among if self.surface.fills_up else np.zeros_like(among)
        popularity = np.where(fills, self.assortment.popularity, 0)
        return filled_up(ranked, self.method.name, popularity, exclude)

    def _explored(
        self,
        lists: Lists,
        users: Indices,
        allowed: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> Lists:
        """``lists`` with the share of new items, where the surface has one."""
        policy = self.policy
        fresh = allowed & self.assortment.fresh(policy.new_item_days)
        if not (self.surface.explores and policy.new_item_share and fresh.any()):
            return lists
        known = users != UNKNOWN
        ids = np.where(known, self.method.user_ids[np.where(known, users, 0)], "")
        seed = (policy.seed, self.assortment.as_of.toordinal())
        return expose(
            lists,
            self._filled(users, policy.shown, fresh, exclude),
            share=policy.new_item_share,
            drawn=uniforms(ids, draws_needed(policy.shown), seed),
        )

    def _placed(
        self,
        lists: Lists,
        ranked: Lists,
        users: Indices,
        plan: Plan,
        *,
        allowed: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> Lists:
        """``lists`` with what quotas and pins ask for."""
        for rule, quota in plan.quotas:
            best, short = best_of(ranked, quota)
            if len(short):
                hidden = None if exclude is None else exclude[short]
                wanted = allowed & quota.items
                more = self._filled(users[short], quota.at_least, wanted, hidden)
                best = replaced(best, short, more)
            lists = fill_quota(lists, rule, quota, best)
        if not plan.pins:
            return lists
        lists = replace(lists, source_names=(*lists.source_names, RULE_SOURCE))
        items = np.array([pinned.item for _, pinned in plan.pins])
        may = np.tile(allowed[items], (len(users), 1))
        if exclude is not None:
            may &= exclude[:, items].toarray() == 0
        if self.reacting is not None:
            may &= self.reacting.hidden(users)[:, items].toarray() == 0
        for (rule, pinned), rows in zip(plan.pins, may.T, strict=True):
            lists = pin(lists, rule, pinned, rows, len(lists.source_names) - 1)
        return lists


def _within(days_since: sparse.csr_array, days: NDArray[np.float64]) -> sparse.csr_array:
    """Stored where fewer days have gone by than the item's ``days``."""
    recent = days_since.data < days[days_since.indices]
    too_soon = sparse.csr_array(
        (recent, days_since.indices, days_since.indptr), shape=days_since.shape
    )
    too_soon.eliminate_zeros()
    return too_soon


def _joined(parts: Sequence[Lists], order: NDArray[np.int64] | None = None) -> Lists:
    """Lists one below the other, in another ``order`` if given, under all their sources' names."""
    names = tuple(dict.fromkeys(name for part in parts for name in part.source_names))

    def stacked(name: str) -> NDArray[Any]:
        whole = np.concatenate([getattr(part, name) for part in parts])
        return whole if order is None else whole[order]

    sources = [
        np.append([names.index(name) for name in part.source_names], UNKNOWN).astype(np.int8)[
            part.source
        ]
        for part in parts
    ]
    source = np.concatenate(sources)
    return Lists(
        item=stacked("item"),
        score=stacked("score"),
        source=source if order is None else source[order],
        source_names=names,
        rule=stacked("rule"),
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
    rule = np.full(ranked.item.shape, NO_RULE, dtype=np.int16)
    return Lists(ranked.item, ranked.score, source, names, rule)


def lists_for(method: Ranks, task: Task, policy: Policy) -> Lists:
    """The lists that ``task`` asks for; ``method`` must be fitted on its context."""
    book = policy.book
    return make_lists(
        method,
        task.surface,
        task.users,
        task.assortment,
        policy,
        items_to_recommend=task.items_to_recommend,
        rules=of_context(book, task.surface.name, task.context) if book.rules else None,
    )


def evaluate(
    method: Ranks, task: Task, policy: Policy = DEFAULT_POLICY, *, n: int = 10
) -> Evaluation:
    """Make the task's lists and measure their first ``n`` places."""
    return measure(lists_for(method, task, policy.at_least(n)).head(n).item, task)
