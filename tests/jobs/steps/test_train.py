"""Training a small night for real: choice, figures, what MLflow shows, and what stops it."""

import hashlib
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.config.settings import Settings
from jobs.night import warm_start
from jobs.night.inputs import newest_versions, read_nights
from jobs.night.job_report import JobReport
from jobs.night.recipes import recipe
from jobs.night.registry import open_registry
from jobs.steps import gate, train
from lakehouse.errors import DataError
from models.core.base import BaseRecommender
from models.lists.path import DEFAULT_POLICY
from models.recommenders.lightfm_model import HybridLightFM
from models.selection.training import train as train_methods
from models.selection.trial import refit, tune
from models.tracking.registry import Registry
from models.tracking.versions import ModelVersion
from tests.nights import NEWCOMERS, NIGHT, TERMS, Event, busy_shop, settings_in, shop, write_lake

METHODS = ["decayed_counts", "hybrid_lightfm", "popularity", "two_stage"]
WARM = {"warm_start": "true", "methods": '["hybrid_lightfm"]'}
NEXT = NIGHT + timedelta(days=1)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = settings_in(tmp_path_factory.mktemp("night"))
    write_lake(settings, *shop())
    return settings


@pytest.fixture(scope="module")
def report(settings: Settings) -> JobReport:
    return train.run(settings, run_date=NIGHT)


def digests(registry: Registry, version: ModelVersion) -> dict[str, str]:
    folder = registry.folder(version)
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_best_usable_method_on_the_validation_window_fills_each_list(report: JobReport) -> None:
    facts: Mapping[str, Any] = report.facts
    assert facts["model_version"] == "topshelf/1"
    assert facts["table_versions"] == {
        "silver.interactions": 1,
        "gold.user_item_features": 1,
        "gold.user_features": 1,
        "gold.item_features": 1,
    }
    assert report.rows == {"events": 12 * 22}
    validation, test = facts["validation"], facts["metrics"]
    for name in ("all", "discover"):
        assert sorted(validation[name]) == sorted(test[name]) == METHODS
    # Twelve users do not show that anything is better than the best heuristic.
    heuristics = ("popularity", "decayed_counts")
    for name, chosen in facts["methods"].items():
        best = max(validation[name][method]["ndcg@10"] for method in heuristics)
        assert chosen in heuristics
        assert validation[name][chosen]["ndcg@10"] == best
    assert facts["methods"]["all"] == "decayed_counts"
    assert facts["parameters"]["hybrid_lightfm"]["max_epochs"] <= 2


def test_mlflow_shows_the_run(settings: Settings, report: JobReport) -> None:
    registry = open_registry(settings)
    facts: Mapping[str, Any] = report.facts
    run = registry.client.get_run(facts["run_id"])
    assert (run.info.run_name, run.info.status) == ("nightly 2024-03-01", "FINISHED")
    assert run.data.params["hybrid_lightfm.components"] == "4"
    assert run.data.tags["published.all"] == "decayed_counts"
    assert run.data.tags["seed"] == "42"
    assert "environment.lightfm-next" in run.data.tags
    lines = run.data.tags["mlflow.note.content"].splitlines()
    best = facts["metrics"]["all"]["decayed_counts"]
    assert lines[:3] == ["## Methods on the test window", "", "List `all`, test window:"]
    assert (
        f"| **decayed_counts** (published) | {best['ndcg@10']:.4f} | {best['coverage@10']:.4f} |"
        in lines
    )
    metrics = run.data.metrics
    for name in ("all", "discover"):
        measures = facts["metrics"][name]
        for method in METHODS:
            for measure in ("ndcg@10", "coverage@10"):
                key = f"test_{name}/{measure.replace('@', '_at_')}.{method}"
                assert metrics[key] == measures[method][measure]
        chosen = facts["methods"][name]
        assert metrics[f"{name}/ndcg_at_10"] == measures[chosen]["ndcg@10"]
    curve = registry.client.get_metric_history(run.info.run_id, "epoch/ndcg_at_10")
    assert [(point.step, point.value) for point in curve] == [
        (entry["epoch"], entry["ndcg@10"]) for entry in facts["curve"]
    ]
    assert run.inputs is not None
    inputs = {(i.dataset.name, i.dataset.digest) for i in run.inputs.dataset_inputs}
    assert ("gold.item_features", "version-1") in inputs
    assert len(inputs) == 4
    next_baskets = facts["next_baskets"]
    assert sorted(next_baskets) == ["buy_again", "decayed_counts"]
    for method, measures in next_baskets.items():
        for measure in ("ndcg@10", "recall@10", "repeat_recall@10"):
            key = f"next_basket/{measure.replace('@', '_at_')}.{method}"
            assert metrics[key] == measures[measure]
    assert 0 <= metrics["due/calibration_error"] <= 1
    files = [file.path for file in registry.client.list_artifacts(run.info.run_id, "plots")]
    pictures = ("calibration", "coverage", "learning_curve", "methods", "reliability", "segments")
    assert files == [f"plots/{name}.png" for name in pictures]


