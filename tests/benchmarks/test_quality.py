"""The published figures: what they say, what page they make, and a small shop from end to end."""

import json
import math
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import pytrec_eval
from typer.testing import CliRunner

from benchmarks.quality import measure
from benchmarks.quality.__main__ import app
from benchmarks.quality.complete_journey import read_shop
from benchmarks.quality.measure import list_rows
from benchmarks.quality.page import page
from benchmarks.quality.results import CutResult, Run, as_json, overall, overall_gain
from jobs.config.settings import Models, Settings, load
from jobs.night.resources import Cost
from lakehouse.errors import ConfigurationError
from models.evaluation.protocol import PROTOCOLS, Cold, Evaluation
from models.selection.backtest import best_simple, ranking
from models.selection.recipe import Recipe
from models.selection.split import Cut
from models.selection.trial import Outcome
from tests import shop
from tests.project import ROOT

CONFIG = ROOT / "infra" / "config" / "complete_journey.toml"
CUT = Cut(date(2017, 10, 30), date(2017, 12, 1), date(2018, 1, 2))
MEASURES = ("ndcg@10", "map@10", "recall@10", "coverage@10", "novelty@10")


def evaluation(ndcg: float, users: int = 40) -> Evaluation:
    """Half of the users have all, the others nothing of twice ``ndcg``."""
    per_user = np.tile([2 * ndcg, 0.0], users // 2)
    return Evaluation(
        users=np.arange(users, dtype=np.int32),
        metrics=dict.fromkeys(MEASURES, ndcg),
        per_user={"ndcg@10": per_user},
    )


def outcome(ndcg: float) -> Outcome:
    return Outcome(
        lists={},
        test={protocol: evaluation(ndcg) for protocol in PROTOCOLS},
        validation={},
        looks={},
    )


@pytest.fixture
def result() -> CutResult:
    return CutResult(
        cut=CUT,
        choice={"all": "two_stage", "discover": "ease"},
        outcomes={
            "ease": outcome(0.3),
            "popularity": outcome(0.1),
            "two_stage": outcome(0.46),
            "published": outcome(0.46),
        },
        costs={
            "ease": Cost(2.0, 300.0),
            "popularity": Cost(1.0, None),
            "two_stage": Cost(60.123, 900.4),
        },
        segments={
            "all": {
                "age": pd.DataFrame(
                    {"users": [30, 29], "ndcg@10": [0.5, 0.4], "recall@10": [0.25, 0.2]},
                    index=["19-24", "65+"],
                )
            }
        },
    )


def test_the_best_simple_method_has_neither_factors_nor_stages(result: CutResult) -> None:
    assert ranking(result.outcomes, "all") == ["two_stage", "published", "ease", "popularity"]
    assert best_simple(result.outcomes, "all") == "ease"
    assert best_simple({"two_stage": result.outcomes["two_stage"]}, "all") is None


def test_published_took_as_long_as_the_method_that_is_published(result: CutResult) -> None:
    assert result.cost("cold_users", "published") == Cost(60.123, 900.4)
    assert result.cost("cold_items", "published") == Cost(2.0, 300.0)


def test_a_gain_is_paired(result: CutResult) -> None:
    gain = result.gain("all", "ease", seed=1)
    assert gain.mean == pytest.approx(0.16)
    assert 0 < gain.low < 0.16 < gain.high < 0.32


def test_a_user_of_several_cuts_counts_once(result: CutResult) -> None:
    def at(users: list[int], ours: list[float], theirs: list[float]) -> CutResult:
        outcomes = {
            name: Outcome(
                lists={},
                test={
                    "all": Evaluation(
                        users=np.array(users, dtype=np.int32),
                        metrics={"ndcg@10": float(np.mean(ndcg))},
                        per_user={"ndcg@10": np.array(ndcg)},
                    )
                },
                validation={},
                looks={},
            )
            for name, ndcg in (("published", ours), ("ease", theirs))
        }
        return replace(result, outcomes=outcomes)

    cuts = [at([1, 4], [0.5, 0.9], [0.4, 0.5]), at([4, 7], [0.5, 0.25], [0.5, 0.25])]
    gain, users = overall_gain(cuts, "all", "ease", seed=1)
    assert users == 3
    # User 1 gains 0.1, user 4 the mean of 0.4 and 0, user 7 nothing.
    assert gain.mean == pytest.approx(0.1)
    assert overall(cuts, "all") == ["published", "ease"]


def test_the_figures_as_json(result: CutResult) -> None:
    figures = as_json([result])
    assert list(figures) == ["2017-12-01"]
    assert list(figures["2017-12-01"]) == ["all", "discover", "cold_users", "cold_items"]
    assert figures["2017-12-01"]["all"]["two_stage"] == {
        **dict.fromkeys(MEASURES, 0.46),
        "seconds": 60.12,
    }
    assert figures["2017-12-01"]["discover"]["published"]["seconds"] == 2.0


def test_the_page_says_what_was_reached_and_what_was_missed(result: CutResult) -> None:
    about = Run(
        lines=1234,
        users=50,
        items=60,
        seed=42,
        competing=("popularity", "two_stage"),
        recipes={"popularity": Recipe("popularity", {"popularity_half_life_days": 30.0})},
        lists=Path("lists"),
        cold=Cold(),
    )
    lines = page([result], about).splitlines()

    def table(title: str) -> list[str]:
        start = lines.index(title)
        rows = [n for n in range(start, len(lines)) if lines[n].startswith("|")]
        end = next(n for n in range(rows[0], len(lines)) if not lines[n].startswith("|"))
        return lines[rows[0] : end]

    gain = result.gain("all", "ease", 42)
    interval = f"+0.1600 [{gain.low:+.4f}, {gain.high:+.4f}]"
    targets = table("## Targets")
    assert targets[:6] == [
        "| figure | asked | aim | 2017-12-01 | outcome |",
        "|---|---:|---:|---:|---:|",
        "| NDCG@10, all items, `published` | ≥ 0.450 | 0.470 | 0.4600 | met |",
        "| NDCG@10, new to the user only, `published` | ≥ 0.052 | 0.060 | 0.4600 "
        "| met, and the aim |",
        "| coverage@10, all items, `published` | ≥ 0.080 | 0.100 | 0.4600 | met, and the aim |",
        "| NDCG@10, new to the user only, `hybrid_lightfm` | ≥ 0.047 | 0.055 | - | not measured |",
    ]
    assert targets[6] == (
        f"| `published` less the best simple method, all items | > 0 |  | {interval} (ease) | met |"
    )
    worse = result.gain("all", "popularity", 42)
    assert table("### 2017-12-01, all items (`all`, 40 users)")[2:] == [
        "| two_stage | 0.4600 | +0.0000 [+0.0000, +0.0000] | 0.4600 | 0.4600 | 0.4600 | 0.4600 "
        "| 60.1 | 900 |",
        "| **published** | 0.4600 |  | 0.4600 | 0.4600 | 0.4600 | 0.4600 | 60.1 | 900 |",
        f"| ease | 0.3000 | {interval} | 0.3000 | 0.3000 | 0.3000 | 0.3000 | 2.0 | 300 |",
        f"| popularity | 0.1000 | +0.3600 [{worse.low:+.4f}, {worse.high:+.4f}] | 0.1000 | 0.1000 "
        "| 0.1000 | 0.1000 | 1.0 | - |",
    ]
    assert table("## Segments, `published`, cut 2017-12-01")[2:] == [
        "| all | age | 19-24 | 30 | 0.5000 | 0.2500 |"
    ]
    assert "Published: `all` by `two_stage`, `discover` by `ease`." in lines
    assert any("judged on 2017-12-01 to 2018-01-01" in line for line in lines)
    assert any("among `popularity`, `two_stage` on the window before" in line for line in lines)


@pytest.mark.parametrize(
    ("discover", "compared"),
    [("ease", ["two_stage", "ease", "popularity"]), ("two_stage", ["ease", "popularity"])],
)
def test_what_is_published_everywhere_is_not_compared_with_itself(
    result: CutResult, discover: str, compared: list[str]
) -> None:
    result = replace(result, choice={"all": "two_stage", "discover": discover})
    about = Run(
        lines=1,
        users=1,
        items=1,
        seed=1,
        competing=(),
        recipes={},
        lists=Path("lists"),
        cold=Cold(),
    )
    text = page([result], about)
    overall_rows = text.split("## All cuts together")[1].split("## Cut")[0].splitlines()
    rows = [line.split(" | ")[0] for line in overall_rows if line.startswith("| ")]
    assert rows == ["| method", *(f"| {method}" for method in compared)]


@pytest.mark.parametrize(
    ("ndcg", "said"),
    [(0.4, "**missed** by 0.0500"), (0.45, "met"), (0.47, "met, and the aim")],
)
def test_a_missed_target_is_said_plainly(result: CutResult, ndcg: float, said: str) -> None:
    result.outcomes["published"].test["all"].metrics["ndcg@10"] = ndcg
    about = Run(1, 1, 1, 42, (), {}, Path("lists"), Cold())
    row = next(line for line in page([result], about).splitlines() if "`published` | ≥" in line)
    assert row.endswith(f"| {said} |")


def test_the_cuts_are_four_months_each_with_the_night_s_validation_window() -> None:
    cuts = measure.cuts(load(CONFIG))
    assert [(cut.validation_start, cut.start, cut.end) for cut in cuts] == [
        (date(2017, 8, 4), date(2017, 9, 1), date(2017, 10, 1)),
        (date(2017, 9, 3), date(2017, 10, 1), date(2017, 11, 1)),
        (date(2017, 10, 4), date(2017, 11, 1), date(2017, 12, 1)),
        (date(2017, 11, 3), date(2017, 12, 1), date(2018, 1, 2)),
    ]
    assert measure.cuts(load(CONFIG), [date(2017, 11, 1)]) == (cuts[2],)
    with pytest.raises(ConfigurationError, match="no cut at 2017-11-02; there are 2017-09-01,"):
        measure.cuts(load(CONFIG), [date(2017, 11, 2)])


def test_lists_are_rows_from_rank_1_without_empty_places() -> None:
    ids = np.array(["x", "y", "z"], dtype=object)
    item = np.array([[2, 0], [1, -1]], dtype=np.int32)
    rows = list_rows(np.array(["a", "b"], dtype=object), item, ids)
    assert rows.to_pydict() == {
        "user_id": ["a", "a", "b"],
        "item_id": ["z", "x", "y"],
        "rank": [1, 2, 1],
    }


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests' shop in Complete Journey's files, with lines that are no sales."""
    folder = tmp_path_factory.mktemp("data")
    events = shop.events()
    newcomers = pd.DataFrame(
        {
            "user_id": ["u70", "u00"],
            "item_id": ["i02", f"i{shop.UNSOLD_ITEM}"],
            "event_date": pd.Timestamp(shop.AS_OF) + pd.Timedelta(days=1),
            "quantity": 1.0,
            "value": 2.0,
        }
    )
    returns = events.head(5).assign(quantity=0.0)
    free = events.head(7).assign(value=0.0)
    lines = pd.concat([events, newcomers, returns, free])
    pd.DataFrame(
        {
            "household_id": lines["user_id"].str[1:].astype(int),
            "store_id": 1,
            "basket_id": 1,
            "product_id": lines["item_id"].str[1:].astype(int),
            "quantity": lines["quantity"].astype(int),
            "sales_value": lines["value"],
            "retail_disc": 0.0,
            "transaction_timestamp": lines["event_date"] + pd.Timedelta(hours=23, minutes=59),
        }
    ).to_parquet(folder / "transactions.parquet")
    items = shop.item_features()
    pd.DataFrame(
        {
            "product_id": items["item_id"].str[1:].astype(int),
            "manufacturer_id": 1,
            "department": items["department"],
            "brand": items["brand"],
            "product_category": items["category"],
            "product_type": items["product_type"],
            "package_size": None,
        }
    ).to_parquet(folder / "products.parquet")
    users = pd.DataFrame({"household_id": [0, 1, 2], "age": ["19-24", "65+", None]})
    for name in load(CONFIG).sources[2].attributes:
        if name != "age":
            users[name] = "some"
    users.to_parquet(folder / "demographics.parquet")
    return folder


@pytest.fixture(scope="module")
def settings() -> Settings:
    given = load(CONFIG)
    small = {
        "methods": ("popularity", "decayed_counts", "two_stage"),
        "test_days": 20,
        "validation_days": 20,
    }
    models = Models.model_validate(
        {"lightfm": {"components": 4, "max_epochs": 2}, "two_stage": {"rounds": 5}}
    )
    train = given.train.model_copy(update=small)
    return given.model_copy(update={"train": train, "models": models})


def test_the_shop_is_read_as_delivered(settings: Settings, delivered: Path) -> None:
    data = read_shop(settings, delivered)
    assert len(data.interactions) == len(shop.events()) + 2
    assert data.interactions.items == shop.ITEMS
    context = data.context(shop.AS_OF)
    sold = np.bincount(context.interactions.item, minlength=shop.ITEMS) > 0
    assert context.sellable.tolist() == sold.tolist()
    assert context.user_attributes["age"].isna().sum() == data.interactions.users - 2
    (delivered / "other").mkdir()
    with pytest.raises(ConfigurationError, match=r"source transactions: no file .*other"):
        read_shop(settings, delivered / "other")


def test_quality_from_end_to_end(settings: Settings, delivered: Path, tmp_path: Path) -> None:
    start = shop.AS_OF
    cut = Cut(start - timedelta(days=20), start, start + timedelta(days=20))
    methods = ("ease", "lightfm")
    results = measure.run(
        settings,
        data=delivered,
        out=tmp_path,
        lists=tmp_path / "lists",
        at=[cut],
        methods=methods,
    )

    names = {*settings.train.methods, *methods, "published"}
    figures = json.loads((tmp_path / "quality.json").read_text())["complete_journey"]
    by_protocol = figures[start.isoformat()]
    assert {name: set(found) for name, found in by_protocol.items()} == dict.fromkeys(
        PROTOCOLS, names
    )
    files = {path.name for path in (tmp_path / "lists").iterdir()}
    assert files == {f"{start}_{p}_{name}.parquet" for p in PROTOCOLS for name in names}
    for list_name, method in results[0].choice.items():
        assert by_protocol[list_name]["published"] == by_protocol[list_name][method]
    assert f"## Cut {start}" in (tmp_path / "quality.md").read_text()

    # The lists tell an independent judge the same.
    lines = pd.read_parquet(delivered / "transactions.parquet")
    lines = lines[(lines["quantity"] > 0) & (lines["sales_value"] > 0)].astype(
        {"household_id": str, "product_id": str}
    )
    day = lines["transaction_timestamp"].dt.date
    before, window = lines[day < start], lines[(day >= start) & (day < cut.end)]
    known = window[
        window["household_id"].isin(before["household_id"])
        & window["product_id"].isin(before["product_id"])
    ]
    truth: dict[str, dict[str, int]] = {}
    for user, item in zip(known["household_id"], known["product_id"], strict=True):
        truth.setdefault(user, {})[item] = 1
    judge = pytrec_eval.RelevanceEvaluator(truth, {"ndcg_cut.10", "recall.10"})
    for name in names:
        listed = pq.read_table(tmp_path / "lists" / f"{start}_all_{name}.parquet").to_pandas()
        scored: dict[str, dict[str, float]] = {}
        for user, item, rank in listed.itertuples(index=False):
            scored.setdefault(user, {})[item] = -float(rank)
        judged = judge.evaluate(scored)
        assert set(judged) == set(truth)
        for theirs, ours in (("ndcg_cut_10", "ndcg@10"), ("recall_10", "recall@10")):
            mean = math.fsum(of[theirs] for of in judged.values()) / len(judged)
            assert by_protocol["all"][name][ours] == pytest.approx(mean, abs=1e-9)


def test_a_wrong_call_of_quality_is_one_line() -> None:
    for arguments, said in (
        (["--cut", "2017-9-1"], "--cut '2017-9-1' is no date; give YYYY-MM-DD."),
        (["--cut", "2017-09-02"], "no cut at 2017-09-02; there are 2017-09-01, 2017-10-01,"),
        (["--methods", "nearest"], "no method 'nearest'; there are buy_again, category_pop"),
    ):
        done = CliRunner().invoke(app, ["--config", str(CONFIG), *arguments])
        assert done.exit_code == 2
        assert done.stderr.startswith(f"topshelf quality: {said}")
