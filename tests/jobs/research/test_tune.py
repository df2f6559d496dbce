"""Tuning: what it looks at, how it searches, what it proposes, and that it goes on after a kill."""

import tomllib
from datetime import date, timedelta
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from jobs.cli.main import app
from jobs.config.settings import Settings
from jobs.night.outcomes import read_report
from jobs.night.recipes import recipe
from jobs.research import tune
from jobs.research.tracked_runs import open_runs
from jobs.research.tune import Proposal, proposal_path, tunable
from lakehouse.errors import DataError
from models.core.context import Context
from models.core.interactions import day_number
from models.core.parameters import Range
from models.evaluation.protocol import Evaluation
from models.lists.path import DEFAULT_POLICY
from models.selection.split import Nights
from models.selection.tuning import Found, Parameters, Report, relative, search, windows
from tests import shop as made_up
from tests.nights import NIGHT, settings_in, shop, write_lake

SPACE = {"depth": Range(1, 9), "rate": Range(0.01, 1.0, log=True)}
NOW = {"depth": 5, "rate": 0.1}

# The number of a trial, and what it tried.
Seen: TypeAlias = tuple[int, Parameters]


def worth(parameters: Parameters) -> float:
    """Best, 1.5, at depth 7 and rate 0.1; the present parameters are worth 1."""
    distance = abs(np.log10(parameters["rate"]) + 1)
    return 1.5 - 0.25 * abs(parameters["depth"] - 7) - float(distance)


def look(journal: Path, trials: int, seen: list[Seen], *, stop_after: int | None = None) -> Found:
    def trial(number: int, parameters: Parameters, give_up: Report) -> float:
        if stop_after is not None and len(seen) == stop_after:
            raise KeyboardInterrupt
        seen.append((number, dict(parameters)))
        return worth(parameters)

    return search("study", journal, SPACE, NOW, trial, trials=trials, seed=3)


def test_a_search_finds_better_parameters_and_repeats_with_its_seed(tmp_path: Path) -> None:
    first: list[Seen] = []
    again: list[Seen] = []
    found = look(tmp_path / "one", 25, first)
    assert found == look(tmp_path / "two", 25, again)
    assert first == again
    assert [number for number, _ in first] == list(range(1, 26))
    assert (found.trials, found.pruned) == (25, 0)
    assert found.value == max(worth(parameters) for _, parameters in first) > 1
    assert worth(found.best) == found.value
    assert all(isinstance(parameters["depth"], int) for _, parameters in first)


def test_a_search_that_was_stopped_goes_on(tmp_path: Path) -> None:
    seen: list[Seen] = []
    with pytest.raises(KeyboardInterrupt):
        look(tmp_path / "journal", 8, seen, stop_after=5)
    found = look(tmp_path / "journal", 8, seen)
    assert (len(seen), found.trials) == (8, 8)
    # Nothing is tried twice for want of a new seed.
    assert len({tuple(parameters.items()) for _, parameters in seen}) == 8
    assert found.value == max(1, *(worth(parameters) for _, parameters in seen))
    assert look(tmp_path / "journal", 8, seen) == found
    assert len(seen) == 8


def test_without_a_better_trial_the_present_parameters_stay(tmp_path: Path) -> None:
    def trial(number: int, parameters: Parameters, give_up: Report) -> float:
        return 0.9

    found = search("study", tmp_path / "journal", SPACE, NOW, trial, trials=3, seed=3)
    assert found == Found(NOW, 1.0, 3, 0)


def test_a_trial_below_the_median_is_given_up(tmp_path: Path) -> None:
    given_up = []

    def trial(number: int, parameters: Parameters, give_up: Report) -> float | None:
        value = 0.5 if number > 6 else 1 + number / 10
        if give_up(0, value):
            given_up.append(number)
            return None
        return value

    found = search("study", tmp_path / "journal", SPACE, NOW, trial, trials=8, seed=3)
    assert given_up == [7, 8]
    assert (found.value, found.trials, found.pruned) == (1.6, 8, 2)


