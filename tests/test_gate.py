"""The verdict's rules on planted figures, and the gate's job on a real registry."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from jobs import gate
from jobs.config import Settings
from jobs.night import newest_versions
from jobs.train import open_registry, read_nights
from lakehouse.errors import DataError
from models.base import BaseRecommender, Lists
from models.bootstrap import Difference
from models.gate import Limits, ListFigures, Served, decide, served
from models.recipe import Recipe
from models.training import judge
from tests.nights import COUNTS, NIGHT, POPULARITY, plant, settings_in, shop, write_lake

LIMITS = Limits(tolerance=0.01, coverage_ratio=0.5, constant_share=0.95)
SANE = Served(finite=True, constant_share=0.1, coverage=0.2)
FIRST = ListFigures("all", SANE, 0.40)
USUAL = replace(FIRST, champion=SANE, champion_ndcg=0.40)


def broken_rules(figures: ListFigures) -> list[str]:
    return [check.rule for check in decide([figures], LIMITS).checks if not check.passed]


@pytest.mark.parametrize(
    ("figures", "broken"),
    [
        pytest.param(FIRST, [], id="first night, sane"),
        pytest.param(USUAL, [], id="same recipe"),
        pytest.param(replace(FIRST, challenger=replace(SANE, finite=False)), ["finite"], id="NaN"),
        pytest.param(
            replace(FIRST, challenger=replace(SANE, constant_share=0.96)),
            ["constant lists"],
            id="constant scores",
        ),
        pytest.param(
            replace(FIRST, challenger=replace(SANE, coverage=0.0)), ["coverage@10"], id="no items"
        ),
        pytest.param(
            replace(USUAL, challenger=replace(SANE, coverage=0.099)),
            ["coverage@10"],
            id="lists collapse",
        ),
        pytest.param(
            replace(USUAL, challenger=replace(SANE, coverage=0.1)), [], id="coverage at its bound"
        ),
        pytest.param(replace(FIRST, challenger_ndcg=math.nan), ["ndcg@10"], id="NDCG is no number"),
        pytest.param(
            replace(USUAL, difference=Difference(0.02, 0.01, 0.03)), [], id="surely better"
        ),
        pytest.param(
            replace(USUAL, difference=Difference(-0.004, -0.006, -0.002)),
            [],
            id="surely worse, within the tolerance of 0.01 * 0.40",
        ),
        pytest.param(
            replace(USUAL, difference=Difference(-0.02, -0.05, 0.0)),
            [],
            id="worse, but 0 is in the interval",
        ),
        pytest.param(
            replace(USUAL, difference=Difference(-0.02, -0.03, -0.01)),
            ["ndcg@10"],
            id="surely worse",
        ),
        pytest.param(
            replace(USUAL, difference=Difference(math.nan, math.nan, math.nan)),
            ["ndcg@10"],
            id="no difference to be had",
        ),
    ],
)
def test_verdict(figures: ListFigures, broken: list[str]) -> None:
    assert broken_rules(figures) == broken
    assert decide([figures], LIMITS).passed == (not broken)


def test_the_verdict_reads_as_a_table_with_reasons() -> None:
    worse = replace(USUAL, difference=Difference(-0.02, -0.03, -0.01))
    verdict = decide([worse], LIMITS)
    assert verdict.table() == (
        "list  rule            challenger  champion  verdict  asked\n"
        "all   finite          1.0000      1.0000    pass     1\n"
        "all   constant lists  0.1000      0.1000    pass     at most 0.95\n"
        "all   coverage@10     0.2000      0.2000    pass     at least 0.1000\n"
        "all   ndcg@10         0.4000      0.4000    REFUSED  difference at least -0.0040, or 0"
        " within its interval: -0.0200 [-0.0300, -0.0100]"
    )
    assert verdict.reasons == (
        "list all: ndcg@10 is 0.4; asked: difference at least -0.0040, or 0 within its interval: "
        "-0.0200 [-0.0300, -0.0100]",
    )


def lists(item: list[list[int]], score: list[list[float]], source: list[list[int]]) -> Lists:
    return Lists(
        np.array(item, dtype=np.int32),
        np.array(score, dtype=np.float32),
        np.array(source, dtype=np.int8),
        ("lightfm", "popularity"),
    )


def test_served_looks_at_the_lists_own_method_and_leaves_out_single_items() -> None:
    several = lists(
        [[0, 1, 2], [2, 1, 0], [1, 3, -1], [1, -1, -1]],
        [[5, 5, 1], [3, 2, 1], [9, 4, 0], [7, 0, 0]],
        [[0, 0, 1], [0, 0, 0], [0, 1, -1], [0, -1, -1]],
    )
    # Row 0 is constant in its own two items, row 1 is not, rows 2 and 3 have one item of their own.
    assert served(several, sellable=8, finite=True) == Served(True, 0.5, 4 / 8)


def test_served_finds_scores_that_are_no_numbers() -> None:
    broken = lists([[0, 1]], [[math.inf, 1]], [[0, 0]])
    assert not served(broken, sellable=2, finite=True).finite
    assert not served(lists([[0, 1]], [[2, 1]], [[0, 0]]), sellable=2, finite=False).finite


def test_served_of_nobody() -> None:
    nobody = lists([[-1, -1]], [[0, 0]], [[-1, -1]])
    assert served(nobody, sellable=0, finite=True) == Served(True, 0.0, 0.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = settings_in(tmp_path)
    write_lake(settings, *shop())
    return settings


REPEATING = {"all": COUNTS, "discover": POPULARITY}


def champion_of(settings: Settings) -> str | None:
    champion = open_registry(settings).champion()
    return None if champion is None else champion.label


def test_the_first_sane_night_becomes_champion_and_a_second_run_changes_nothing(
    settings: Settings,
) -> None:
    version = plant(settings, REPEATING)
    for champion_before in (None, "topshelf/1"):
        report = gate.run(settings, run_date=NIGHT)
        assert report.facts["accepted"] is True
        assert report.facts["promoted"] is True
        assert report.facts["challenger"] == "topshelf/1"
        assert report.facts["champion"] == champion_before
        assert report.warnings == ()
        assert champion_of(settings) == "topshelf/1"
    registry = open_registry(settings)
    assert registry.passed(NIGHT) == replace(version, passed=True)
    run = registry.client.get_run(version.run_id)
    assert run.data.tags["gate"] == "passed"
    assert run.data.metrics["gate_all/ndcg_at_10.challenger"] == 0.5
    assert "gate.txt" in [file.path for file in registry.client.list_artifacts(version.run_id)]


def test_a_worse_challenger_is_refused_and_the_champion_stays(settings: Settings) -> None:
    plant(settings, REPEATING)
    gate.run(settings, run_date=NIGHT)
    plant(
        settings,
        {"all": POPULARITY, "discover": POPULARITY},
        ndcg={"decayed_counts": 0.4, "popularity": 0.2},
    )
    report = gate.run(settings, run_date=NIGHT)

    assert (report.facts["accepted"], report.facts["promoted"]) == (False, False)
    assert [reason.partition(" is ")[0] for reason in report.warnings] == [
        "list all: coverage@10",
        "list all: ndcg@10",
    ]
    assert "-0.2000 [-0.2000, -0.2000]" in str(report.facts["table"])
    registry = open_registry(settings)
    assert champion_of(settings) == "topshelf/1"
    assert registry.client.get_model_version("topshelf", "2").tags["gate"] == "refused"
    assert registry.passed(NIGHT).label == "topshelf/1"


def test_lists_that_collapse_to_the_popular_are_refused(settings: Settings) -> None:
    plant(settings, REPEATING)
    gate.run(settings, run_date=NIGHT)
    plant(settings, {"all": POPULARITY, "discover": POPULARITY}, ndcg={"decayed_counts": 0.5})
    report = gate.run(settings, run_date=NIGHT)
    assert report.facts["accepted"] is False
    assert [reason.partition(" is ")[0] for reason in report.warnings] == ["list all: coverage@10"]


def _no_number(model: BaseRecommender) -> None:
    if model.kind == "decayed_counts":
        model._scores[0] = math.nan


def _constant(model: BaseRecommender) -> None:
    if model.kind == "decayed_counts":
        model._scores[:] = 1.0


@pytest.mark.parametrize(
    ("damage", "reason"), [(_no_number, "finite"), (_constant, "constant lists")]
)
def test_a_corrupted_model_is_refused(
    settings: Settings, damage: Callable[[BaseRecommender], None], reason: str
) -> None:
    plant(settings, REPEATING, damage=damage)
    report = gate.run(settings, run_date=NIGHT)
    assert report.facts["accepted"] is False
    assert f"list all: {reason}" in [text.partition(" is ")[0] for text in report.warnings]
    assert champion_of(settings) is None
    with pytest.raises(DataError, match="has passed the gate"):
        open_registry(settings).passed(NIGHT)


def test_another_recipe_of_the_champion_is_fitted_anew_on_the_same_window(
    settings: Settings,
) -> None:
    short = Recipe("decayed_counts", {**COUNTS.parameters, "half_life_days": 1.0})
    plant(settings, {"all": short, "discover": POPULARITY})
    gate.run(settings, run_date=NIGHT)
    plant(settings, REPEATING, ndcg={"decayed_counts": 1.0, "popularity": 0.5})
    report = gate.run(settings, run_date=NIGHT)

    nights = read_nights(settings, newest_versions(settings.paths.lake), run_date=NIGHT)
    refitted = judge(short, nights, "all").metrics["ndcg@10"]
    assert 0 < refitted < 1
    figures = re.search(r"^all +ndcg@10 +(.*?)  diff", str(report.facts["table"]), re.MULTILINE)
    assert figures is not None
    assert figures[1].split() == ["1.0000", f"{refitted:.4f}", "pass"]
    assert report.facts["accepted"] is True


def test_a_backfilled_night_passes_but_does_not_take_over(settings: Settings) -> None:
    later = NIGHT + timedelta(days=1)
    write_lake(settings, *shop(), night=later)
    plant(settings, REPEATING, night=later)
    gate.run(settings, run_date=later)
    plant(settings, REPEATING)
    report = gate.run(settings, run_date=NIGHT)

    assert (report.facts["accepted"], report.facts["promoted"]) == (True, False)
    assert champion_of(settings) == "topshelf/1"
    assert open_registry(settings).passed(NIGHT).label == "topshelf/2"
