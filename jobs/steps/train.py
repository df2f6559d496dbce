"""Gold features → fitted models: chosen, measured, tracked in MLflow and registered as challenger.

A night's training holds a lock, and opens MLflow before it works, so that neither a second run nor
an MLflow that cannot be written costs anybody their work.
"""

import json
import logging
import tempfile
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pandas as pd

from jobs.config.settings import Settings
from jobs.night import warm_start
from jobs.night.inputs import TableVersions, newest_versions, read_nights
from jobs.night.job_report import JobReport
from jobs.night.later_nights import later_events
from jobs.night.recipes import newcomers_recipe, policy, recipes, repeats_recipe, terms
from jobs.night.registry import models_lock, open_registry
from lakehouse.locks import process_lock
from lakehouse.tables import ALL_TABLES
from models.core.capabilities import OnEpoch, TellsImportance
from models.evaluation.primary import PRIMARY_METRIC
from models.evaluation.protocol import by_segment
from models.evaluation.reliability import by_score
from models.evaluation.segments import activity
from models.lists.published import PUBLISHED_FOLDER
from models.selection.evidence import EVIDENCE_FOLDER
from models.selection.repeats import RepeatEvaluation
from models.selection.split import Nights
from models.selection.training import Evaluations, Trained, train
from models.selection.trial import NO_STATES
from models.tracking import plots
from models.tracking.names import deciding, metric_name
from models.tracking.page import DECIDING
from models.tracking.registry import METHODS_HEADING, NOTE_TAG, TrackedRun
from models.tracking.versions import ModelVersion, Provenance

logger = logging.getLogger(__name__)


def run(settings: Settings, *, run_date: date) -> JobReport:
    """Train on everything before ``run_date`` and register the result.

    Raises ``DataError`` where the lake holds too little and ``InfrastructureError`` where MLflow
    fails.
    """
    registry = open_registry(settings)
    with process_lock(models_lock(settings)):
        registry.fail_interrupted()
        versions = newest_versions(settings.paths.lake)
        source = Provenance(run_date, versions, settings.digest(), settings.train.seed)
        with registry.run(f"{settings.mlflow.experiment} {run_date}", source) as log:
            started = time.perf_counter()
            _log_inputs(log, settings, versions)
            start = warm_start.of_night(registry, run_date) if settings.train.warm_start else None
            nights = read_nights(settings, versions, run_date=run_date)
            trained = train(
                recipes(settings),
                nights,
                terms(settings),
                newcomers=newcomers_recipe(settings),
                repeats=repeats_recipe(settings),
                policy=policy(settings, run_date),
                on_epoch=_epoch_logger(log),
                earlier=start.states if start else NO_STATES,
            )
            _log_results(log, trained)
            if start and trained.states:
                log.tags({warm_start.RUN_TAG: start.run_id})
                warm_start.keep(log, trained.states)
            _log_plots(log, trained, nights, f"Night of {run_date}")
            if trained.repeats is not None:
                _log_repeats(log, trained.repeats, f"Night of {run_date}")
            log.metrics({"seconds": time.perf_counter() - started})
            version = _register(log, trained, source)
    return JobReport(
        step="train",
        run_date=run_date,
        rows={"events": len(nights.today.interactions)},
        facts={
            "run_id": version.run_id,
            "model_version": version.label,
            "table_versions": dict(versions),
            "configuration": source.configuration,
            "seed": source.seed,
            "warm_start_run": start.run_id if start else None,
            "methods": dict(trained.choice),
            "parameters": {name: dict(values) for name, values in trained.learnt.items()},
            "curve": [dict(point) for point in trained.curve],
            "validation": _metrics(trained.validation),
            "metrics": _metrics(trained.test),
            "next_baskets": _next_baskets(trained.repeats),
            "rule_costs": {
                name: [cost.as_row() for cost in costs]
                for name, costs in trained.rule_costs.items()
            },
        },
        warnings=later_events(settings.paths.lake, run_date),
    )


def _log_inputs(log: TrackedRun, settings: Settings, versions: TableVersions) -> None:
    of_methods = {
        f"{tried.kind}.{name}": value
        for tried in recipes(settings)
        for name, value in tried.parameters.items()
    }
    parameters = {**settings.train.model_dump(), **of_methods, **settings.features.model_dump()}
    log.parameters({name: str(value) for name, value in parameters.items()})
    for table in ALL_TABLES:
        if table.full_name in versions:
            log.dataset(settings.paths.lake, table, versions[table.full_name])


def _epoch_logger(log: TrackedRun) -> OnEpoch:
    def on_epoch(epoch: int, measures: dict[str, float]) -> None:
        logger.info("epoch %d: %s", epoch, measures)
        log.metrics(
            {f"epoch/{metric_name(name)}": value for name, value in measures.items()}, step=epoch
        )

    return on_epoch


