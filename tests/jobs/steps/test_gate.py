"""The verdict's rules on planted figures, and the gate's job on a real registry."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from jobs.config.settings import Settings
from jobs.night.inputs import newest_versions, read_nights
from jobs.night.job_report import StepFailure
from jobs.night.outcomes import keep
from jobs.night.recipes import policy
from jobs.night.registry import open_registry
from jobs.operate.promote import promote
from jobs.steps import gate
from lakehouse.errors import DataError
from models.core.base import BaseRecommender
from models.core.lists import NO_RULE, Lists
from models.evaluation.bootstrap import Difference
from models.recommenders.decayed_counts import DecayedCounts
from models.selection.gate import (
    Limits,
    ListFigures,
    Rival,
    Segment,
    Served,
    decide,
    served,
    share_of_others,
)
from models.selection.recipe import Recipe
from models.selection.training import judge
from tests.nights import COUNTS, NIGHT, POPULARITY, plant, settings_in, shop, write_lake

LIMITS = Limits(
    tolerance=0.01,
    coverage_ratio=0.5,
    constant_share=0.95,
    popular_share=0.9,
    churn=0.8,
    cold_user_days=5,
    cold_users=30,
    cold_tolerance=0.1,
)
SANE = Served(finite=True, constant_share=0.1, coverage=0.2, popular_share=0.3)
BETTER = Difference(0.02, 0.01, 0.03)
AS_GOOD = Difference(-0.004, -0.009, 0.0)
WORSE = Difference(-0.02, -0.03, -0.01)
NO_NUMBER = Difference(math.nan, math.nan, math.nan)
COLD = Segment(40, 0.30, (Rival("popularity", 0.30, AS_GOOD),))
FIRST = ListFigures("all", SANE, 0.40, (Rival("popularity", 0.38, BETTER),), COLD)
USUAL = replace(FIRST, champion=SANE, champion_recipe=Rival("champion", 0.40, None), churn=0.8)


def against_champion(difference: Difference) -> ListFigures:
    return replace(USUAL, champion_recipe=Rival("champion", 0.40, difference))


def against_heuristic(difference: Difference, *, is_heuristic: bool = False) -> ListFigures:
    rivals = (Rival("popularity", 0.38, BETTER), Rival("user_knn", 0.40, difference))
    return replace(FIRST, heuristics=rivals, is_heuristic=is_heuristic)


def cold(users: int, *differences: Difference | None) -> ListFigures:
    rivals = tuple(Rival(f"rival {n}", 0.30, d) for n, d in enumerate(differences))
    return replace(FIRST, cold=Segment(users, 0.28, rivals))


def popular(share: float | None, *, is_popularity: bool = False) -> ListFigures:
    shown = replace(SANE, popular_share=share)
    return replace(FIRST, challenger=shown, is_heuristic=True, is_popularity=is_popularity)


def broken_rules(figures: ListFigures) -> list[str]:
    return [check.rule for check in decide([figures], LIMITS).checks if not check.passed]


@pytest.mark.parametrize(
    ("figures", "broken"),
    [
        pytest.param(FIRST, [], id="first night, sane"),
        pytest.param(USUAL, [], id="same recipe, churn at its bound"),
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
        pytest.param(popular(0.91), ["popular items@10"], id="the popular items take the places"),
        pytest.param(popular(0.9), [], id="popular items at their bound"),
        pytest.param(popular(1.0, is_popularity=True), [], id="the list of popular items won"),
        pytest.param(popular(None), [], id="catalogue too small to tell"),
        pytest.param(replace(USUAL, churn=0.81), ["churn@10"], id="lists of other items"),
        pytest.param(replace(FIRST, ndcg=math.nan), ["ndcg@10"], id="NDCG is no number"),
        pytest.param(against_champion(BETTER), [], id="surely better than the champion"),
        pytest.param(
            against_champion(Difference(-0.004, -0.006, -0.002)),
            [],
            id="surely worse, within the tolerance of 0.01 * 0.40",
        ),
        pytest.param(
            against_champion(Difference(-0.02, -0.05, 0.0)), [], id="worse, 0 is in the interval"
        ),
        pytest.param(against_champion(WORSE), ["ndcg@10"], id="surely worse than the champion"),
        pytest.param(against_champion(NO_NUMBER), ["ndcg@10"], id="no difference to be had"),
        pytest.param(
            against_heuristic(Difference(0.01, 0.0, 0.02)),
            ["ndcg@10 over user_knn"],
            id="not surely better than every heuristic",
        ),
        pytest.param(
            against_heuristic(NO_NUMBER), ["ndcg@10 over user_knn"], id="heuristic, no difference"
        ),
        pytest.param(
            against_heuristic(AS_GOOD, is_heuristic=True), [], id="a heuristic as good as another"
        ),
        pytest.param(
            against_heuristic(WORSE, is_heuristic=True),
            ["ndcg@10 over user_knn"],
            id="a heuristic worse than another",
        ),
        pytest.param(replace(FIRST, heuristics=()), ["heuristics tried"], id="no heuristic tried"),
        pytest.param(
            cold(30, WORSE), [], id="cold users: worse, within the tolerance of 0.1 * 0.30"
        ),
        pytest.param(
            cold(30, None, Difference(-0.05, -0.06, -0.04)),
            ["cold ndcg@10 over rival 1"],
            id="cold users: worse by more",
        ),
        pytest.param(cold(29, Difference(-0.05, -0.06, -0.04)), [], id="too few cold users"),
        pytest.param(cold(0, NO_NUMBER), [], id="no cold users"),
    ],
)
def test_verdict(figures: ListFigures, broken: list[str]) -> None:
    assert broken_rules(figures) == broken
    assert decide([figures], LIMITS).passed == (not broken)


def test_the_verdict_reads_as_a_table_with_reasons() -> None:
    verdict = decide([against_champion(WORSE)], LIMITS, unchecked=["clean"])
    assert verdict.table().splitlines() == [
        "list   rule                          challenger  against  verdict  asked",
        "night  data checks                   0.0000      -        REFUSED  those of clean too",
        "all    finite                        1.0000      1.0000   pass     1",
        "all    constant lists                0.1000      0.1000   pass     at most 0.95",
        "all    coverage@10                   0.2000      0.2000   pass     at least 0.1000",
        "all    popular items@10              0.3000      0.3000   pass     at most 0.90",
        "all    churn@10                      0.8000      -        pass     at most 0.80",
        "all    ndcg@10                       0.4000      0.4000   REFUSED  difference at least"
        " -0.0040, or 0 within its interval: -0.0200 [-0.0300, -0.0100]",
        "all    ndcg@10 over popularity       0.4000      0.3800   pass     lower end above 0:"
        " +0.0200 [+0.0100, +0.0300]",
        "all    cold ndcg@10 over popularity  0.3000      0.3000   pass     upper end at least"
        " -0.0300: -0.0040 [-0.0090, +0.0000], 40 users",
    ]
    assert verdict.reasons == (
        "night: data checks is 0; asked: those of clean too",
        "all: ndcg@10 is 0.4; asked: difference at least -0.0040, or 0 within its interval: "
        "-0.0200 [-0.0300, -0.0100]",
    )


def lists(item: list[list[int]], score: list[list[float]], source: list[list[int]]) -> Lists:
    return Lists(
        np.array(item, dtype=np.int32),
        np.array(score, dtype=np.float32),
        np.array(source, dtype=np.int8),
        ("lightfm", "popularity"),
        np.full_like(item, NO_RULE, dtype=np.int16),
    )


def test_served_looks_at_the_lists_own_method_and_leaves_out_single_items() -> None:
    several = lists(
        [[0, 1, 2], [2, 1, 0], [1, 3, -1], [1, -1, -1]],
        [[5, 5, 1], [3, 2, 1], [9, 4, 0], [7, 0, 0]],
        [[0, 0, 1], [0, 0, 0], [0, 1, -1], [0, -1, -1]],
    )
    # Row 0 is constant in its own two items, row 1 is not, rows 2 and 3 have one item of their own.
    assert served(several, sellable=8, finite=True) == Served(True, 0.5, 4 / 8)


def test_served_counts_places_of_popular_items_in_a_catalogue_of_a_hundred() -> None:
    shown = lists([[0, 1, 2, -1], [3, 4, -1, -1]], [[4, 3, 2, 0], [2, 1, 0, 0]], [[0] * 4] * 2)
    popular = np.array([[1, 2, 9, 8], [9, 8, 7, 6]], dtype=np.int32)
    share = served(shown, sellable=100, finite=True, popular=popular).popular_share
    assert share == pytest.approx((2 / 3 + 0) / 2)
    assert served(shown, sellable=99, finite=True, popular=popular).popular_share is None


def test_share_of_others() -> None:
    now = np.array([[1, 2, 3], [4, 5, -1], [-1, -1, -1]], dtype=np.int32)
    before = np.array([[3, 2, 9], [-1, 6, 7], [1, 2, 3]], dtype=np.int32)
    # One of three is new, two of two; the third user has no list.
    assert share_of_others(now, before) == pytest.approx((1 / 3 + 1) / 2)
    assert share_of_others(now[2:], before[2:]) == 1


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
    assert registry.passed(NIGHT) == replace(version, verdict="passed")
    run = registry.client.get_run(version.run_id)
    assert run.data.tags["gate"] == "passed"
    assert run.data.metrics["gate_all/ndcg_at_10.challenger"] == 0.5
    assert "gate.txt" in [file.path for file in registry.client.list_artifacts(version.run_id)]
    assert run.data.metrics["discover/gain"] == 0.0
    page = str(registry.client.get_model_version("topshelf", "1").description).splitlines()
    assert page[0] == "## Gate: challenger topshelf/1 passes (champion topshelf/1)"
    assert (
        "| discover | ndcg@10 over decayed_counts | 0.5000 | 0.5000 | pass | "
        "upper end at least 0: +0.0000 [+0.0000, +0.0000] |"
    ) in page


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
        "all: coverage@10",
        "all: ndcg@10",
        "all: ndcg@10 over decayed_counts",
    ]
    assert "-0.2000 [-0.2000, -0.2000]" in str(report.facts["table"])
    (check,) = (
        check
        for check in cast("list[dict[str, object]]", report.facts["checks"])
        if (check["list"], check["rule"]) == ("all", "ndcg@10 over decayed_counts")
    )
    assert check == {
        "list": "all",
        "rule": "ndcg@10 over decayed_counts",
        "challenger": pytest.approx(0.2),
        "against": pytest.approx(0.4),
        "difference": pytest.approx(-0.2),
        "low": pytest.approx(-0.2),
        "high": pytest.approx(-0.2),
        "asked": "upper end at least 0",
        "passed": False,
    }
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
    assert [reason.partition(" is ")[0] for reason in report.warnings] == ["all: coverage@10"]


def _popular_only(model: BaseRecommender) -> None:
    """Without scores of its own, a list is filled up with popular items."""
    if isinstance(model, DecayedCounts):
        model._scores[:] = math.nan


def test_lists_of_popular_items_are_refused_even_on_the_first_night(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    events, items = shop()
    items |= {f"more-{number:02}": {"sellable": True} for number in range(60)}
    write_lake(settings, events, items)
    plant(settings, REPEATING)
    report = gate.run(settings, run_date=NIGHT)
    assert report.facts["accepted"] is True
    shown = [line.split() for line in str(report.facts["table"]).splitlines()]
    # Of ten places, six are popular items by choice, one to fill up; four of the users' own items
    # are popular as well.
    expected = (12 * 7 + 4) / (12 * 10)
    assert [line[3] for line in shown if line[:2] == ["all", "popular"]] == [f"{expected:.4f}"]

    plant(settings, REPEATING, damage=_popular_only)
    report = gate.run(settings, run_date=NIGHT)
    assert report.facts["accepted"] is False
    reasons = [reason.partition(" is ")[0] for reason in report.warnings]
    assert "all: popular items@10" in reasons


def test_a_night_whose_data_were_not_checked_is_refused(settings: Settings) -> None:
    plant(settings, REPEATING)
    failure = StepFailure("clean", NIGHT, 3, "silver.x breaks 1 rule")
    keep(failure, lake=settings.paths.lake, runs=settings.paths.runs)
    report = gate.run(settings, run_date=NIGHT)
    assert report.warnings == ("night: data checks is 0; asked: those of clean too",)
    assert champion_of(settings) is None


def test_a_method_no_better_than_a_heuristic_is_refused(settings: Settings) -> None:
    content = Recipe("content_based", {"popularity_half_life_days": 30.0})
    plant(
        settings,
        {"all": content, "discover": POPULARITY},
        ndcg={"content_based": 0.5, "decayed_counts": 0.5},
    )
    report = gate.run(settings, run_date=NIGHT)
    assert "all: ndcg@10 over decayed_counts" in [
        reason.partition(" is ")[0] for reason in report.warnings
    ]
    version = open_registry(settings).challenger(NIGHT)
    tags = open_registry(settings).client.get_model_version("topshelf", "1").tags
    assert (version.verdict, tags["gate.reasons"]) == ("refused", "; ".join(report.warnings))


def test_cold_users_and_churn_are_judged_against_the_champion(tmp_path: Path) -> None:
    settings = settings_in(
        tmp_path, train={"cold_user_days": 20}, gate={"cold_users": 12, "churn": 0.0}
    )
    write_lake(settings, *shop())
    plant(settings, {"all": POPULARITY, "discover": POPULARITY}, ndcg={"popularity": 0.5})
    gate.run(settings, run_date=NIGHT)
    plant(settings, REPEATING, ndcg={"decayed_counts": 0.4, "popularity": 0.5})
    report = gate.run(settings, run_date=NIGHT)
    assert [reason.partition(" is ")[0] for reason in report.warnings] == [
        "all: churn@10",
        "all: ndcg@10",
        "all: ndcg@10 over popularity",
        "all: cold ndcg@10 over champion",
        "all: cold ndcg@10 over popularity",
    ]


def _no_number(model: BaseRecommender) -> None:
    if isinstance(model, DecayedCounts):
        model._scores[0] = math.nan


def _constant(model: BaseRecommender) -> None:
    if isinstance(model, DecayedCounts):
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
    assert f"all: {reason}" in [text.partition(" is ")[0] for text in report.warnings]
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
    refitted = judge(short, nights, "all", policy(settings, NIGHT)).metrics["ndcg@10"]
    assert 0 < refitted < 1
    figures = re.search(r"^all +ndcg@10 +(.*?)  diff", str(report.facts["table"]), re.MULTILINE)
    assert figures is not None
    assert figures[1].split() == ["1.0000", f"{refitted:.4f}", "pass"]
    assert report.facts["accepted"] is True


def test_a_champion_of_another_version_of_the_code_can_be_got_rid_of(settings: Settings) -> None:
    old = Recipe("decayed_counts", {**COUNTS.parameters, "half_life_days": 1.0})
    first = plant(settings, {"all": old, "discover": POPULARITY})
    gate.run(settings, run_date=NIGHT)
    evidence = open_registry(settings).folder(first) / "evidence" / "model.json"
    evidence.write_text(evidence.read_text().replace('half_life_days": 1.0', 'window": 1.0'))
    plant(settings, REPEATING)
    with pytest.raises(DataError, match=r"champion topshelf/1 .* `topshelf promote topshelf/2`"):
        gate.run(settings, run_date=NIGHT)
    promote(settings, "topshelf/2", who="Ann", why="new code")
    assert gate.run(settings, run_date=NIGHT).facts["accepted"] is True


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
