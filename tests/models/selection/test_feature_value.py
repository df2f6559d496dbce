"""The value of features: none where nothing is lost, some where the ranking rests on them."""

import io
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from jobs.research import feature_value as job
from jobs.research.tracked_runs import open_runs
from lakehouse.errors import ConfigurationError
from models.evaluation.protocol import task
from models.ranking.feature_groups import GROUPS, group_of, members
from models.ranking.features import NightFeatures
from models.ranking.two_stage import TwoStage
from models.selection.feature_value import feature_value
from tests import shop
from tests.nights import NIGHT, settings_in, write_lake
from tests.nights import shop as small_shop


@pytest.mark.parametrize(
    ("feature", "group"),
    [
        ("own_score", "sources"),
        ("popular_lately_relative", "sources"),
        ("decayed_30", "pair recency and frequency"),
        ("decayed_30_relative", "pair recency and frequency"),
        ("since_last", "pair recency and frequency"),
        ("overdue_by_item", "pair rhythm"),
        ("mean_units", "amounts and prices"),
        ("product_type_days_in_7", "product type"),
        ("share_of_category_30", "category"),
        ("user_new_share", "user"),
        ("item_rebuy", "item"),
        ("item_unit_price", "amounts and prices"),
    ],
)
def test_a_feature_has_a_group(feature: str, group: str) -> None:
    assert group_of(feature) == group


def test_every_group_has_features() -> None:
    context = shop.context()
    pair = np.zeros(1, dtype=np.int32)
    columns = [*NightFeatures.of(context, rebuy_days=30).describe(pair, pair), "own_score"]
    assert [group for group in GROUPS if not members(group, columns)] == []


def test_an_unknown_group_cannot_be_left_out() -> None:
    with pytest.raises(ConfigurationError, match=r"without\.0: Input should be 'sources'"):
        TwoStage(without=("weather",))


@pytest.fixture(scope="module")
def values() -> pd.DataFrame:
    context = shop.context()
    method = TwoStage(nights=2, label_days=20, rounds=5, threads=1)
    window = shop.interactions().between(shop.AS_OF, shop.AS_OF + timedelta(days=20))
    tasks = {name: task(name, context, window) for name in ("all", "discover")}
    return feature_value(method, context, tasks, seed=1)


def test_each_list_has_a_row_per_group_the_most_valuable_first(values: pd.DataFrame) -> None:
    for _, rows in values.groupby("list"):
        assert sorted(rows["group"]) == sorted(GROUPS)
        assert rows["gain_share"].sum() == pytest.approx(1)
        assert rows["shuffled"].is_monotonic_decreasing
        assert (rows["shuffled_low"] <= rows["shuffled"]).all()
        assert (rows["shuffled"] <= rows["shuffled_high"]).all()


def test_a_group_that_no_tree_uses_loses_nothing_when_shuffled(values: pd.DataFrame) -> None:
    unused = values[values["gain_share"] == 0]
    assert len(unused)
    assert (unused["shuffled"] == 0).all()


def test_the_command_prints_a_row_per_group_and_keeps_table_and_plot(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, models={"two_stage": {"rounds": 3}})
    write_lake(settings, *small_shop())
    printed = Console(width=150, file=io.StringIO(), record=True)
    printed.print(job.run(settings, run_date=NIGHT))
    text = printed.export_text()
    assert all(group in text for group in GROUPS)
    registry = open_runs(settings, job.RUNS)
    experiment = registry.client.get_experiment_by_name("nightly_feature_value")
    assert experiment is not None
    (run,) = registry.client.search_runs([experiment.experiment_id])
    assert run.info.run_name == f"feature-value {NIGHT}"
    assert {file.path for file in registry.client.list_artifacts(run.info.run_id)} == {
        "feature_value.json",
        "plots",
    }
