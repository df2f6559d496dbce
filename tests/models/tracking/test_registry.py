"""MLflow for real, on SQLite: what survives a kill, what an unreachable database costs."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from jobs.config.settings import Settings, Shop
from jobs.night.registry import open_registry
from lakehouse.errors import ConfigurationError, DataError, InfrastructureError
from models.core.assortment import Assortment
from models.core.context import Context
from models.core.interactions import Interactions
from models.core.parameters import POPULARITY_HALF_LIFE_DAYS
from models.lists.published import PUBLISHED_FOLDER, Published
from models.recommenders.decayed_counts import DecayedCounts
from models.recommenders.ease import Ease
from models.recommenders.popularity import Popularity
from models.selection.evidence import EVIDENCE_FOLDER, Evidence
from models.selection.recipe import Recipe
from models.tracking import database as tracking_database
from models.tracking import registry as registry_module
from models.tracking.names import metric_name
from models.tracking.registry import CHALLENGER, CHAMPION, Registry
from models.tracking.versions import ModelVersion, Provenance
from tests.killing import forked
from tests.nights import NIGHT, settings_in

SOURCE = Provenance(NIGHT, {"silver.interactions": 3}, "a1b2", 42)
RECIPES = {
    "popularity": Recipe("popularity", {"popularity_half_life_days": 30.0}),
    "decayed_counts": Recipe("decayed_counts", {"half_life_days": 120.0}),
}


def published() -> Published:
    """Ann took a twice and b once, Bob took b and c; everything sells."""
    events = pd.DataFrame(
        {
            "user_id": ["ann", "ann", "ann", "bob", "bob", "bob"],
            "item_id": ["a", "a", "b", "b", "c", "b"],
            "event_date": date(2024, 2, 29),
            "quantity": 1.0,
            "value": 1.0,
        }
    )
    context = Context.build(Interactions.from_frame(events), as_of=NIGHT)
    methods = {"all": DecayedCounts().fit(context), "discover": Popularity().fit(context)}
    return Published(
        methods, Ease().fit(context), Assortment.of(context, POPULARITY_HALF_LIFE_DAYS)
    )


def evidence() -> Evidence:
    return Evidence(
        recipes=RECIPES,
        choice={"all": "decayed_counts", "discover": "popularity"},
        ndcg={
            name: {"popularity": np.array([0.5, 0.0]), "decayed_counts": np.array([1.0, 0.5])}
            for name in ("all", "discover")
        },
        active_days={name: np.array([3, 8]) for name in ("all", "discover")},
    )


def train(registry: Registry, folder: Path) -> ModelVersion:
    published().save(folder / PUBLISHED_FOLDER)
    evidence().save(folder / EVIDENCE_FOLDER)
    with registry.run(f"nightly {NIGHT}", SOURCE) as run:
        return run.register(folder, SOURCE)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
def registry(settings: Settings) -> Registry:
    return open_registry(settings)


def statuses(registry: Registry) -> list[str]:
    runs = registry.client.search_runs(
        [e.experiment_id for e in registry.client.search_experiments()]
    )
    return sorted(run.info.status for run in runs)


def aliases(registry: Registry) -> dict[str, int]:
    found = registry.client.get_registered_model(registry.model).aliases
    return {alias: int(version) for alias, version in found.items()}


def test_a_version_comes_back_as_it_was_registered(registry: Registry, tmp_path: Path) -> None:
    version = train(registry, tmp_path / "model")

    assert version == registry.challenger(NIGHT)
    assert (version.label, version.provenance, version.passed) == ("topshelf/1", SOURCE, False)
    assert aliases(registry) == {CHALLENGER: 1}
    assert statuses(registry) == ["FINISHED"]
    folder = registry.folder(version)
    kept = Evidence.load(folder / EVIDENCE_FOLDER)
    assert (kept.recipes, kept.choice) == (evidence().recipes, evidence().choice)
    np.testing.assert_array_equal(kept.ndcg["all"]["decayed_counts"], [1.0, 0.5])
    np.testing.assert_array_equal(kept.active_days["discover"], [3, 8])
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle")]


def answered(model: str, settings: Settings, folder: Path) -> None:
    """Load a model in a clean process and expect the lists of ``published``."""
    script = """
import json, sys, mlflow, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
asked = pd.DataFrame({"user_id": ["ann", "nobody", "ann", ""],
                      "list": ["discover", "all", "all", "fallback"]})