def test_present_parameters_outside_the_ranges_are_no_obstacle(tmp_path: Path) -> None:
    now = {"depth": 50, "rate": 5.0}
    found = search("s", tmp_path / "j", SPACE, now, lambda *_: 0.5, trials=1, seed=3)
    assert found == Found(now, 1.0, 1, 0)


def evaluation(ndcg: float) -> Evaluation:
    users = np.arange(4, dtype=np.int32)
    return Evaluation(users, {"ndcg@10": ndcg}, {"ndcg@10": np.full(4, ndcg)})


def test_lists_count_alike_whatever_their_level() -> None:
    now = {"all": evaluation(0.4), "discover": evaluation(0.05)}
    found = {"all": evaluation(0.2), "discover": evaluation(0.1)}
    assert relative(found, now) == pytest.approx((0.5 + 2) / 2)
    assert relative(now, now) == 1
    nothing = {"all": evaluation(0.0), "discover": evaluation(0.05)}
    assert relative(nothing, nothing) == 1


def nights() -> Nights:
    events = made_up.interactions()

    def context(day: date) -> Context:
        return Context.build(
            events,
            as_of=day,
            user_features=pd.DataFrame({"user_id": ["u00"], "events_total": [7]}),
            user_attributes=made_up.user_attributes(),
            item_features=made_up.item_features().assign(price_band=2),
        )

    start = made_up.AS_OF
    return Nights(
        interactions=events,
        validation=context(start - timedelta(days=20)),
        test=context(start),
        today=context(start + timedelta(days=20)),
    )


def test_windows_lie_before_the_test_window_and_know_nothing_later() -> None:
    found = windows(nights(), 3, DEFAULT_POLICY)
    start = made_up.AS_OF
    for place, split in enumerate(found):
        first = start - timedelta(days=20 * (place + 1))
        assert split.nights.validation.as_of == first
        assert split.nights.test.as_of == first + timedelta(days=20)
        assert np.max(split.nights.validation.interactions.day) < day_number(first)
        assert np.max(split.nights.interactions.day) < day_number(first + timedelta(days=20))
        assert set(split.validation) == {"all", "discover"}
        assert split.test == {}
    newest, older, _ = (split.nights.validation for split in found)
    assert "price_band" in newest.item_features
    assert list(newest.user_features) == ["events_total"]
    # The features are of a later night.
    assert "price_band" not in older.item_features
    assert list(older.user_features) == []
    assert {"product_type", "tags"} <= set(older.item_features)
    sold = np.bincount(older.interactions.item, minlength=made_up.ITEMS) > 0
    assert older.sellable.tolist() == sold.tolist()


def test_windows_end_with_the_history() -> None:
    # Of 90 days before the test window.
    assert len(windows(nights(), 99, DEFAULT_POLICY)) == 4


def test_a_newest_window_without_anybody_is_an_error() -> None:
    given = nights()
    empty = Nights(
        given.interactions.before(given.validation.as_of),
        *(
            Context.build(given.interactions, as_of=day)
            for day in (given.validation.as_of, given.test.as_of, given.today.as_of)
        ),
    )
    with pytest.raises(DataError, match=r"no events from 2024-.* `\[train\] test_days`"):
        windows(empty, 2, DEFAULT_POLICY)


def test_a_proposal_says_what_speaks_for_it() -> None:
    proposal = Proposal(
        method="two_stage",
        run_date=date(2018, 1, 2),
        first_day=date(2017, 10, 30),
        last_day=date(2017, 11, 30),
        found=Found({"rounds": 150, "learning_rate": 0.05}, 1.05, 20, 7),
        now={"all": evaluation(0.25), "discover": evaluation(0.5)},
        then={"all": evaluation(0.5), "discover": evaluation(0.25)},
        seed=42,
    )
    assert proposal.toml() == (
        "# topshelf tune --run-date 2018-01-02 --method two_stage\n"
        "# 20 trials, 7 of them given up early; seed 42.\n"
        "# NDCG@10 on 2017-10-30 to 2017-11-30, as configured and as proposed,\n"
        "# and the difference with its 95% interval (paired bootstrap):\n"
        "#   all      0.2500 0.5000 +0.2500 [+0.2500, +0.2500]\n"
        "#   discover 0.5000 0.2500 -0.2500 [-0.2500, -0.2500]\n"
        "# They were chosen on these very days, so that less is to be expected of others.\n"
        "# Nothing uses this file: copy what you want to try; the gate decides.\n"
        "\n"
        "[models.two_stage]\n"
        "rounds = 150\n"
        "learning_rate = 0.05\n"
    )


