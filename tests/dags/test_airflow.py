"""Nights under Airflow's real scheduler: which run, in what order, and what ends a task.

The steps of two shops are only written down; those of a third, `corner`, are run.
"""

import re
from http import HTTPStatus

import pytest

from lakehouse.steps import STEPS
from tests.airflow_server import Airflow, until
from tests.corner_shop import NIGHT
from tests.project import ROOT
from tests.scheduled_night import Night

FIRST_STEPS = (ROOT / "docs" / "first_steps.md").read_text(encoding="utf-8")
STEP_NAMES = [step.name for step in STEPS]
NIGHTLY, WEEKLY = "nightly_recommendations", "weekly_tuning"
TAGS = {NIGHTLY: "nightly", WEEKLY: "weekly", "lakehouse_maintenance": "weekly"}


def nights(airflow: Airflow, shop: str) -> list[tuple[str, str]]:
    """The run date and step of each call for a shop."""
    return [(call.run_date, call.step) for call in airflow.calls() if call.shop == shop]


def documented(heading: str) -> list[str]:
    """The commands below a heading of the first steps, one a line or one over several lines."""
    section = FIRST_STEPS.partition(f"{heading}\n")[2].split("\n#")[0]
    blocks = re.findall("(?s)```sh\\n(.*?)```", section)
    assert blocks, heading
    return [part for block in blocks for part in re.split(r"\n(?=infra/run )", block.strip())]


def test_each_shop_has_its_dags_and_a_broken_one_takes_no_other_down(airflow: Airflow) -> None:
    dags = airflow.done("GET", "/api/v2/dags")["dags"]
    shops = ("corner", "tools", "toys")
    assert {dag["dag_id"]: sorted(tag["name"] for tag in dag["tags"]) for dag in dags} == {
        f"{dag}_{shop}": sorted(["recommendations", shop, tag])
        for dag, tag in TAGS.items()
        for shop in shops
    }
    (error,) = airflow.done("GET", "/api/v2/importErrors")["import_errors"]
    assert error["filename"].endswith("shop_configurations.py")
    assert "broken.toml: not valid TOML" in error["stack_trace"]
    assert (
        'one.toml, two.toml all have [shop] name = "twins"; none of them runs'
        in error["stack_trace"]
    )


def test_a_backfill_takes_each_day_once_in_order_and_the_last_one_too(airflow: Airflow) -> None:
    dag = f"{NIGHTLY}_toys"
    airflow.unpause(dag)
    days = ["2018-01-01", "2018-01-02"]
    range_ = f"--from-date {days[0]} --to-date {days[-1]}"
    done = airflow.type(f"infra/run airflow backfill create --dag-id {dag} {range_}")
    assert done.returncode == 0, done.stdout
    runs = [f"backfill__{day}T00:00:00+00:00" for day in days]
    assert [airflow.ends(dag, run) for run in runs] == ["success", "success"]
    # After a first backfill Airflow starts the night of today too: it waits for the others.
    expected = [(day, step) for day in days for step in STEP_NAMES]
    assert nights(airflow, "toys")[: len(expected)] == expected


def test_the_documented_week_has_seven_nights(airflow: Airflow) -> None:
    (command,) = documented("### A week again")
    done = airflow.type(command.replace(NIGHTLY, f"{NIGHTLY}_toys") + " --dry-run")
    assert done.returncode == 0, done.stdout
    planned = re.findall(r"\| (\d{4}-\d\d-\d\d) 00:00:00", done.stdout)
    assert planned == [f"2011-05-{day}" for day in range(20, 27)]


def test_a_cleared_task_runs_again_with_what_follows_it(airflow: Airflow) -> None:
    dag, run = f"{NIGHTLY}_toys", "backfill__2018-01-02T00:00:00+00:00"
    (command,) = documented("### A task again")
    done = airflow.type(command.replace(NIGHTLY, dag).replace("2011-05-26", "2018-01-02"))
    assert done.returncode == 0, done.stdout
    again = [("2018-01-02", "publish"), ("2018-01-02", "report")]
    until(lambda: [call for call in nights(airflow, "toys") if call in again] == again * 2)
    assert airflow.ends(dag, run) == "success"
    airflow.clear(dag, run, "report")
    until(lambda: nights(airflow, "toys").count(again[1]) == 3)


def test_the_documented_trigger_runs_the_night_that_it_names(airflow: Airflow) -> None:
    dag = f"{NIGHTLY}_tools"
    unpause, trigger, show = documented("## The data engineer: a night under Airflow")[-3:]
    for command in (unpause, trigger):
        done = airflow.type(command.replace(NIGHTLY, dag))
        assert done.returncode == 0, done.stdout
    night = [("2011-05-20", step) for step in STEP_NAMES]
    until(lambda: nights(airflow, "tools") == night)
    until(
        lambda: re.search(r"manual__.*\| success", airflow.type(show.replace(NIGHTLY, dag)).stdout)
    )


HOSTILE = {
    "a second command": "2018-01-02; touch OWNED",
    "a substitution": "$(touch OWNED)",
    "a template": "{{ 7 * 7 }}",
    "a second line": "2018-01-02\ntouch OWNED",
    "a line end": "2018-01-02\n",
    "a path": "../..",
    "an option": "--help",
    "nothing": "",
    "a number": 20180102,
    "a list": ["2018-01-02"],
    "too long": "2" * 10_000,
    "another way to write it": "20180102",
    "no day": "2018-02-30",
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_a_run_date_that_is_no_date_starts_no_run(airflow: Airflow, value: object) -> None:
    body = {"logical_date": None, "conf": {"run_date": value}}
    status, answer = airflow.api("POST", f"/api/v2/dags/{WEEKLY}_toys/dagRuns", body)
    assert status == HTTPStatus.BAD_REQUEST
    assert "Invalid input for param run_date" in answer["detail"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "the run has no date; trigger it with a run_date (YYYY-MM-DD)."),
        ({"conf": {"run_date": None}}, "the run has no date; trigger it"),
        (
            {"conf": {"rundate": "2018-01-02"}},
            "the run was given ['rundate']; it takes run_date only.",
        ),
    ],
)
def test_what_airflow_lets_through_fails_before_any_step(
    airflow: Airflow, given: dict[str, object], reason: str
) -> None:
    dag = f"{WEEKLY}_toys"
    airflow.unpause(dag)
    run = airflow.done("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None} | given)
    assert airflow.ends(dag, run["dag_run_id"]) == "failed"
    assert reason in airflow.log(dag, run["dag_run_id"], "tune")
    assert "tune" not in [step for _, step in nights(airflow, "toys")]
    assert not list(airflow.checkout.rglob("OWNED"))


@pytest.mark.timeout(1500)
def test_a_killed_task_leaves_no_process_and_its_night_can_go_on(night: Night) -> None:
    assert (night.state_after_kill, night.final_state) == ("failed", "success")
    assert night.airflow.processes("corner.toml") == []
    assert set(night.airflow.tasks(night.dag, night.run).values()) == {"success"}


def test_the_documented_questions_are_answered(night: Night) -> None:
    for heading in ("## The analyst", "## The machine-learning engineer"):
        title = next(line for line in FIRST_STEPS.splitlines() if line.startswith(heading))
        for command in documented(title):
            mine = command.replace("17850", "u1").replace("2011-05-26", str(NIGHT))
            done = night.airflow.type(mine, TOPSHELF_CONFIG=str(night.config))
            assert done.returncode == 0, (mine, done.stdout)
            assert done.stdout.strip()
