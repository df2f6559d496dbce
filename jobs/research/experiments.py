"""MLflow experiments beside the nights': what is tried there is never registered."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from jobs.config.settings import Settings
from jobs.night.inputs import newest_versions
from lakehouse.locks import process_lock
from models.tracking.registry import Provenance, Registry, TrackedRun


@dataclass(frozen=True, slots=True)
class Experiment:
    """An open run of an experiment: where it is kept, and of which night and tables it is."""

    registry: Registry
    source: Provenance
    log: TrackedRun


@contextmanager
def experiment(
    settings: Settings, kind: str, run_date: date, *, command: str
) -> Iterator[Experiment]:
    """The run ``{command's last word} {run_date}`` of the experiment ``kind``, one at a time.

    It reads the newest table versions. Raises ``DataError`` where the lake lacks a table and
    ``InfrastructureError`` where MLflow fails.
    """
    registry = open_experiment(settings, kind)
    with process_lock(experiment_lock(settings, kind)):
        registry.fail_interrupted()
        versions = newest_versions(settings.paths.lake)
        source = Provenance(run_date, versions, settings.digest(), settings.train.seed)
        name = f"{command.rsplit(maxsplit=1)[-1]} {run_date}"
        with registry.run(name, source, command=command) as log:
            yield Experiment(registry, source, log)


def open_experiment(settings: Settings, kind: str) -> Registry:
    """The settings' MLflow with the experiment ``{nightly experiment}_{kind}``.

    Raises ``InfrastructureError`` where it cannot be reached and written (see ``Registry``).
    """
    mlflow = settings.mlflow
    return Registry(
        mlflow.tracking_uri, mlflow.artifacts, f"{mlflow.experiment}_{kind}", mlflow.model
    )


def experiment_lock(settings: Settings, kind: str) -> Path:
    """The lock file of whoever makes runs in that experiment."""
    return settings.paths.lake / ".locks" / kind
