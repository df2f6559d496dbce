"""The DAGs' policy. Each DAG is parsed as Airflow does it, in a process of its own."""

import importlib.util
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict, cast

import pytest

from lakehouse.steps import STEPS
from lakehouse.tables import ALL_TABLES, OPS
from tests.project import ROOT

DAGS = ROOT / "dags"
SHARED = {"shop_configurations", "topshelf_shops", "topshelf_tasks"}
IGNORED = SHARED - {"shop_configurations"}
# Each step keeps its outcome in `ops.runs`, which is the outlet of none.
STEPS_TABLES = [table for table in ALL_TABLES if table not in OPS]
SPARK_STEPS = {step.name for step in STEPS if step.needs_spark}

PARSE = """
import json, sys
from pathlib import Path
from airflow.dag_processing.dagbag import BundleDagBag

folder = Path(sys.argv[1])
bag = BundleDagBag(folder, bundle_path=folder, bundle_name="dags-folder", safe_mode=False)
heavy = {"pyspark", "mlflow", "great_expectations", "lightfm", "pandas", "jobs"} & set(sys.modules)
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.bash import BashOperator

def task(it):
    return {
        "step": it.label,
        "group": it.task_group.group_id,
        "owner": it.owner,
        "retries": it.retries,
        "backoff": it.retry_exponential_backoff,
        "longest_delay": it.max_retry_delay.total_seconds(),
        "timeout": it.execution_timeout.total_seconds(),
        "pool": it.pool,
        "trigger_rule": str(it.trigger_rule.value),
        "teardown": it.is_teardown,
        "decides_the_run": it.on_failure_fail_dagrun,
        "doc": it.doc_md,
        "outlets": {asset.name: asset.uri for asset in it.outlets},
        "spark": isinstance(it, SparkSubmitOperator),
        "bash": isinstance(it, BashOperator),
        "command": getattr(it, "application_args", None) or getattr(it, "bash_command", None),
        "environment": getattr(it, "env", None),
        "upstream": sorted(it.upstream_task_ids),
        "retried": {
            code: it.retry_policy.evaluate(Exception(message), 1, 2).action.value
            for code, message in {
                "bash 1": "exit code 1:\\nKeyError",
                "bash 2": "exit code 2:\\ntopshelf train: no such file",
                "bash 3": "exit code 3:\\ntopshelf train: wrong value 4",
                "bash 4": "exit code 4:\\ntopshelf train: locked",
                "spark 3": "Cannot execute: spark-submit x. Error code is: 3.\\nexit code 4",
                "spark 4": "Cannot execute: spark-submit x. Error code is: 4.\\nexit code 3",
            }.items()
        },
    }

print(json.dumps({
    "errors": bag.import_errors,
    "heavy": sorted(heavy),
    "dags": {
        dag.dag_id: {
            "doc": dag.doc_md,
            "tags": sorted(dag.tags),
            "catchup": dag.catchup,
            "max_active_runs": dag.max_active_runs,
            "timezone": str(dag.timezone),
            "cron": dag.timetable.expression,
            "first_run_within": dag.timetable.run_immediately.total_seconds(),
            "run_timeout": dag.dagrun_timeout.total_seconds(),
            "cron_timezone": str(dag.timetable.timezone),
            "tasks": [task(it) for it in dag.topological_sort()],
        }
        for dag in bag.dags.values()
    },
}))
"""


CONFIG = "/shops/any.toml"


class Parsed(TypedDict):
    """What ``PARSE`` prints."""

    errors: dict[str, str]
    heavy: list[str]
    dags: dict[str, dict[str, Any]]