def test_mlflow_keeps_the_figures_behind_the_plots(settings: Settings, report: JobReport) -> None:
    registry = open_registry(settings)
    facts: Mapping[str, Any] = report.facts
    run_ids = [facts["run_id"]]
    segments = registry.client.load_table("1", "segments.json", run_ids=run_ids)
    test = facts["metrics"]
    # The only segment holds all users, as all have equally many days with an event.
    assert segments["segment"].nunique() == 1
    for row in segments.to_dict("records"):
        for method in METHODS:
            assert row[method] == pytest.approx(test[row["list"]][method]["ndcg@10"])
    tenths = registry.client.load_table("1", "reliability.json", run_ids=run_ids)
    hits = (tenths["hit_rate"] * tenths["places"]).groupby(tenths["list"]).sum()
    # Of the counts' own places, each of twelve users took milk, bread and three things of theirs.
    assert hits["all"] == pytest.approx(12 * 5)
    assert hits["discover"] == pytest.approx(test["discover"]["popularity"]["precision@10"] * 120)


def test_the_same_night_trained_again_is_the_same_model_and_passes_as_the_same_recipe(
    settings: Settings, report: JobReport
) -> None:
    gate.run(settings, run_date=NIGHT)
    again = train.run(settings, run_date=NIGHT)
    registry = open_registry(settings)
    first, second = registry.champion(), registry.challenger(NIGHT)
    assert first is not None
    assert (first.label, second.label) == (report.facts["model_version"], "topshelf/2")
    assert digests(registry, first) == digests(registry, second)
    assert again.facts["metrics"] == report.facts["metrics"]

    verdict = gate.run(settings, run_date=NIGHT)
    assert verdict.facts["accepted"] is True
    assert "the champion's recipe" in str(verdict.facts["table"])


def test_a_list_that_popularity_fills_has_no_reliability(tmp_path: Path) -> None:
    # What has the buyers that LightFM asks for, everybody knows, and no other method competes.
    settings = settings_in(tmp_path, train={"methods": '["hybrid_lightfm"]'})
    write_lake(settings, *shop())
    report = train.run(settings, run_date=NIGHT)
    assert report.facts["methods"] == {"all": "hybrid_lightfm", "discover": "hybrid_lightfm"}
    run_ids = [str(report.facts["run_id"])]
    tenths = open_registry(settings).client.load_table("1", "reliability.json", run_ids=run_ids)
    assert set(tenths["list"]) == {"all"}


def test_runs_that_never_ended_are_marked(settings: Settings, report: JobReport) -> None:
    registry = open_registry(settings)
    experiment = registry.client.get_run(str(report.facts["run_id"])).info.experiment_id
    killed = registry.client.create_run(experiment).info.run_id
    train.run(settings, run_date=NIGHT)
    run = registry.client.get_run(killed)
    assert (run.info.status, run.data.tags["interrupted"]) == ("FAILED", "true")


