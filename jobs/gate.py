"""Challenger against champion: the alias moves only if the challenger passes.

Refusing is a normal outcome: the report says ``accepted: false``, and the old release goes on.
"""

import logging
from datetime import date

import numpy as np
from numpy.typing import NDArray

from jobs.config import Settings
from jobs.job_report import JobReport
from jobs.train import models_lock, open_registry, read_nights
from lakehouse.locks import process_lock
from models.bootstrap import paired_bootstrap
from models.evidence import EVIDENCE_FOLDER, Evidence
from models.gate import COVERAGE_PLACES, Limits, ListFigures, Served, Verdict, decide, served
from models.published import PERSONAL_LISTS, PUBLISHED_FOLDER, Published
from models.recipe import Recipe
from models.registry import CHAMPION, ModelVersion, Provenance, Registry, metric_name
from models.training import PRIMARY_METRIC, judge

logger = logging.getLogger(__name__)


def run(settings: Settings, *, run_date: date) -> JobReport:
    """Judge the night's newest version; move ``champion`` to it if it passes.

    A version of an older night than the champion's (a backfill) may pass, but does not take its
    place. Raises ``DataError`` where the night has no version, ``InfrastructureError`` where MLflow
    fails.
    """
    registry = open_registry(settings)
    with process_lock(models_lock(settings)):
        challenger = registry.challenger(run_date)
        champion = registry.champion()
        figures = _figures(registry, settings, challenger, champion)
        verdict = decide(figures, Limits(tolerance=settings.train.tolerance))
        text = _describe(verdict, challenger, champion)
        logger.info("%s", text)
        registry.judge(challenger, passed=verdict.passed, figures=_metrics(verdict), text=text)
        promoted = verdict.passed and not _newer(champion, run_date)
        if promoted:
            registry.set_alias(CHAMPION, challenger)
    return JobReport(
        step="gate",
        run_date=run_date,
        facts={
            "accepted": verdict.passed,
            "promoted": promoted,
            "challenger": challenger.label,
            "champion": None if champion is None else champion.label,
            "reasons": list(verdict.reasons),
            "table": verdict.table(),
        },
        warnings=verdict.reasons,
    )


def _newer(champion: ModelVersion | None, run_date: date) -> bool:
    return champion is not None and champion.provenance.run_date > run_date


def _figures(
    registry: Registry,
    settings: Settings,
    challenger: ModelVersion,
    champion: ModelVersion | None,
) -> list[ListFigures]:
    evidence = Evidence.load(registry.folder(challenger) / EVIDENCE_FOLDER)
    lists = _served(registry, challenger)
    means = {
        name: float(evidence.ndcg[name][evidence.choice[name]].mean()) for name in PERSONAL_LISTS
    }
    if champion is None:
        return [ListFigures(name, lists[name], means[name]) for name in PERSONAL_LISTS]

    rival = Evidence.load(registry.folder(champion) / EVIDENCE_FOLDER)
    rival_lists = _served(registry, champion)
    figures = []
    for name in PERSONAL_LISTS:
        recipe = rival.recipe_of(name)
        ndcg = evidence.ndcg[name][evidence.choice[name]]
        rival_ndcg = _ndcg(evidence, recipe, name, settings, challenger.provenance)
        figures.append(
            ListFigures(
                list_name=name,
                challenger=lists[name],
                challenger_ndcg=means[name],
                champion=rival_lists[name],
                champion_ndcg=float(rival_ndcg.mean()),
                difference=None
                if recipe == evidence.recipe_of(name)
                else paired_bootstrap(ndcg, rival_ndcg, seed=settings.train.seed),
            )
        )
    return figures


def _ndcg(
    evidence: Evidence, recipe: Recipe, list_name: str, settings: Settings, source: Provenance
) -> NDArray[np.float64]:
    """Users' NDCG@10 of ``recipe`` on the challenger's test window, refitted only if need be."""
    method = evidence.method_with(recipe)
    if method is not None:
        return evidence.ndcg[list_name][method]
    logger.info("the champion's recipe %s for %r is refitted", recipe.kind, list_name)
    nights = read_nights(settings, source.table_versions, run_date=source.run_date)
    return judge(recipe, nights, list_name).per_user[PRIMARY_METRIC]


def _served(registry: Registry, version: ModelVersion) -> dict[str, Served]:
    """What the version would list for everybody it knows."""
    published = Published.load(registry.folder(version) / PUBLISHED_FOLDER)
    everybody = np.arange(len(published.user_ids), dtype=np.int32)
    finite = published.is_finite()
    return {
        name: served(
            published.lists(name, everybody, COVERAGE_PLACES),
            sellable=int(published.sellable.sum()),
            finite=finite,
        )
        for name in PERSONAL_LISTS
    }


def _describe(verdict: Verdict, challenger: ModelVersion, champion: ModelVersion | None) -> str:
    against = "the first night, no champion" if champion is None else f"champion {champion.label}"
    outcome = "passes" if verdict.passed else "is REFUSED"
    lines = [f"challenger {challenger.label} {outcome} ({against})", verdict.table()]
    return "\n".join([*lines, *verdict.reasons]) + "\n"


def _metrics(verdict: Verdict) -> dict[str, float]:
    """The verdict's figures by MLflow's names."""
    return {
        f"gate_{check.list_name}/{metric_name(check.rule)}.{side}": value
        for check in verdict.checks
        for side, value in (("challenger", check.challenger), ("champion", check.champion))
        if value is not None
    }
