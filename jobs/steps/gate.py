"""Challenger against champion and heuristics: the alias moves only if the challenger passes.

Refusing is a normal outcome: the report says ``accepted: false``, and the old release goes on.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from jobs.config.settings import Settings
from jobs.night.inputs import read_nights, read_shelf
from jobs.night.job_report import JobReport, JsonValue
from jobs.night.outcomes import read_report
from jobs.night.recipes import policy
from jobs.night.registry import models_lock, open_registry
from lakehouse.errors import ConfigurationError, DataError
from lakehouse.lists import PERSONAL, Surface
from lakehouse.locks import process_lock
from models.core.interactions import UNKNOWN, index_of
from models.core.lists import Lists
from models.evaluation.bootstrap import Difference, paired_bootstrap
from models.evaluation.primary import PLACES, PRIMARY_METRIC
from models.lists.catalogue import heuristics
from models.lists.path import Policy, make_lists
from models.lists.published import PUBLISHED_FOLDER, Published
from models.lists.rules.night import night_rules
from models.lists.rules.shelf import Shelf
from models.recommenders.popularity import Popularity
from models.selection.evidence import EVIDENCE_FOLDER, Evidence
from models.selection.gate import (
    Check,
    Limits,
    ListFigures,
    Rival,
    Segment,
    Served,
    Verdict,
    decide,
    served,
    share_of_others,
)
from models.selection.recipe import Recipe
from models.selection.training import judge
from models.tracking.names import deciding, metric_name
from models.tracking.page import GAIN
from models.tracking.registry import CHAMPION, Registry
from models.tracking.versions import ModelVersion, Provenance

CHECKED_STEPS: Final = ("ingest", "clean", "features")

Values = NDArray[np.float64]
ShelfOf = Callable[[Published], Shelf]

logger = logging.getLogger(__name__)


def run(settings: Settings, *, run_date: date) -> JobReport:
    """Judge the night's newest version; move ``champion`` to it if it passes.

    A person's decision about that version stands above the verdict: a demoted version is not
    accepted, a promoted one is. A version of an older night than the champion's (a backfill) may
    pass, but does not take its place. Raises ``DataError`` where the night has no version,
    ``InfrastructureError`` where MLflow fails.
    """
    registry = open_registry(settings)
    with process_lock(models_lock(settings)):
        challenger = registry.challenger(run_date)
        champion = registry.champion()
        limits = Limits(**settings.gate.model_dump(), cold_user_days=settings.train.cold_user_days)
        figures = _figures(registry, settings, limits, challenger, champion)
        verdict = decide(figures, limits, unchecked=_unchecked(settings, run_date))
        costs = _rule_costs(registry, challenger)
        text = _describe(verdict, challenger, champion)
        logger.info("%s", text)
        registry.judge(
            challenger,
            passed=verdict.passed,
            reasons=verdict.reasons,
            figures=_metrics(verdict) | _gains(figures),
            text=text,
            page=_page(verdict, challenger, champion),
        )
        accepted = registry.challenger(run_date).passed
        promoted = accepted and not _newer(champion, run_date)
        if promoted:
            registry.make_champion(challenger)
    return JobReport(
        step="gate",
        run_date=run_date,
        facts={
            "accepted": accepted,
            "passed": verdict.passed,
            "decision": challenger.decision,
            "promoted": promoted,
            "challenger": challenger.label,
            "champion": None if champion is None else champion.label,
            "reasons": list(verdict.reasons),
            "table": verdict.table(),
            "checks": [_figures_of(check) for check in verdict.checks],
        },
        warnings=(*verdict.reasons, *_decided(challenger), *costs),
    )


def _rule_costs(registry: Registry, challenger: ModelVersion) -> tuple[str, ...]:
    """What the night's rules cost, list by list, where that is surely something."""
    evidence = Evidence.load(registry.folder(challenger) / EVIDENCE_FOLDER)
    return tuple(
        f"{name}: the rules cost {lost} NDCG@10 ({lost.mean / before:.1%})"
        for name, (lost, before) in evidence.rule_costs.items()
        if lost.low > 0
    )


def _newer(champion: ModelVersion | None, run_date: date) -> bool:
    return champion is not None and champion.provenance.run_date > run_date


def _decided(challenger: ModelVersion) -> tuple[str, ...]:
    if challenger.decision is None:
        return ()
    return (f"{challenger.label} was {challenger.decision} by a person, which stands.",)