rows = model.predict(asked, params={"size": 2})
rows["score"] = rows["score"].round(3)
print(json.dumps(rows.to_dict("split")))
"""
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": settings.mlflow.tracking_uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    done = subprocess.run(
        [sys.executable, "-c", script, model],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    day_popularity, day_count = 0.977, 0.994
    b, a = round(3 * day_popularity, 3), round(2 * day_popularity, 3)
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["columns"] == ["user_id", "list", "rank", "item_id", "score", "source"]
    assert answer["data"] == [
        ["ann", "discover", 1, "c", pytest.approx(day_popularity, abs=2e-3), "popularity"],
        ["nobody", "all", 1, "b", pytest.approx(b, abs=2e-3), "popularity"],
        ["nobody", "all", 2, "a", pytest.approx(a, abs=2e-3), "popularity"],
        ["ann", "all", 1, "a", pytest.approx(2 * day_count, abs=2e-3), "decayed_counts"],
        ["ann", "all", 2, "b", pytest.approx(day_count, abs=2e-3), "decayed_counts"],
        ["", "fallback", 1, "b", pytest.approx(b, abs=2e-3), "popularity"],
        ["", "fallback", 2, "a", pytest.approx(a, abs=2e-3), "popularity"],
    ]


def test_a_clean_process_loads_the_champion_and_gets_lists_with_scores(
    registry: Registry, settings: Settings, tmp_path: Path
) -> None:
    registry.set_alias(CHAMPION, train(registry, tmp_path / "model"))
    answered("models:/topshelf@champion", settings, tmp_path)


def test_a_version_that_the_former_release_registered_still_loads(
    settings: Settings, tmp_path: Path
) -> None:
    answered(str(Path(__file__).parent / "former_version"), settings, tmp_path)


@pytest.mark.parametrize("deleted", ["models/*/artifacts/artifacts", "models/*", "../artifacts"])
def test_a_version_whose_files_are_gone_is_named_with_the_cure(
    registry: Registry, settings: Settings, tmp_path: Path, deleted: str
) -> None:
    version = train(registry, tmp_path / "model")
    for folder in settings.mlflow.artifacts.glob(deleted):
        shutil.rmtree(folder)
    with pytest.raises(DataError) as caught:
        registry.folder(version)
    message = str(caught.value)
    assert f"the files of the model version {version.label} (night {NIGHT}) are gone" in message
    assert str(settings.mlflow.artifacts) in message
    assert f"`topshelf train --run-date {NIGHT}`" in message
    assert "lock" not in message


def test_a_damaged_model_is_not_loaded(registry: Registry, tmp_path: Path) -> None:
    folder = registry.folder(train(registry, tmp_path / "model")) / PUBLISHED_FOLDER
    arrays = folder / "decayed_counts" / "arrays.npz"
    content = bytearray(arrays.read_bytes())
    content[len(content) // 2] ^= 1
    arrays.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        Published.load(folder)


@pytest.mark.parametrize(
    ("killed_at", "versions"),
    [
        ("mlflow.pyfunc.log_model", 0),
        ("MlflowClient.finalize_logged_model", 0),
        ("MlflowClient.create_model_version", 0),
        ("MlflowClient.set_registered_model_alias", 1),
    ],
)
def test_a_killed_run_leaves_no_model_under_an_alias_and_a_second_run_is_whole(
    settings: Settings, tmp_path: Path, killed_at: str, versions: int
) -> None:
    process = forked(_train_and_die, settings, tmp_path / "killed", killed_at)
    process.join()
    assert process.exitcode == -signal.SIGKILL

    registry = open_registry(settings)
    assert aliases(registry) == {}
    assert statuses(registry) == ["RUNNING"]
    assert len(registry.client.search_model_versions("name = 'topshelf'")) == versions

    assert len(registry.fail_interrupted()) == 1
    version = train(registry, tmp_path / "again")
    assert aliases(registry) == {CHALLENGER: version.number} == {CHALLENGER: versions + 1}
    assert statuses(registry) == ["FAILED", "FINISHED"]
    assert registry.challenger(NIGHT) == version
    assert Published.load(registry.folder(version) / PUBLISHED_FOLDER).is_finite()


def _train_and_die(settings: Settings, folder: Path, killed_at: str) -> None:
    registry = open_registry(settings)
    owner_name, _, name = killed_at.rpartition(".")
    owner = {"mlflow.pyfunc": mlflow.pyfunc, "MlflowClient": mlflow.MlflowClient}[owner_name]
    setattr(owner, name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
    train(registry, folder)


def test_a_failing_run_is_marked_and_its_own_error_is_raised(registry: Registry) -> None:
    with pytest.raises(ZeroDivisionError), registry.run("nightly", SOURCE):
        1 / 0  # noqa: B018
    assert statuses(registry) == ["FAILED"]


def test_a_night_without_a_version_is_named(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"trained for 2024-03-01.*topshelf train"):
        registry.challenger(NIGHT)
    train(registry, tmp_path / "model")
    with pytest.raises(DataError, match="2024-03-01 has passed the gate"):
        registry.passed(NIGHT)


def test_the_newest_run_is_of_the_last_night_before_and_has_ended_well(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "RUNS_AT_ONCE", 2)

    def logged(days: int, *, tag: bool = True) -> str:
        source = replace(SOURCE, run_date=NIGHT + timedelta(days=days))
        with registry.run("nightly", source) as run:
            run.tags({"kept": "x"} if tag else {})
        return run.run_id

    logged(1)
    older, late = logged(-2), logged(3)
    newest, untagged = logged(1), logged(2, tag=False)
    with pytest.raises(ZeroDivisionError), registry.run("nightly", SOURCE) as failed:
        failed.tags({"kept": f"{1 / 0}"})
    registry.client.set_tag(failed.run_id, "kept", "x")

    found = {
        days: registry.newest_run("kept", before=NIGHT + timedelta(days=days))
        for days in (-2, -1, 0, 1, 2, 3, 4)
    }
    assert found == {-2: None, -1: older, 0: older, 1: older, 2: newest, 3: newest, 4: late}
    assert untagged not in found.values()


def test_a_run_that_is_gone_is_named(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run 0a0a or its files states/ are gone"):
        registry.download("0a0a", "states", tmp_path)


def test_a_read_only_database_is_found_out_at_the_start(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # MLflow takes the URI's path for a folder to make beside the process.
    monkeypatch.chdir(tmp_path)
    path = settings.mlflow.tracking_uri.removeprefix("sqlite:///")
    with pytest.raises(InfrastructureError, match="readonly database"):
        Registry(
            f"sqlite:///file:{path}?mode=ro&uri=true",
            settings.mlflow.artifacts,
            experiment="nightly",
            model="m",
            shop="mine",
        )


def test_a_locked_database_is_found_out_at_the_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking_database, "BUSY_SECONDS", 0.1)
    path = settings.mlflow.tracking_uri.removeprefix("sqlite:///")
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InfrastructureError, match=r"locked.*run again"):
            open_registry(settings)


def test_a_server_that_is_down_is_found_out_and_its_password_kept(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InfrastructureError) as caught:
        Registry(
            "http://me:secret@127.0.0.1:1",
            settings.mlflow.artifacts,
            experiment="nightly",
            model="m",
            shop="mine",
        )
    assert "http://127.0.0.1:1" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_experiment_deleted_in_mlflow_is_named(registry: Registry, settings: Settings) -> None:
    experiment = registry.create_experiment("nightly")
    registry.client.delete_experiment(experiment)
    with pytest.raises(ConfigurationError, match=rf"restore --experiment-id {experiment}"):
        open_registry(settings)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"experiment": "theirs"}, r"\[mlflow\] model 'topshelf' belongs to the shop"),
        ({"model": "theirs"}, r"\[mlflow\] experiment 'nightly' belongs to the shop"),
    ],
)
def test_another_shop_s_experiment_or_model_is_refused(
    registry: Registry, settings: Settings, names: dict[str, str], message: str
) -> None:
    ours = settings.mlflow
    mlflow = ours.model_copy(update=names)
    other = settings.model_copy(update={"shop": Shop(name="other"), "mlflow": mlflow})
    with pytest.raises(ConfigurationError, match=message):
        open_registry(other)
    apart = ours.model_copy(update={"experiment": "theirs", "model": "theirs"})
    open_registry(other.model_copy(update={"mlflow": apart}))
    open_registry(settings)


def test_metric_names_suit_mlflow() -> None:
    assert metric_name("ndcg@10") == "ndcg_at_10"
