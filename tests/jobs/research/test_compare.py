"""Methods side by side: the table's figures, and the runs that MLflow shows."""

import math

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from jobs.cli.main import app
from jobs.config.settings import Settings
from jobs.night.inputs import newest_versions, read_nights
from jobs.night.resources import Cost
from jobs.research import compare
from jobs.research.compare import comparison, table
from jobs.research.tracked_runs import open_runs
from lakehouse.lists import PERSONAL_LISTS
from models.evaluation.protocol import Evaluation
from models.lists.path import DEFAULT_POLICY
from models.selection.backtest import backtest
from models.selection.recipe import Recipe
from models.selection.split import Split
from models.selection.training import train
from models.selection.trial import Outcome
from tests.nights import NEWCOMERS, NIGHT, TERMS, settings_in, shop, write_lake


def outcome(ndcg: float) -> Outcome:
    judged = Evaluation(
        users=np.arange(4, dtype=np.int32),
        metrics={"ndcg@10": ndcg, "coverage@10": ndcg / 2},
        per_user={"ndcg@10": np.full(4, ndcg)},
    )
    return Outcome(lists={}, test={"all": judged, "discover": judged}, validation={}, looks={})


def test_each_method_is_held_against_the_best_simple_one() -> None:
    outcomes = {"popularity": outcome(0.25), "ease": outcome(0.5), "two_stage": outcome(0.75)}
    costs = {"popularity": Cost(1, None), "ease": Cost(2, 20), "two_stage": Cost(3, 30)}
    rows = comparison(outcomes, costs, seed=1)
    each = {
        f"{column}_{name}": values
        for name in ("all", "discover")
        for column, values in {
            "ndcg": [0.75, 0.5, 0.25],
            "gain": [0.25, math.nan, -0.25],
            "low": [0.25, math.nan, -0.25],
            "high": [0.25, math.nan, -0.25],
            "rival": ["ease"] * 3,
            "coverage": [0.375, 0.25, 0.125],
        }.items()
    }
    expected = pd.DataFrame(
        {
            "method": ["two_stage", "ease", "popularity"],
            **each,
            "seconds": [3, 2, 1],
            "peak_mib": [30, 20, math.nan],
        }
    )
    pd.testing.assert_frame_equal(rows, expected)

    console = Console(width=160, no_color=True)
    with console.capture() as printed:
        console.print(table(rows, NIGHT))
    lines = [line.split() for line in printed.get().splitlines()]
    gain = ["0.7500", "│", "+0.2500", "[+0.2500,", "+0.2500]", "│", "0.3750"]
    assert ["│", "two_stage", "│", *gain, "│", *gain, "│", "3.0", "│", "30", "│"] in lines
    own = ["0.5000", "│", "-", "│", "0.2500"]
    assert ["│", "ease", "│", *own, "│", *own, "│", "2.0", "│", "20", "│"] in lines


def test_without_a_simple_method_there_is_no_gain() -> None:
    rows = comparison({"two_stage": outcome(0.5)}, {"two_stage": Cost(1, 1)}, seed=1)
    assert rows["rival_all"].tolist() == [None]
    assert rows["gain_all"].isna().all()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = settings_in(tmp_path_factory.mktemp("night"))
    write_lake(settings, *shop())
    return settings


def test_mlflow_shows_a_run_below_the_comparison_for_each_method(settings: Settings) -> None:
    methods = ("popularity", "decayed_counts", "lightfm")
    shown = compare.run(settings, run_date=NIGHT, methods=methods)
    assert shown.row_count == 3

    registry = open_runs(settings, "comparisons")
    experiment = registry.client.get_experiment_by_name("nightly_comparisons")
    assert experiment is not None
    runs = {
        run.info.run_name: run for run in registry.client.search_runs([experiment.experiment_id])
    }
    assert set(runs) == {f"compare {NIGHT}", *methods}
    parent = runs[f"compare {NIGHT}"]
    assert parent.data.tags["best.all"] == "decayed_counts"
    assert parent.data.tags["mlflow.source.name"] == "topshelf compare"
    for name in methods:
        tags, metrics = runs[name].data.tags, runs[name].data.metrics
        assert tags["mlflow.parentRunId"] == parent.info.run_id
        assert (tags["method"], tags["mlflow.source.name"]) == (name, "topshelf compare")
        assert {"validation_all/ndcg_at_10", "test_discover/coverage_at_10"} <= set(metrics)
        assert metrics["seconds"] > 0
        assert metrics["peak_mib"] > 10
        assert runs[name].info.status == "FINISHED"
    assert runs["lightfm"].data.params["components"] == "4"
    files = [file.path for file in registry.client.list_artifacts(parent.info.run_id)]
    assert files == ["comparison.json"]
    assert not registry.client.search_model_versions("name = 'topshelf'")


def test_the_figures_are_those_of_the_night_s_training(settings: Settings) -> None:
    nights = read_nights(settings, newest_versions(settings.paths.lake), run_date=NIGHT)
    tried = Recipe("decayed_counts", {})
    trained = train([tried], nights, TERMS, newcomers=NEWCOMERS, policy=DEFAULT_POLICY)
    outcome = backtest(tried, Split.of(nights, PERSONAL_LISTS), competes=True)
    for name in PERSONAL_LISTS:
        assert outcome.test[name].metrics == trained.test[name]["decayed_counts"].metrics
        assert (
            outcome.validation[name].metrics == trained.validation[name]["decayed_counts"].metrics
        )


def test_the_command_prints_the_table(settings: Settings) -> None:
    config = settings.paths.runs.parent / "config.toml"
    call = ["compare", "--config", str(config), "--run-date", str(NIGHT)]
    done = CliRunner().invoke(app, [*call, "--methods", "decayed_counts,popularity"])
    assert done.exit_code == 0
    assert f"Methods on the test window of {NIGHT}" in done.stdout
    assert [name for name in ("decayed_counts", "popularity", "ease") if name in done.stdout] == [
        "decayed_counts",
        "popularity",
    ]
