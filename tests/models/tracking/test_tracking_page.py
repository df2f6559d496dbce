"""What MLflow's page of the nights shows first, and the server of it."""

import json
from pathlib import Path

import pytest

from jobs.config.settings import Settings
from jobs.night.registry import open_registry
from jobs.operate import mlflow_page
from lakehouse.errors import ConfigurationError, DataError
from models.tracking.decisions import Decision, record
from models.tracking.registry import Registry
from tests.models.tracking.test_registry import train
from tests.nights import settings_in

COLUMNS = [
    "metrics.`all/ndcg_at_10`",
    "metrics.`discover/ndcg_at_10`",
    "metrics.`all/recall_at_10`",
    "metrics.`discover/recall_at_10`",
    "metrics.`all/coverage_at_10`",
    "metrics.`discover/coverage_at_10`",
    "metrics.`all/novelty_at_10`",
    "metrics.`discover/novelty_at_10`",
    "metrics.`all/gain`",
    "metrics.`discover/gain`",
    "tags.`gate`",
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


def test_every_experiment_opens_as_model_training_and_shows_what_decides(
    settings: Settings, tmp_path: Path
) -> None:
    registry = open_registry(settings)
    version = train(registry, tmp_path / "model")
    record(registry, Decision("promoted", version.label, "-", "Ann", "why"), version)
    found = {e.name: e.tags for e in registry.client.search_experiments() if e.name != "Default"}
    assert {name: tags["mlflow.experimentKind"] for name, tags in found.items()} == {
        "nightly": "custom_model_development",
        "nightly decisions": "custom_model_development",
    }
    (tags,) = (tags for name, tags in found.items() if name == registry.experiment)
    assert json.loads(tags["mlflow.sharedViewState.topshelf"]) == {"selectedColumns": COLUMNS}


def test_an_experiment_made_before_is_changed_to_model_training(settings: Settings) -> None:
    experiment = open_registry(settings).experiment_id
    open_registry(settings).client.set_experiment_tag(experiment, "mlflow.experimentKind", "")
    registry: Registry = open_registry(settings)
    tags = registry.client.get_experiment(experiment).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"


def test_the_verdict_stands_above_the_methods_once(settings: Settings, tmp_path: Path) -> None:
    registry = open_registry(settings)
    version = train(registry, tmp_path / "model")
    note = "mlflow.note.content"
    methods = "## Methods on the test window\n\n| popularity | 0.5 |\n"
    registry.client.set_tag(version.run_id, note, methods)
    for page in ("## Gate: is REFUSED\n\n", "## Gate: passes\n\n"):
        registry.judge(version, passed=True, reasons=[], figures={}, text="", page=page)
        assert registry.run_tags(version.run_id)[note] == page + methods
        kept = registry.client.get_model_version(version.name, str(version.number))
        assert kept.description == page


def test_the_server_is_this_machine_s_and_hides_the_address_of_the_database(
    settings: Settings,
) -> None:
    server = mlflow_page.server(settings, 5001)
    assert server.address == (
        "http://topshelf.localhost:5001/#/experiments/1/runs"
        "?workflowType=machine_learning&viewStateShareKey=topshelf"
    )
    said = " ".join(server.command)
    assert "--host 127.0.0.1 --port 5001 --workers 1" in said
    assert "topshelf.localhost:5001" in said
    assert settings.mlflow.tracking_uri not in said
    assert server.environment["MLFLOW_BACKEND_STORE_URI"] == settings.mlflow.tracking_uri


def test_the_server_s_database_is_made_whole_before_it_starts(
    settings: Settings, tmp_path: Path
) -> None:
    database = tmp_path / "mlflow.db"
    database.unlink()
    mlflow_page.server(settings, 5001)
    assert database.read_bytes().startswith(b"SQLite format 3")
    database.write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match="Put a backup in its place"):
        mlflow_page.server(settings, 5001)


def test_a_server_that_runs_elsewhere_is_not_started_again(settings: Settings) -> None:
    mlflow = settings.mlflow.model_copy(update={"tracking_uri": "http://me:secret@host:5000"})
    with pytest.raises(ConfigurationError, match="runs already: open its address") as caught:
        mlflow_page.server(settings.model_copy(update={"mlflow": mlflow}), 5001)
    assert "secret" not in str(caught.value)
