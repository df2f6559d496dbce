"""Runs tracked in MLflow beside the nights': what they try is never registered."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from jobs.config.settings import Settings
from jobs.night.inputs import newest_versions
from lakehouse.locks import process_lock
from models.tracking.registry import Registry, TrackedRun
from models.tracking.versions import Provenance


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A tracked run under way: where it is kept, and of which night and tables it is."""

    registry: Registry
    source: Provenance
    log: TrackedRun


@contextmanager
def tracked_run(
    settings: Settings, kind: str, run_date: date, *, command: str
) -> Iterator[OpenRun]:
    """The run ``{command's last word} {run_date}`` among those of ``kind``, one at a time.

    It reads the newest table versions. Raises ``DataError`` where the lake lacks a table and
    ``InfrastructureError`` where MLflow fails.
    """
    registry = open_runs(settings, kind)
    with process_lock(runs_lock(settings, kind)):
        registry.fail_interrupted()
        versions = newest_versions(settings.paths.lake)
        source = Provenance(run_date, versions, settings.digest(), settings.train.seed)
        name = f"{command.rsplit(maxsplit=1)[-1]} {run_date}"
        with registry.run(name, source, command=command) as log:
            yield OpenRun(registry, source, log)


def open_runs(settings: Settings, kind: str) -> Registry:
    """The settings' MLflow, where runs of ``kind`` lie under ``{[mlflow] experiment}_{kind}``.

    Raises ``InfrastructureError`` where it cannot be reached and written (see ``Registry``).
    """
    mlflow = settings.mlflow
    return Registry(
        mlflow.tracking_uri,
        mlflow.artifacts,
        experiment=f"{mlflow.experiment}_{kind}",
        model=mlflow.model,
        shop=settings.shop.name,
    )


def runs_lock(settings: Settings, kind: str) -> Path:
    """The lock file of whoever makes runs of that kind."""
    return settings.paths.lake / ".locks" / kind