def test_a_proposal_of_the_present_parameters_says_so() -> None:
    same = {"all": evaluation(0.25), "discover": evaluation(0.5)}
    day = date(2018, 1, 2)
    found = Found({"rounds": 100}, 1.0, 3, 0)
    proposal = Proposal("two_stage", day, day, day, found, now=same, then=same, seed=42)
    assert "# No trial did better over all windows: these are the present" in proposal.toml()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = settings_in(tmp_path_factory.mktemp("night"))
    write_lake(settings, *shop())
    return settings


def test_what_can_be_tuned_is_said_beside_the_parameters() -> None:
    assert {name: set(places) for name, places in tunable().items()} == {
        "decayed_counts": {"half_life_days"},
        "hybrid_lightfm": {"components", "learning_rate"},
        "lightfm": {"components", "learning_rate"},
        "two_stage": {"rounds", "learning_rate", "leaves", "popularity_penalty"},
    }


def test_every_range_holds_the_present_value_and_is_allowed(settings: Settings) -> None:
    for method, places in tunable().items():
        now = recipe(method, settings).build()
        for name, place in places.items():
            assert type(now)().parameters[name] in place, (method, name)
            for value in (place.low, place.high):
                assert now.changed(**{name: value}).parameters[name] == value


def test_a_night_is_tuned_from_end_to_end(settings: Settings) -> None:
    report = tune.run(settings, run_date=NIGHT, method="decayed_counts", trials=4)
    assert report.rows["trials"] == 4
    path = proposal_path(settings.paths.runs, NIGHT)
    assert report.facts["proposal"] == str(path)
    proposed = tomllib.loads(path.read_text())
    assert proposed == {"models": {"decayed_counts": report.facts["parameters"]}}
    assert list(proposed["models"]["decayed_counts"]) == ["half_life_days"]
    assert read_report(settings.paths.lake, NIGHT, "tune") == report

    registry = open_runs(settings, "tuning")
    experiment = registry.client.get_experiment_by_name("nightly_tuning")
    assert experiment is not None
    runs = {
        run.info.run_name: run for run in registry.client.search_runs([experiment.experiment_id])
    }
    assert set(runs) == {f"tune {NIGHT}", *(f"trial {number}" for number in range(1, 5))}
    parent = runs[f"tune {NIGHT}"]
    assert [file.path for file in registry.client.list_artifacts(parent.info.run_id)] == [
        "proposal.toml"
    ]
    assert parent.data.tags["method"] == "decayed_counts"
    trial = runs["trial 1"]
    assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert 15 <= float(trial.data.params["half_life_days"]) <= 365
    assert {"relative", "all/ndcg_at_10", "discover/ndcg_at_10"} <= set(trial.data.metrics)
    assert not registry.client.search_model_versions("name = 'topshelf'")

    more = tune.run(settings, run_date=NIGHT, method="decayed_counts", trials=5)
    assert more.rows["trials"] == 5
    assert len(registry.client.search_runs([experiment.experiment_id])) == 5 + 2


def test_the_command_prints_the_proposal(settings: Settings) -> None:
    folder = settings.paths.runs.parent
    call = ["tune", "--config", str(folder / "config.toml"), "--run-date", str(NIGHT)]
    done = CliRunner().invoke(app, [*call, "--method", "decayed_counts", "--trials", "1"])
    assert done.exit_code == 0
    first, rest = done.stdout.split("\n", 1)
    assert first.startswith("topshelf tune: trials ")
    assert rest == proposal_path(settings.paths.runs, NIGHT).read_text()

    wrong = CliRunner().invoke(app, [*call, "--method", "ease"])
    assert wrong.exit_code == 2
    assert wrong.stderr == (
        "topshelf tune: --method 'ease' cannot be tuned; give one of decayed_counts, "
        "hybrid_lightfm, lightfm, two_stage.\n"
    )