def _unchecked(settings: Settings, run_date: date) -> list[str]:
    """The steps whose data checks are not known to have passed.

    A step is done only once every check has passed, and it writes no rows before.
    """
    lake = settings.paths.lake
    return [step for step in CHECKED_STEPS if read_report(lake, run_date, step) is None]


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """A version's files, and its lists for everybody it knows."""

    evidence: Evidence
    published: Published
    lists: Mapping[str, Lists]
    policy: Policy

    @classmethod
    def read(
        cls, registry: Registry, version: ModelVersion, policy: Policy, shelf_of: ShelfOf
    ) -> "_Model":
        folder = registry.folder(version)
        published = Published.load(folder / PUBLISHED_FOLDER)
        everybody = np.arange(len(published.user_ids), dtype=np.int32)
        shelf = shelf_of(published) if policy.book.rules else None
        return cls(
            Evidence.load(folder / EVIDENCE_FOLDER),
            published,
            {
                surface.name: published.lists(
                    surface, everybody, policy, night_rules(policy.book, surface.name, shelf)
                ).head(PLACES)
                for surface in PERSONAL
            },
            policy,
        )

    def served(self, surface: Surface) -> Served:
        """What the list looks like."""
        lists, assortment = self.lists[surface.name], self.published.assortment
        popular = make_lists(
            Popularity.as_known_by(self.published.by_list[surface.name], assortment),
            surface,
            np.arange(len(lists.item), dtype=np.int32),
            assortment,
            self.policy,
        )
        return served(
            lists,
            sellable=int(assortment.sellable.sum()),
            finite=self.published.is_finite(),
            popular=popular.head(PLACES).item,
        )

    def churn(self, before: "_Model", list_name: str) -> float:
        """The share of the items of users known to both that ``before`` did not list for them."""
        here, there = self.published, before.published
        theirs = index_of(there.user_ids, here.user_ids)
        both = theirs != UNKNOWN
        # By item id: the two vocabularies number their items differently.
        number = np.append(index_of(here.item_ids, there.item_ids), UNKNOWN)
        reference = number[before.lists[list_name].item[theirs[both]]]
        return share_of_others(self.lists[list_name].item[both], reference)


def _figures(
    registry: Registry,
    settings: Settings,
    limits: Limits,
    challenger: ModelVersion,
    champion: ModelVersion | None,
) -> list[ListFigures]:
    lists_by = policy(settings, challenger.provenance.run_date).at_least(PLACES)

    def shelf_of(published: Published) -> Shelf:
        # Tonight's rules look at what is known tonight, whosever lists they are for.
        return read_shelf(settings, challenger.provenance, published)

    now = _Model.read(registry, challenger, lists_by, shelf_of)
    before = None
    if champion is not None:
        with _champions_faults(champion, challenger):
            before = _Model.read(registry, champion, lists_by, shelf_of)
    figures = []
    for surface in PERSONAL:
        name, theirs = surface.name, None
        if champion is not None and before is not None:
            recipe = before.evidence.recipe_of(name)
            with _champions_faults(champion, challenger):
                theirs = _ndcg(now.evidence, recipe, name, settings, challenger.provenance)
        figures.append(
            _list_figures(surface, now, before, theirs, limits, seed=settings.train.seed)
        )
    return figures


def _list_figures(
    surface: Surface,
    now: _Model,
    before: _Model | None,
    champion_ndcg: Values | None,
    limits: Limits,
    *,
    seed: int,
) -> ListFigures:
    """The figures of one list; ``champion_ndcg`` are the users' values of the champion's recipe."""
    name = surface.name
    evidence, recipe = now.evidence, now.evidence.recipe_of(name)
    ndcg, method = evidence.ndcg[name], evidence.choice[name]
    simple = heuristics()
    tried = sorted(
        other for other, r in evidence.recipes.items() if r.kind in simple and other != method
    )

    def against(users: NDArray[np.bool_] | slice) -> tuple[Rival | None, list[Rival]]:
        """The champion's recipe and the heuristics on some of the users."""
        own = ndcg[method][users]
        rivals = [_rival(other, own, ndcg[other][users], seed) for other in tried]
        if before is None or champion_ndcg is None:
            return None, rivals
        same = before.evidence.recipe_of(name).is_same_as(recipe)
        return _rival(CHAMPION, own, champion_ndcg[users], seed, same=same), rivals

    champion_recipe, rivals = against(slice(None))
    is_cold = evidence.active_days[name] <= limits.cold_user_days
    cold_champion, cold_rivals = against(is_cold)
    best = sorted(cold_rivals, key=lambda rival: -rival.ndcg)[:1]
    return ListFigures(
        list_name=name,
        challenger=now.served(surface),
        ndcg=_mean(ndcg[method]),
        heuristics=tuple(rivals),
        cold=Segment(
            users=int(is_cold.sum()),
            ndcg=_mean(ndcg[method][is_cold]),
            rivals=(*best,) if cold_champion is None else (cold_champion, *best),
        ),
        is_heuristic=recipe.kind in simple,
        is_popularity=recipe.kind == Popularity.kind,
        champion=None if before is None else before.served(surface),
        champion_recipe=champion_recipe,
        churn=None if before is None else now.churn(before, name),
    )


