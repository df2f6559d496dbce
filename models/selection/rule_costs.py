"""What business rules cost: the lists of a test window with them, and without."""

from dataclasses import dataclass, replace
from typing import Final

from models.core.base import BaseRecommender
from models.core.interactions import UNKNOWN
from models.core.lists import Lists
from models.evaluation.bootstrap import Difference, paired_bootstrap
from models.evaluation.primary import PLACES, PRIMARY_METRIC
from models.evaluation.protocol import Task, measure
from models.lists.path import Policy, lists_for
from models.lists.rules.book import NO_RULES, RuleBook

ALL_RULES: Final = "all rules"
REVENUE: Final = f"revenue_recall@{PLACES}"
COVERAGE: Final = f"coverage@{PLACES}"
# Each rule is tried apart; of more, only the whole is told.
MOST_RULES: Final = 50


@dataclass(frozen=True, slots=True)
class RuleCost:
    """What one rule, or all of them, change on a surface against the lists without.

    ``users`` have another list, ``places`` hold an item that would not be there, ``short`` lists
    are shorter. Lost are ``ndcg`` (NDCG@10, with what there would be), coverage, and
    revenue-weighted recall (0 where revenue is not known).
    """

    rule: str
    users: int
    places: int
    short: int
    ndcg: Difference
    ndcg_without: float
    coverage: float
    revenue_recall: float

    def as_row(self) -> dict[str, str | float]:
        """The figures by name."""
        return {
            "rule": self.rule,
            "users": self.users,
            "places": self.places,
            "short": self.short,
            "ndcg_lost": self.ndcg.mean,
            "ndcg_low": self.ndcg.low,
            "ndcg_high": self.ndcg.high,
            "coverage_lost": self.coverage,
            "revenue_recall_lost": self.revenue_recall,
        }


def rule_costs(
    method: BaseRecommender, task: Task, policy: Policy, *, seed: int
) -> tuple[RuleCost, ...]:
    """The cost of all rules of the task's surface together and, up to ``MOST_RULES``, of each.

    ``method`` is fitted on the task's context. Empty without rules.
    """
    book, long_enough = policy.book, policy.at_least(PLACES)
    rules = book.on(task.surface.name)
    if not rules:
        return ()
    served = lists_for(method, task, long_enough)
    without = {ALL_RULES: NO_RULES}
    if len(rules) <= MOST_RULES:
        without |= {
            rule.id: RuleBook(tuple(other for other in book.rules if other is not rule))
            for rule in rules
        }
    costs = []
    for name, others in without.items():
        lists = lists_for(method, task, replace(long_enough, book=others))
        costs.append(_cost(name, served, lists, task, seed=seed))
    return tuple(costs)


def _cost(rule: str, served: Lists, before: Lists, task: Task, *, seed: int) -> RuleCost:
    ours, theirs = (measure(lists.head(PLACES).item, task) for lists in (served, before))
    kept = (served.item[:, :, None] == before.item[:, None, :]).any(axis=2)
    lengths, usual = ((lists.item != UNKNOWN).sum(axis=1) for lists in (served, before))

    def lost(name: str) -> float:
        return theirs.metrics.get(name, 0.0) - ours.metrics.get(name, 0.0)

    return RuleCost(
        rule=rule,
        users=int((served.item != before.item).any(axis=1).sum()),
        places=int(((served.item != UNKNOWN) & ~kept).sum()),
        short=int((lengths < usual).sum()),
        ndcg=paired_bootstrap(
            theirs.per_user[PRIMARY_METRIC], ours.per_user[PRIMARY_METRIC], seed=seed
        ),
        ndcg_without=theirs.metrics[PRIMARY_METRIC],
        coverage=lost(COVERAGE),
        revenue_recall=lost(REVENUE),
    )
