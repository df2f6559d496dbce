"""The model registry of a shop, and the lock of whoever changes what it says."""

from pathlib import Path

from jobs.config.settings import Settings
from models.tracking.registry import Registry


def open_registry(settings: Settings) -> Registry:
    """The registry that the settings name, reached and writable (see ``Registry``)."""
    mlflow = settings.mlflow
    return Registry(
        mlflow.tracking_uri,
        mlflow.artifacts,
        experiment=mlflow.experiment,
        model=mlflow.model,
        shop=settings.shop.name,
    )


def models_lock(settings: Settings) -> Path:
    """The lock file of whoever registers versions or moves aliases."""
    return settings.paths.lake / ".locks" / "models"
