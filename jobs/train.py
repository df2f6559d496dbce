"""Gold features → fitted models: chosen, measured, tracked in MLflow and registered as challenger.

A night's training holds a lock, and opens MLflow before it works, so that neither a second run nor
an MLflow that cannot be written costs anybody their work.
"""

import json
import logging
import tempfile
import time
from datetime import date
from pathlib import Path

import pandas as pd

from jobs.config import Settings
from jobs.job_report import JobReport
from jobs.night import TableVersions, newest_versions, read_night
from lakehouse.locks import process_lock
from lakehouse.tables import ALL_TABLES
from lakehouse.windows import Windows
from models import plots
from models.evidence import EVIDENCE_FOLDER
from models.published import PUBLISHED_FOLDER
from models.recipe import Recipe
from models.registry import ModelVersion, Provenance, Registry, TrackedRun, metric_name
from models.training import PRIMARY_METRIC, Evaluations, Nights, OnEpoch, Trained, train

logger = logging.getLogger(__name__)

USER_BANDS = ["events_total", "days_since_last", "items_distinct", "price_band_mean"]
ITEM_COLUMNS = ["department", "category", "product_type", "brand", "manufacturer", "price_band"]
HEADLINE_METRICS = (PRIMARY_METRIC, "recall@10", "coverage@10", "novelty@10")


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
            nights = read_nights(settings, versions, run_date=run_date)
            trained = train(recipes(settings), nights, on_epoch=_epoch_logger(log))
            _log_results(log, trained, run_date)
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
            "methods": dict(trained.choice),
            "parameters": {name: dict(values) for name, values in trained.learnt.items()},
            "curve": [dict(point) for point in trained.curve],
            "validation": _metrics(trained.validation),
            "metrics": _metrics(trained.test),
        },
    )


def open_registry(settings: Settings) -> Registry:
    """The registry that the settings name, reached and writable (see ``Registry``)."""
    mlflow = settings.mlflow
    return Registry(mlflow.tracking_uri, mlflow.artifacts, mlflow.experiment, mlflow.model)


def models_lock(settings: Settings) -> Path:
    """The lock file of whoever registers versions or moves aliases."""
    return settings.paths.lake / ".locks" / "models"


def recipes(settings: Settings) -> tuple[Recipe, ...]:
    """The methods that a night tries; the simplest first, which wins a tie."""
    train = settings.train
    popularity = {"popularity_half_life_days": train.popularity_half_life_days}
    return (
        Recipe("popularity", popularity),
        Recipe("decayed_counts", {**popularity, "half_life_days": train.counts_half_life_days}),
        Recipe(
            "two_stage",
            {
                **popularity,
                "nights": train.ranker_nights,
                "label_days": train.test_days,
                "rounds": train.ranker_rounds,
                "seed": train.seed,
            },
        ),
        Recipe(
            "hybrid_lightfm",
            {
                **popularity,
                "user_columns": _user_attributes(settings),
                "user_bands": USER_BANDS,
                "item_columns": ITEM_COLUMNS,
                "components": train.components,
                "max_epochs": train.max_epochs,
                "patience": train.patience,
                "learning_rate": train.learning_rate,
                "seed": train.seed,
                "threads": train.threads,
            },
        ),
    )


def _user_attributes(settings: Settings) -> list[str]:
    """The attributes that the sources give of users."""
    return sorted({name for source in settings.sources for name in source.attributes})


def read_nights(settings: Settings, versions: TableVersions, *, run_date: date) -> Nights:
    """What was known at the start of each window, and today, at pinned table versions."""
    windows = Windows(run_date, settings.train.test_days, settings.train.validation_days)
    night = read_night(settings, versions, run_date=run_date, as_of=windows.as_of_dates)
    return Nights(
        interactions=night.interactions,
        validation=night.contexts[windows.validation_start],
        test=night.contexts[windows.test_start],
        today=night.contexts[run_date],
    )


def _log_inputs(log: TrackedRun, settings: Settings, versions: TableVersions) -> None:
    parameters = {**settings.train.model_dump(), **settings.features.model_dump()}
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


def _log_results(log: TrackedRun, trained: Trained, run_date: date) -> None:
    """Every method's measures side by side, and above them those of the methods published."""
    for list_name, method in trained.choice.items():
        log.tags({f"published.{list_name}": method})
        published = trained.test[list_name][method].metrics
        log.metrics(
            {f"{metric_name(name)}_{list_name}": published[name] for name in HEADLINE_METRICS}
        )
    for window, evaluations in (("validation", trained.validation), ("test", trained.test)):
        log.metrics(
            {
                f"{window}_{list_name}/{metric_name(name)}.{method}": value
                for list_name, by_method in _metrics(evaluations).items()
                for method, metrics in by_method.items()
                for name, value in metrics.items()
            }
        )
    log.table("methods.json", _comparison(trained))
    log.text("learnt_parameters.json", json.dumps(trained.learnt, indent=2, sort_keys=True))
    title = f"Night of {run_date}"
    if trained.curve:
        ndcg = [point[PRIMARY_METRIC] for point in trained.curve]
        log.figure("learning_curve.png", plots.learning_curve(ndcg, title))
    test = _metrics(trained.test)
    points = {
        list_name: {
            method: (metrics["coverage@10"], metrics[PRIMARY_METRIC])
            for method, metrics in by_method.items()
        }
        for list_name, by_method in test.items()
    }
    log.figure("methods.png", plots.methods(points, trained.choice, title))
    log.figure("coverage.png", plots.coverage_against_ndcg(points, trained.choice, title))


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


def _register(log: TrackedRun, trained: Trained, source: Provenance) -> ModelVersion:
    with tempfile.TemporaryDirectory(prefix="topshelf-") as folder:
        trained.published.save(Path(folder) / PUBLISHED_FOLDER)
        trained.evidence().save(Path(folder) / EVIDENCE_FOLDER)
        return log.register(Path(folder), source)


def _metrics(evaluations: Evaluations) -> dict[str, dict[str, dict[str, float]]]:
    return {
        list_name: {name: evaluation.metrics for name, evaluation in by_method.items()}
        for list_name, by_method in evaluations.items()
    }
