"""Business rules for people: are they well formed, and what would they change?"""

from collections.abc import Sequence
from datetime import date

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jobs.config.rules import rule_book
from jobs.config.settings import Settings
from jobs.night.inputs import newest_versions, read_nights
from jobs.night.recipes import policy
from jobs.night.registry import open_registry
from jobs.operate.lookup import plain
from lakehouse.errors import ConfigurationError
from lakehouse.lists import PERSONAL_LISTS
from models.lists.rules.night import rule_warnings
from models.lists.rules.shelf import Shelf
from models.selection.evidence import EVIDENCE_FOLDER, Evidence
from models.selection.rule_costs import RuleCost, rule_costs
from models.selection.split import Split
from models.selection.trial import try_out


def check(settings: Settings, run_date: date | None) -> RenderableType:
    """What the rules say; with a night also which hold on it.

    Raises ``ConfigurationError`` for mistakes, all at once, and for rules that have expired by the
    night.
    """
    book = rule_book(settings)
    if settings.recommend.rules is None:
        return Text("the configuration names no rules: set [recommend] rules")
    if run_date is not None and (expired := rule_warnings(book, run_date, None)):
        raise ConfigurationError(f"{settings.recommend.rules}: " + "; ".join(expired))
    table = Table("rule", "kind", "surfaces", "owner", "why", "when", box=None, header_style="bold")
    for rule in book.rules:
        period = f"{rule.valid_from or ''} to {rule.valid_to or ''}".strip(" to") or "always"
        holds = "" if run_date is None or rule.is_active(run_date) else " (not on this night)"
        table.add_row(
            rule.id,
            rule.kind,
            ", ".join(rule.surfaces),
            plain(rule.owner),
            plain(rule.reason),
            period + holds,
        )
    return Group(table, Text(f"{len(book.rules)} rules, no mistake", style="dim"))


def preview(settings: Settings, run_date: date) -> RenderableType:
    """What the rules that hold on a night would change, by rule.

    The champion's recipes, or those of the night's newest version without one, are fitted before
    the night's test window and asked for the lists of those who took something in it; nothing is
    written. Raises ``DataError`` where no version has been trained, or the lake holds too little.
    """
    lists_by = policy(settings, run_date)
    if not lists_by.book.rules:
        return Text(f"no rule holds on {run_date}")
    registry = open_registry(settings)
    version = registry.champion() or registry.challenger(run_date)
    evidence = Evidence.load(registry.folder(version) / EVIDENCE_FOLDER)
    nights = read_nights(settings, newest_versions(settings.paths.lake), run_date=run_date)
    split = Split.of(nights, PERSONAL_LISTS, lists=(), policy=lists_by)
    judged = {
        method: try_out(evidence.recipes[method], split).judged
        for method in sorted(set(evidence.choice.values()))
    }
    parts: list[RenderableType] = []
    for name, asked in split.test.items():
        fitted = judged[evidence.choice[name]]
        costs = rule_costs(fitted, asked, lists_by, seed=settings.train.seed)
        parts.append(costs_table(name, costs, len(asked.users)))
    warnings = rule_warnings(rule_book(settings), run_date, Shelf.of(nights.today))
    parts += [Text(f"warning: {said}", style="yellow") for said in warnings]
    return Group(*parts)


def costs_table(list_name: str, costs: Sequence[RuleCost], users: int) -> RenderableType:
    """A row per rule: whose lists change, how many places, and what is given up."""
    table = Table(
        "rule",
        "users",
        "places",
        "shorter lists",
        "NDCG@10 lost",
        "coverage@10 lost",
        "revenue recall@10 lost",
        title=f"{list_name}: lists of {users:,} users in the test window",
        title_justify="left",
        box=None,
        header_style="bold",
    )
    for cost in costs:
        table.add_row(
            cost.rule,
            f"{cost.users:,}",
            f"{cost.places:,}",
            f"{cost.short:,}",
            str(cost.ndcg),
            f"{cost.coverage:+.4f}",
            f"{cost.revenue_recall:+.4f}",
        )
    if not costs:
        table.add_row("none on this surface")
    return table