def test_too_short_a_history_is_named(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    write_lake(settings, [Event("ann", "milk", 3)], {"milk": {"sellable": True}})
    with pytest.raises(DataError, match=r"no events before 2024-02-16.*test_days"):
        train.run(settings, run_date=NIGHT)
    registry = open_registry(settings)
    runs = registry.client.search_runs(["1"])
    assert [run.info.status for run in runs] == ["FAILED"]
    assert not registry.client.search_model_versions("name = 'topshelf'")


def test_a_night_without_data_is_named(settings: Settings) -> None:
    with pytest.raises(DataError, match=r"silver.interactions has no events .* before 2020-01-01"):
        train.run(settings, run_date=NIGHT.replace(year=2020, month=1))


def test_mlflow_is_reached_before_any_data_is_read(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match="not a database"):
        train.run(settings, run_date=NIGHT - timedelta(days=1))
    assert not settings.paths.lake.exists()


@pytest.fixture(scope="module")
def warm_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = settings_in(tmp_path_factory.mktemp("warm"), train=WARM)
    for night in (NIGHT, NEXT):
        write_lake(settings, *busy_shop(), night=night)
    return settings


def test_a_night_goes_on_from_the_last_night_before_it(warm_settings: Settings) -> None:
    def trained(night: date) -> tuple[str, str]:
        facts = train.run(warm_settings, run_date=night).facts
        return str(facts["run_id"]), str(facts["warm_start_run"])

    registry = open_registry(warm_settings)
    first, before_first = trained(NIGHT)
    second, before_second = trained(NEXT)
    version = registry.challenger(NEXT)
    again, before_again = trained(NIGHT)
    assert before_first == before_again == warm_start.COLD
    assert before_second == first
    assert registry.run_tags(second)[warm_start.RUN_TAG] == first

    registry.client.set_terminated(again, "FAILED")
    assert trained(NEXT)[1] == first
    assert digests(registry, version) == digests(registry, registry.challenger(NEXT))

    kept = registry.client.list_artifacts(first, f"{warm_start.FOLDER}/hybrid_lightfm")
    assert [Path(fit.path).name for fit in kept] == ["2024-02-16", "2024-02-23", "2024-03-01"]


def test_without_warm_start_a_night_leaves_nothing_to_start_from(
    settings: Settings, report: JobReport
) -> None:
    assert report.facts["warm_start_run"] is None
    registry, run = open_registry(settings), str(report.facts["run_id"])
    assert registry.client.list_artifacts(run, warm_start.FOLDER) == []
    assert warm_start.RUN_TAG not in registry.run_tags(run)


def test_each_fit_starts_from_the_newest_that_knew_no_more(warm_settings: Settings) -> None:
    lightfm = recipe("hybrid_lightfm", warm_settings)
    versions = newest_versions(warm_settings.paths.lake)
    old, new = (read_nights(warm_settings, versions, run_date=day) for day in (NIGHT, NEXT))
    states = train_methods([lightfm], old, TERMS, newcomers=NEWCOMERS, policy=DEFAULT_POLICY).states

    def started(model: BaseRecommender) -> date | None:
        assert isinstance(model, HybridLightFM)
        return model.started_from

    tuned = tune(lightfm, new, DEFAULT_POLICY, earlier=states)
    assert started(tuned) == old.validation.as_of
    assert started(refit(tuned, new.test, states)) == old.test.as_of
    assert started(refit(tuned, new.today, states)) == old.today.as_of
    # Passes counted from a cold start are none to go on with.
    later = train_methods([lightfm], new, TERMS, newcomers=NEWCOMERS, policy=DEFAULT_POLICY).states
    cold = tune(lightfm, old, DEFAULT_POLICY, earlier=later)
    assert started(cold) is started(refit(cold, new.today, states)) is None
