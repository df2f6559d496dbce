"""Gate and recommend, killed at any point: nothing is half done, and a second run makes it whole.

Before the kill version 1 is champion and its lists are written; the killed step is at work on
version 2, of other lists.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import mlflow
import numpy as np
import pytest

from jobs.config.settings import Settings, load
from jobs.night.registry import open_registry
from jobs.steps import gate, recommend
from lakehouse.io import arrow
from lakehouse.tables import RECOMMENDATIONS
from models.selection.recipe import Recipe
from tests.killing import forked
from tests.nights import COUNTS, NIGHT, POPULARITY, Night, plant, settings_in, shop, write_lake

DELAYS = np.random.default_rng(7).uniform(0.1, 1.5, size=2).round(2).tolist()
State = dict[str, Any]
RECENT = Recipe("decayed_counts", {**COUNTS.parameters, "half_life_days": 5.0})


def state(settings: Settings) -> State:
    """What a later step, or a person, would find."""
    registry = open_registry(settings)
    champion = registry.champion()
    return {
        "champion": champion and champion.label,
        "verdicts": [registry.version(number).verdict for number in "12"],
        "lists": sorted(
            tuple(row.values())
            for row in arrow.read(settings.paths.lake, RECOMMENDATIONS).to_pylist()
        ),
    }


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """Version 1 serves, version 2 is trained."""
    settings = settings_in(tmp_path_factory.mktemp("night"))
    write_lake(settings, *shop())
    plant(settings, {"all": COUNTS, "discover": POPULARITY})
    gate.run(settings, run_date=NIGHT)
    recommend.run(settings, run_date=NIGHT)
    better = {"decayed_counts": 1.0, "popularity": 0.5}
    plant(settings, {"all": RECENT, "discover": POPULARITY}, ndcg=better)
    return Night.copied(settings, tmp_path_factory.mktemp("copies") / "night")


@pytest.fixture(scope="module")
def undisturbed(prepared: Night) -> list[State]:
    """The states before the gate, after it, and after recommend."""
    states = [state(prepared.settings)]
    for step in (gate, recommend):
        step.run(prepared.settings, run_date=NIGHT)
        states.append(state(prepared.settings))
    assert [s["champion"] for s in states] == ["topshelf/1", "topshelf/2", "topshelf/2"]
    assert states[0]["lists"] == states[1]["lists"] != states[2]["lists"]
    return states


@pytest.fixture
def night(prepared: Night, undisturbed: list[State]) -> Night:
    prepared.restore()
    assert state(prepared.settings) == undisturbed[0]
    return prepared


def _die(*_: Any, **__: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _run_step(name: str, config: Path, killed_at: str | None) -> None:
    if killed_at == "arrow.replace":
        arrow.replace = _die
    elif killed_at is not None:
        setattr(mlflow.MlflowClient, killed_at, _die)
    step = {"gate": gate, "recommend": recommend}[name]
    step.run(load(config), run_date=NIGHT)


def kill(name: str, folder: Path, *, at: str | None = None, after: float | None = None) -> None:
    """Kill the step at a call, or after so many seconds, if it has not ended by then."""
    process = forked(_run_step, name, folder / "config.toml", at)
    if after is not None:
        time.sleep(after)
        process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL or (after is not None and process.exitcode == 0)


def kill_gate(night: Night, undisturbed: list[State], **how: Any) -> None:
    kill("gate", night.folder, **how)
    after = state(night.settings)
    assert after["champion"] in ("topshelf/1", "topshelf/2")
    assert after["verdicts"] in (["passed", None], ["passed", "passed"])
    assert after["lists"] == undisturbed[0]["lists"]
    gate.run(night.settings, run_date=NIGHT)
    assert state(night.settings) == undisturbed[1]


def kill_recommend(night: Night, undisturbed: list[State], **how: Any) -> None:
    gate.run(night.settings, run_date=NIGHT)
    kill("recommend", night.folder, **how)
    assert state(night.settings) in undisturbed[1:]
    recommend.run(night.settings, run_date=NIGHT)
    assert state(night.settings) == undisturbed[2]


@pytest.mark.parametrize("kill_step", [kill_gate, kill_recommend])
@pytest.mark.parametrize("delay", DELAYS)
def test_a_kill_at_any_time(
    night: Night, undisturbed: list[State], kill_step: Callable[..., None], delay: float
) -> None:
    kill_step(night, undisturbed, after=delay)


@pytest.mark.parametrize(
    "call", ["log_text", "set_model_version_tag", "set_registered_model_alias"]
)
def test_a_gate_killed_between_two_writes(
    night: Night, undisturbed: list[State], call: str
) -> None:
    kill_gate(night, undisturbed, at=call)


def test_a_recommend_killed_before_its_commit(night: Night, undisturbed: list[State]) -> None:
    kill_recommend(night, undisturbed, at="arrow.replace")