@contextmanager
def _champions_faults(champion: ModelVersion, challenger: ModelVersion) -> Iterator[None]:
    """Say what to do where the champion stands in the way, as after a change of the code."""
    try:
        yield
    except (ConfigurationError, DataError) as error:
        raise DataError(
            f"the champion {champion.label} cannot be compared with: {error} To go on without it, "
            f"`topshelf promote {challenger.label}` by a person makes tonight's version champion."
        ) from error


def _rival(name: str, own: Values, ndcg: Values, seed: int, *, same: bool = False) -> Rival:
    """``own`` against the same users' ``ndcg``; users may be none."""
    if same:
        return Rival(name, _mean(ndcg), None)
    if not len(own):
        return Rival(name, math.nan, Difference(math.nan, math.nan, math.nan))
    return Rival(name, _mean(ndcg), paired_bootstrap(own, ndcg, seed=seed))


def _mean(values: Values) -> float:
    return float(values.mean()) if len(values) else math.nan


def _ndcg(
    evidence: Evidence, recipe: Recipe, list_name: str, settings: Settings, source: Provenance
) -> Values:
    """Users' NDCG@10 of ``recipe`` on the challenger's test window, refitted only if need be."""
    method = evidence.method_with(recipe)
    if method is not None:
        return evidence.ndcg[list_name][method]
    logger.info("the champion's recipe %s for %r is refitted", recipe.kind, list_name)
    nights = read_nights(settings, source.table_versions, run_date=source.run_date)
    return judge(recipe, nights, list_name, policy(settings, source.run_date)).per_user[
        PRIMARY_METRIC
    ]


def _outcome(verdict: Verdict, challenger: ModelVersion, champion: ModelVersion | None) -> str:
    against = "the first night, no champion" if champion is None else f"champion {champion.label}"
    outcome = "passes" if verdict.passed else "is REFUSED"
    return f"challenger {challenger.label} {outcome} ({against})"


def _describe(verdict: Verdict, challenger: ModelVersion, champion: ModelVersion | None) -> str:
    lines = [_outcome(verdict, challenger, champion), verdict.table()]
    return "\n".join([*lines, *verdict.reasons, *_decided(challenger)]) + "\n"


def _page(verdict: Verdict, challenger: ModelVersion, champion: ModelVersion | None) -> str:
    """The same in Markdown."""
    lines = [f"## Gate: {_outcome(verdict, challenger, champion)}", ""]
    lines += [f"* {reason}" for reason in (*verdict.reasons, *_decided(challenger))]
    return "\n".join([*lines, "", verdict.markdown()]) + "\n\n"


def _gains(figures: Iterable[ListFigures]) -> dict[str, float]:
    return {
        deciding(GAIN, entry.list_name): entry.gain for entry in figures if entry.gain is not None
    }


def _figures_of(check: Check) -> dict[str, JsonValue]:
    """A check for the report; what is no number, such as a mean over nobody, is ``None``."""
    gain = check.difference
    mean, low, high = (None, None, None) if gain is None else gain
    return {
        "list": check.list_name,
        "rule": check.rule,
        "challenger": _number(check.challenger),
        "against": _number(check.against),
        "difference": _number(mean),
        "low": _number(low),
        "high": _number(high),
        # The report gives the interval columns of its own.
        "asked": check.asked.replace(f": {gain}", ""),
        "passed": check.passed,
    }


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _metrics(verdict: Verdict) -> dict[str, float]:
    """The verdict's figures by MLflow's names; those that are no numbers are in the table only."""
    return {
        f"gate_{check.list_name}/{metric_name(check.rule)}.{side}": value
        for check in verdict.checks
        for side, value in (("challenger", check.challenger), ("against", check.against))
        if value is not None and math.isfinite(value)
    }