def _log_results(log: TrackedRun, trained: Trained) -> None:
    """Every method's measures side by side, and above them those of the methods published."""
    for list_name, method in trained.choice.items():
        log.tags({f"published.{list_name}": method})
        published = trained.test[list_name][method].metrics
        log.metrics({deciding(name, list_name): published[name] for name in DECIDING})
    for window, evaluations in (("validation", trained.validation), ("test", trained.test)):
        log.metrics(
            {
                f"{window}_{list_name}/{metric_name(name)}.{method}": value
                for list_name, by_method in _metrics(evaluations).items()
                for method, metrics in by_method.items()
                for name, value in metrics.items()
            }
        )
    comparison = _comparison(trained)
    log.table("methods.json", comparison)
    log.tags({NOTE_TAG: METHODS_HEADING + _description(comparison)})
    costs = {
        name: pd.DataFrame([cost.as_row() for cost in of_list])
        for name, of_list in trained.rule_costs.items()
        if of_list
    }
    if costs:
        log.table("rules.json", _stacked(costs))
    log.text("learnt_parameters.json", json.dumps(trained.learnt, indent=2, sort_keys=True))


def _log_plots(log: TrackedRun, trained: Trained, nights: Nights, title: str) -> None:
    """Pictures, each with its figures as a table beside it."""
    choice, measures = trained.choice, _metrics(trained.test)
    if trained.curve:
        ndcg = [point[PRIMARY_METRIC] for point in trained.curve]
        first = int(trained.curve[0]["epoch"])
        log.figure("learning_curve.png", plots.learning_curve(ndcg, title, first))
    log.figure("methods.png", plots.methods(measures, choice, title))
    log.figure("coverage.png", plots.recall_against_coverage(measures, choice, title))

    labels = activity(nights.test.interactions)
    by_activity = {
        list_name: pd.DataFrame(
            {name: by_segment(e, labels)[PRIMARY_METRIC] for name, e in by_method.items()}
        )
        for list_name, by_method in trained.test.items()
    }
    log.figure("segments.png", plots.segments(by_activity, choice, title))
    log.table("segments.json", _stacked(by_activity))

    tenths = {name: by_score(places) for name, places in trained.places.items()}
    log.figure("reliability.png", plots.reliability(tenths, choice, title))
    log.table("reliability.json", _stacked(tenths))

    shares = {
        name: method.importance(name)
        for name, method in trained.published.by_list.items()
        if isinstance(method, TellsImportance)
    }
    if shares:
        log.figure("importance.png", plots.importance(shares, title))
        tables = {name: share.rename("share").to_frame() for name, share in shares.items()}
        log.table("importance.json", _stacked(tables))


def _log_repeats(log: TrackedRun, judged: RepeatEvaluation, title: str) -> None:
    """How repeat purchases were foreseen: the next baskets, and the chances that came true."""
    log.metrics(
        {
            f"next_basket/{metric_name(str(name))}.{method}": float(value)
            for method, row in judged.baskets.iterrows()
            for name, value in row.dropna().items()
        }
    )
    if len(judged.baskets):
        log.table("next_basket.json", judged.baskets.reset_index())
    if len(judged.curve):
        log.metrics({"due/calibration_error": judged.error})
        log.figure("calibration.png", plots.calibration(judged.curve, judged.error, title))
        log.table("calibration.json", judged.curve)


def _stacked(by_list: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One table with the list as first column and the index as second."""
    return pd.concat(by_list, names=["list"]).reset_index()


def _comparison(trained: Trained) -> pd.DataFrame:
    """One row per list and method with the measures of the test window."""
    return pd.DataFrame(
        [
            {"list": list_name, "method": name, "published": name == trained.choice[list_name]}
            | evaluation.metrics
            for list_name, by_method in trained.test.items()
            for name, evaluation in by_method.items()
        ]
    )


def _description(comparison: pd.DataFrame) -> str:
    """What the run's page says in words: each list's methods by NDCG@10, the best first."""
    lines = []
    for list_name, rows in comparison.groupby("list"):
        lines += [f"List `{list_name}`, test window:", "", "| method | NDCG@10 | coverage@10 |"]
        lines += ["|---|---|---|"]
        for row in rows.sort_values(PRIMARY_METRIC, ascending=False).to_dict("records"):
            name = f"**{row['method']}** (published)" if row["published"] else row["method"]
            lines.append(f"| {name} | {row[PRIMARY_METRIC]:.4f} | {row['coverage@10']:.4f} |")
        lines.append("")
    return "\n".join(lines)


def _register(log: TrackedRun, trained: Trained, source: Provenance) -> ModelVersion:
    with tempfile.TemporaryDirectory(prefix="topshelf-") as folder:
        trained.published.save(Path(folder) / PUBLISHED_FOLDER)
        trained.evidence().save(Path(folder) / EVIDENCE_FOLDER)
        return log.register(Path(folder), source)


def _next_baskets(judged: RepeatEvaluation | None) -> dict[str, dict[str, float]]:
    """Measures on the next baskets by method, those that there are."""
    if judged is None:
        return {}
    return {
        str(method): {str(name): float(value) for name, value in row.dropna().items()}
        for method, row in judged.baskets.iterrows()
    }


def _metrics(evaluations: Evaluations) -> dict[str, dict[str, dict[str, float]]]:
    return {
        list_name: {name: evaluation.metrics for name, evaluation in by_method.items()}
        for list_name, by_method in evaluations.items()
    }