def parse(home: Path, config: str) -> Parsed:
    """What Airflow finds in the folder of DAGs for a ``TOPSHELF_CONFIG``."""
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(DAGS)],
        env=os.environ
        | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "TOPSHELF_CONFIG": config,
        },
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return cast(Parsed, json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Parsed:
    return parse(tmp_path_factory.mktemp("airflow"), CONFIG)


@pytest.fixture(scope="module")
def nightly(parsed: Parsed) -> dict[str, Any]:
    return parsed["dags"]["nightly_recommendations"]


@pytest.fixture(scope="module")
def steps(nightly: dict[str, Any]) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = nightly["tasks"]
    turn, *steps = tasks
    assert (turn["step"], turn["group"], turn["upstream"]) == ("await_turn", None, [])
    return steps


@pytest.fixture(scope="module")
def tasks(steps: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {task["step"]: task for task in steps}


def test_every_file_is_imported_without_error(parsed: Parsed) -> None:
    assert parsed["errors"] == {}
    files = {path.stem for path in DAGS.glob("*.py")}
    assert set(parsed["dags"]) == files - SHARED
    assert {Path(name).stem for name in (DAGS / ".airflowignore").read_text().split()} == IGNORED


@pytest.fixture(scope="module")
def shops_module() -> ModuleType:
    """The module that finds the shops; it needs nothing but the standard library."""
    spec = importlib.util.spec_from_file_location("topshelf_shops", DAGS / "topshelf_shops.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules["topshelf_shops"] = module
    spec.loader.exec_module(module)
    return module


def test_each_shop_of_a_folder_has_dags_and_assets_of_its_own(tmp_path: Path) -> None:
    shops = tmp_path / "shops"
    shops.mkdir()
    for name in ("toys", "tools"):
        (shops / f"{name}.toml").write_text(f'\ufeff[shop]\nname = "{name}"\n')
    (shops / "broken.toml").write_text("[shop\n")
    parsed = parse(tmp_path, str(shops))
    ((file, error),) = parsed["errors"].items()
    assert Path(file).name == "shop_configurations.py"
    assert f"{shops}/broken.toml: not valid TOML" in error
    assert sorted(parsed["dags"]) == [
        f"{dag}_{shop}"
        for dag in ("lakehouse_maintenance", "nightly_recommendations", "weekly_tuning")
        for shop in ("tools", "toys")
    ]
    outlets: dict[str, str] = {}
    for shop in ("tools", "toys"):
        dag = parsed["dags"][f"nightly_recommendations_{shop}"]
        assert dag["tags"] == sorted(["nightly", "recommendations", shop])
        for task in dag["tasks"][1:]:
            config = str(shops / f"{shop}.toml")
            if task["spark"]:
                assert task["command"][-2:] == ["--config", config]
            else:
                assert task["environment"]["TOPSHELF_CONFIG"] == config
            outlets |= task["outlets"]
    assert outlets == {
        f"{shop}.{table.full_name}": f"x-delta://{shop}/{table.path}"
        for shop in ("tools", "toys")
        for table in STEPS_TABLES
    }


def test_a_file_s_only_shop_keeps_the_plain_names_and_paths_start_at_the_project(
    shops_module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOPSHELF_CONFIG", "infra/config/none.toml")
    found = shops_module.configured_shops()
    (shop,) = found.usable
    assert shop.config == DAGS.parent / "infra" / "config" / "none.toml"
    assert shop.dag_id("nightly_recommendations") == "nightly_recommendations"
    assert found.mistakes == ()


WRONG = {
    "": "has no [shop] name; each shop of a folder needs one of its own",
    "[shop]\n": "has no [shop] name; each shop of a folder needs one of its own",
    "shop = 3\n": "has no [shop] name; each shop of a folder needs one of its own",
    "[shop]\nname = 3\n": "[shop] name = 3 is not of the form [a-z][a-z0-9_]{0,39}",
    '[shop]\nname = "../x"\n': "[shop] name = '../x' is not of the form [a-z][a-z0-9_]{0,39}",
    "shop": "not valid TOML: Expected '=' after a key in a key/value pair (at end of document)",
}


def test_what_is_wrong_with_a_shop_s_file_is_said_and_takes_no_other_shop_down(
    shops_module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "good.toml").write_text('[shop]\nname = "good"\n')
    for number, text in enumerate(WRONG):
        (tmp_path / f"wrong-{number}.toml").write_text(text)
    (tmp_path / "wrong-encoding.toml").write_bytes(b'[shop]\nname = "caf\xe9"\n')
    for number in range(2):
        (tmp_path / f"twin-{number}.toml").write_text('[shop]\nname = "twin"\n')
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "good.toml.bak").write_text('[shop]\nname = "good"\n')
    monkeypatch.setenv("TOPSHELF_CONFIG", str(tmp_path))
    found = shops_module.configured_shops()
    assert [(shop.name, shop.config) for shop in found.usable] == [("good", tmp_path / "good.toml")]
    *others, encoding, twins = found.mistakes
    assert others == [
        f"{tmp_path}/folder.toml: cannot be read: Is a directory",
        *(
            f"{tmp_path}/wrong-{number}.toml: {reason}"
            for number, reason in enumerate(WRONG.values())
        ),
    ]
    assert encoding.startswith(f"{tmp_path}/wrong-encoding.toml: not valid TOML: 'utf-8' codec")
    assert twins == (
        f'{tmp_path}: twin-0.toml, twin-1.toml all have [shop] name = "twin"; none of them runs'
    )


def test_files_that_a_configuration_names_are_no_shops(
    shops_module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toys.toml").write_text(
        '[shop]\nname = "toys"\n[recommend]\nrules = "rules.toml"\n'
        f'[serving]\nguardrails = "{tmp_path}/limits.toml"\n'
    )
    (tmp_path / "tools.toml").write_text(
        '[shop]\nname = "tools"\n[recommend]\nrules = 3\n[[serving]]\n'
    )
    (tmp_path / "rules.toml").write_text("[[rules]")
    (tmp_path / "limits.toml").write_text("churn = 0.5\n")
    (tmp_path / "other_rules.toml").write_text("")
    monkeypatch.setenv("TOPSHELF_CONFIG", str(tmp_path))
    found = shops_module.configured_shops()
    assert [shop.name for shop in found.usable] == ["tools", "toys"]
    assert found.mistakes == (
        f"{tmp_path}/other_rules.toml: has no [shop] name; each shop of a folder needs one of its "
        "own",
    )


def test_no_configuration_is_said(
    shops_module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOPSHELF_CONFIG", str(tmp_path))
    assert shops_module.configured_shops().mistakes == (f"{tmp_path} holds no *.toml",)
    monkeypatch.delenv("TOPSHELF_CONFIG")
    assert shops_module.configured_shops().mistakes == (
        "TOPSHELF_CONFIG names no file or folder; start through infra/run.",
    )


@pytest.fixture(scope="module")
def weekly(parsed: Parsed) -> dict[str, Any]:
    return parsed["dags"]["weekly_tuning"]


def test_parsing_loads_nothing_heavy(parsed: Parsed) -> None:
    assert parsed["heavy"] == []


def test_no_file_takes_a_package_s_name() -> None:
    # The DAG folder is on sys.path: dags/models.py would shadow the package.
    taken = {path.parent.name for path in DAGS.parent.glob("*/__init__.py")}
    assert {"models", "jobs", "lakehouse"} <= taken
    assert not {path.stem for path in DAGS.iterdir()} & (taken | set(sys.stdlib_module_names))


def test_the_schedule_is_an_explicit_utc_cron_without_catch_up(nightly: dict[str, Any]) -> None:
    # Midnight, so that a run's date is a whole day; `await_turn` waits for 02:00.
    assert nightly["cron"] == "0 0 * * *"
    assert nightly["first_run_within"] == 0
    assert timedelta(seconds=nightly["run_timeout"]) == timedelta(hours=8)
    assert nightly["cron_timezone"] == nightly["timezone"] == "UTC"
    assert not nightly["catchup"]
    assert nightly["max_active_runs"] == 1
    assert nightly["tags"] == ["nightly", "recommendations"]
    assert "run_date" in nightly["doc"]


def test_the_tasks_are_the_steps_in_order_grouped_by_layer(steps: list[dict[str, Any]]) -> None:
    assert [(task["group"], task["step"]) for task in steps] == [
        ("bronze", "ingest"),
        ("silver", "clean"),
        ("gold", "features"),
        ("gold", "relate"),
        ("model", "train"),
        ("model", "gate"),
        ("serving", "recommend"),
        ("serving", "publish"),
        (None, "report"),
    ]
    assert [task["step"] for task in steps] == [step.name for step in STEPS]
    upstream = [task["upstream"] for task in steps]
    assert upstream == [
        ["await_turn"],
        ["bronze.ingest"],
        ["silver.clean"],
        ["gold.features"],
        ["gold.relate"],
        ["model.train"],
        ["model.gate"],
        ["serving.recommend"],
        ["serving.publish"],
    ]


@pytest.mark.parametrize("step", [step.name for step in STEPS])
def test_every_task_says_whose_it_is_when_it_ends_and_what_it_does(
    tasks: dict[str, dict[str, Any]], step: str
) -> None:
    task = tasks[step]
    assert task["owner"] == "recommendations"
    assert task["doc"]
    assert timedelta(seconds=task["timeout"]) == timedelta(hours=2)
    assert task["retries"] == 2
    assert task["backoff"]
    assert timedelta(seconds=task["longest_delay"]) == timedelta(minutes=15)


@pytest.mark.parametrize("step", [step.name for step in STEPS])
def test_wrong_calls_and_wrong_data_are_not_retried(
    tasks: dict[str, dict[str, Any]], step: str
) -> None:
    assert tasks[step]["retried"] == {
        "bash 1": "default",
        "bash 2": "fail",
        "bash 3": "fail",
        "bash 4": "default",
        "spark 3": "fail",
        "spark 4": "default",
    }


def test_only_the_report_runs_after_a_skip_or_a_failure_and_it_hides_neither(
    tasks: dict[str, dict[str, Any]],
) -> None:
    rules = {step: task["trigger_rule"] for step, task in tasks.items()}
    assert rules == dict.fromkeys(rules, "all_success") | {"report": "all_done_setup_success"}
    assert [step for step, task in tasks.items() if task["teardown"]] == ["report"]
    assert not tasks["report"]["decides_the_run"]


def test_spark_steps_go_through_spark_submit_and_the_others_through_bash(
    tasks: dict[str, dict[str, Any]],
) -> None:
    assert {step for step, task in tasks.items() if task["spark"]} == SPARK_STEPS
    assert {step for step, task in tasks.items() if task["bash"]} == set(tasks) - SPARK_STEPS


def test_the_run_date_is_one_template_and_never_shell_code(
    tasks: dict[str, dict[str, Any]],
) -> None:
    template = "{{ night(dag_run) }}"
    for step, task in tasks.items():
        if task["spark"]:
            assert task["command"] == [step, "--run-date", template, "--config", CONFIG]
        else:
            assert task["command"] == f'exec topshelf {step} --run-date "$RUN_DATE"'
            assert task["environment"] == {"RUN_DATE": template, "TOPSHELF_CONFIG": CONFIG}


def test_a_run_date_of_the_future_fails_and_is_not_retried(
    tasks: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    done = subprocess.run(
        ["bash", "-c", tasks["train"]["command"]],
        env=os.environ | {"RUN_DATE": "2200-12-31", "TOPSHELF_CONFIG": str(tmp_path / "none.toml")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--run-date 2200-12-31 is after today" in done.stderr.splitlines()[-1]
    assert tasks["train"]["retried"]["bash 2"] == "fail"


def test_every_table_is_the_outlet_of_one_task_which_waits_for_the_lake_s_pool(
    tasks: dict[str, dict[str, Any]],
) -> None:
    outlets = [outlet for task in tasks.values() for outlet in task["outlets"].items()]
    assert sorted(outlets) == sorted((table.full_name, table.asset_uri) for table in STEPS_TABLES)
    writers = {step for step, task in tasks.items() if task["outlets"]}
    assert {step for step, task in tasks.items() if task["pool"] == "delta"} == writers
    assert writers >= SPARK_STEPS


def test_the_lake_is_looked_after_once_a_week(parsed: Parsed) -> None:
    weekly = parsed["dags"]["lakehouse_maintenance"]
    assert weekly["cron"] == "0 8 * * 0"
    assert weekly["first_run_within"] == 0
    assert weekly["cron_timezone"] == weekly["timezone"] == "UTC"
    assert not weekly["catchup"]
    assert weekly["max_active_runs"] == 1
    assert weekly["tags"] == ["recommendations", "weekly"]
    (task,) = weekly["tasks"]
    assert (task["step"], task["command"]) == (
        "maintain",
        'exec topshelf maintain --run-date "$RUN_DATE"',
    )


def test_tuning_runs_once_a_week_and_ends_with_a_proposal(weekly: dict[str, Any]) -> None:
    assert weekly["cron"] == "0 6 * * 0"
    assert weekly["first_run_within"] == 0
    assert weekly["cron_timezone"] == weekly["timezone"] == "UTC"
    assert not weekly["catchup"]
    assert weekly["max_active_runs"] == 1
    assert weekly["tags"] == ["recommendations", "weekly"]
    assert "proposal.toml" in weekly["doc"]
    # A single task: nothing follows that could promote what it proposes.
    assert [task["step"] for task in weekly["tasks"]] == ["tune"]


def test_tuning_keeps_the_policy_of_the_night(
    weekly: dict[str, Any], tasks: dict[str, dict[str, Any]]
) -> None:
    (tune,) = weekly["tasks"]
    assert tune["command"] == 'exec topshelf tune --run-date "$RUN_DATE"'
    assert (tune["outlets"], tune["pool"]) == ({}, "default_pool")
    assert tune["doc"]
    same = ("owner", "retries", "backoff", "longest_delay", "timeout", "retried", "environment")
    assert {name: tune[name] for name in same} == {name: tasks["train"][name] for name in same}


def test_ruff_finds_nothing_that_airflow_3_has_dropped() -> None:
    done = subprocess.run(
        ["ruff", "check", "--no-cache", "--select", "AIR3", str(DAGS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
