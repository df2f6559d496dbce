"""The command line: exit codes, what stands on which stream, and what each command loads."""

import errno
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from jobs.cli.main import app
from jobs.night.job_report import JobReport, StepFailure
from jobs.night.outcomes import read_outcome, read_report
from jobs.reports.tables_doc import tables_doc
from lakehouse.errors import (
    ConfigurationError,
    DataError,
    DataQualityError,
    InfrastructureError,
)
from tests.nights import settings_in
from tests.project import ROOT

CONFIG = """
[shop]
name = "corner"
[[sources]]
name = "orders"
target = "events"
path = "{date}.csv"
format = "csv"
columns = { user_id = "u", item_id = "i", event_time = "t" }
constants = { event_type = "purchase" }
[paths]
lake = "FOLDER/lake"
landing = "FOLDER/landing"
runs = "FOLDER/runs"
data_quality = "FOLDER/data_quality"
[serving]
store = "lmdb:FOLDER/store"
[mlflow]
tracking_uri = "sqlite:///FOLDER/mlflow.db"
artifacts = "FOLDER/artifacts"
"""
NIGHT = ["--run-date", "2024-01-02"]
# What takes 0.2 s of CPU and more to load; with none of it an answer takes half a second.
HEAVY = {
    *("pyspark", "mlflow", "great_expectations", "lightfm", "pandas", "airflow"),
    *("numpy", "scipy", "pyarrow", "deltalake", "sqlalchemy", "matplotlib"),
}

runner = CliRunner()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.replace("FOLDER", str(tmp_path)))
    return path


class Outcome(ModuleType):
    """A step's module, whose ``result`` is returned or raised."""

    result: JobReport | Exception

    def __init__(self) -> None:
        super().__init__("outcome")

    def run(self, _settings: object, *, run_date: date) -> JobReport:
        assert run_date == date(2024, 1, 2)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """What ``jobs.steps.train`` and ``jobs.steps.gate`` return or raise, as the test sets it."""
    outcome = Outcome()
    for module in ("jobs.steps.train", "jobs.steps.gate"):
        monkeypatch.setitem(sys.modules, module, outcome)
    return outcome


def failure_of_train(config: Path) -> StepFailure:
    outcome = read_outcome(config.parent / "lake", date(2024, 1, 2), "train")
    assert isinstance(outcome, StepFailure)
    return outcome


def test_a_step_says_its_rows_and_writes_its_report(config: Path, step: Outcome) -> None:
    step.result = JobReport(
        "train", date(2024, 1, 2), rows={"events": 12345, "x": 1}, warnings=("too few",)
    )
    done = runner.invoke(app, ["train", *NIGHT, "--config", str(config)])
    assert done.exit_code == 0
    first, last = done.stdout.splitlines()
    assert first == "topshelf train: warning: too few"
    assert last.startswith("topshelf train: events 12,345, x 1 (")
    report = read_report(config.parent / "lake", date(2024, 1, 2), "train")
    assert report is not None
    assert report.rows == {"events": 12345, "x": 1}
    assert report.seconds >= 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("wrong call"), 2),
        (DataError("wrong data"), 3),
        (DataQualityError("refused"), 3),
        (InfrastructureError("store down"), 4),
    ],
)
def test_a_foreseen_error_gives_its_exit_code_and_one_line(
    config: Path, step: Outcome, error: Exception, code: int
) -> None:
    step.result = error
    done = runner.invoke(app, ["train", *NIGHT, "--config", str(config)])
    assert done.exit_code == code
    assert done.stderr == f"topshelf train: {error}\n"
    assert done.stdout == ""
    assert failure_of_train(config) == StepFailure("train", date(2024, 1, 2), code, str(error))


def test_what_the_system_refuses_is_an_infrastructure_failure(config: Path, step: Outcome) -> None:
    step.result = OSError(errno.ENOSPC, "No space left on device", "/lake/gold/x.parquet")
    done = runner.invoke(app, ["train", *NIGHT, "--config", str(config)])
    assert done.exit_code == 4
    assert done.stderr == (
        "topshelf train: /lake/gold/x.parquet: No space left on device. Free space on its disk. "
        "Then run again; nothing half-written is visible.\n"
    )
    assert failure_of_train(config).exit_code == 4


def test_one_detail_joins_the_last_line(config: Path, step: Outcome) -> None:
    step.result = DataError("silver.x breaks 1 rule:\n  column y is null")
    done = runner.invoke(app, ["train", *NIGHT, "--config", str(config)])
    assert done.stderr == "topshelf train: silver.x breaks 1 rule: column y is null\n"


def test_many_details_stand_above_the_last_line(config: Path, step: Outcome) -> None:
    step.result = DataError("silver.x breaks 2 rules:\n  column y is null\n  column z is not")
    done = runner.invoke(app, ["train", *NIGHT, "--config", str(config)])
    assert done.stderr == (
        "  column y is null\n"
        "  column z is not\n"
        "topshelf train: silver.x breaks 2 rules (listed above)\n"
    )


def test_an_unforeseen_error_keeps_its_traceback(config: Path, step: Outcome) -> None:
    step.result = KeyError("a bug")
    done = runner.invoke(app, ["train", *NIGHT, "--config", str(config)])
    assert done.exit_code == 1
    assert done.exception is step.result
    failure = failure_of_train(config)
    assert failure.exit_code == 1
    assert failure.reason == "an error that nobody foresaw, KeyError; its log has the traceback."
    assert failure.details[-1].endswith(", in run")
    assert "a bug" not in repr(failure)


def test_a_step_that_succeeds_at_last_takes_its_failure_back(config: Path, step: Outcome) -> None:
    call = ["train", *NIGHT, "--config", str(config)]
    step.result = DataError("wrong data")
    runner.invoke(app, call)
    step.result = JobReport("train", date(2024, 1, 2))
    assert runner.invoke(app, call).exit_code == 0
    outcome = read_outcome(config.parent / "lake", date(2024, 1, 2), "train")
    assert isinstance(outcome, JobReport)


def test_a_failure_that_cannot_be_recorded_hides_nothing(config: Path, step: Outcome) -> None:
    (config.parent / "runs").mkdir()
    (config.parent / "runs" / "2024-01-02").write_text("a file where the folder should be")
    (config.parent / "lake").mkdir()
    (config.parent / "lake" / "ops").write_text("a file where the folder should be")
    step.result = DataError("wrong data")
    done = runner.invoke(app, ["train", *NIGHT, "--config", str(config)])
    assert done.exit_code == 3
    assert done.stderr.endswith("topshelf train: wrong data\n")


def test_a_step_whose_outcome_the_lake_does_not_take_fails(config: Path, step: Outcome) -> None:
    (config.parent / "lake").mkdir()
    (config.parent / "lake" / "ops").write_text("a file where the folder should be")
    step.result = JobReport("train", date(2024, 1, 2))
    done = runner.invoke(app, ["train", *NIGHT, "--config", str(config)])
    assert done.exit_code == 4
    last = done.stderr.splitlines()[-1]
    assert last.startswith("topshelf train: the outcome of train could not be written to ")
    assert [path.name for path in config.parent.glob("runs/2024-01-02/*")] == ["train.failed.json"]


@pytest.mark.parametrize(("accepted", "code"), [(True, 0), (False, 99)])
def test_the_gate_s_refusal_has_a_code_of_its_own_and_is_reported(
    config: Path, step: Outcome, accepted: bool, code: int
) -> None:
    step.result = JobReport("gate", date(2024, 1, 2), facts={"accepted": accepted})
    done = runner.invoke(app, ["gate", *NIGHT, "--config", str(config)])
    assert done.exit_code == code
    assert ("refused; the former release goes on" in done.stdout) == (not accepted)
    report = read_report(config.parent / "lake", date(2024, 1, 2), "gate")
    assert report is not None
    assert report.facts == {"accepted": accepted}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["train", "--run-date", "2024-02-30"], "topshelf train: --run-date '2024-02-30'"),
        (["train", "--run-date", "today; rm -rf"], "topshelf train: --run-date 'today; rm -rf'"),
        (
            ["train", "--run-date", "0001-01-01"],
            "topshelf train: --run-date 0001-01-01 is not between 1970-01-01 and 2200-12-31.",
        ),
        (
            ["backtest", *NIGHT, "--cuts", "2023-01-01,2201-01-01"],
            "topshelf backtest: --cuts 2201-01-01 is not between 1970-01-01 and 2200-12-31.",
        ),
        (["train"], "Error: Missing option '--run-date'"),
        (
            ["recommend"],
            "topshelf recommend: give either --run-date, or what is known of a newcomer",
        ),
        (["recommend", *NIGHT, "--history", "1"], "topshelf recommend: give either --run-date, or"),
        (["sing"], "Error: No such command 'sing'"),
        (["lookup", "--user", "1", "--list", "worst"], "topshelf lookup: there is no list"),
    ],
)
def test_a_wrong_call_exits_with_2(config: Path, arguments: list[str], reason: str) -> None:
    done = runner.invoke(app, arguments, env={"TOPSHELF_CONFIG": str(config)})
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith(reason)


@pytest.mark.parametrize(
    "command", ["ingest", "clean", "train", "recommend", "report", "compare", "tune"]
)
def test_a_run_date_after_today_is_refused(
    config: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("jobs.cli.app._today", lambda: date(2024, 1, 1))
    done = runner.invoke(app, [command, *NIGHT, "--config", str(config)])
    assert done.exit_code == 2
    assert done.stderr == (
        f"topshelf {command}: --run-date 2024-01-02 is after today, 2024-01-01 (UTC, by this "
        "machine's clock). Such a night would take in files of the nights before it, and serve "
        "until it has come. Correct the date, or the clock; --future runs it all the same.\n"
    )


@pytest.mark.parametrize(("today", "more"), [(2, []), (1, ["--future"])])
def test_today_s_night_runs_and_with_future_a_later_one(
    config: Path, step: Outcome, monkeypatch: pytest.MonkeyPatch, today: int, more: list[str]
) -> None:
    monkeypatch.setattr("jobs.cli.app._today", lambda: date(2024, 1, today))
    step.result = JobReport("train", date(2024, 1, 2))
    done = runner.invoke(app, ["train", *NIGHT, *more, "--config", str(config)])
    assert done.exit_code == 0


def test_a_wrong_configuration_exits_with_2_and_lists_every_mistake(config: Path) -> None:
    config.write_text(config.read_text() + "[train]\nseed = -1\nhats = 2\n")
    done = runner.invoke(app, ["train", *NIGHT, "--config", str(config)])
    assert done.exit_code == 2
    assert "train.seed" in done.stderr
    assert "train.hats" in done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"topshelf train: {config} has 2 mistake(s) (listed above)"
    )


def test_a_missing_configuration_exits_with_2(tmp_path: Path) -> None:
    done = runner.invoke(app, ["releases", "--config", str(tmp_path / "none.toml")])
    assert done.exit_code == 2
    assert done.stderr.startswith(f"topshelf releases: no configuration file at {tmp_path}")


@pytest.mark.parametrize("part", ["lake", "runs", "data_quality", "store"])
def test_another_shop_s_state_is_refused(config: Path, step: Outcome, part: str) -> None:
    """Two configurations of one checkout must not mix, whatever folders they name."""
    step.result = JobReport("train", date(2024, 1, 2))
    folder = config.parent / part
    folder.mkdir()
    (folder / ".shop").write_text("bakery\n")
    command = ["releases"] if part == "store" else ["train", *NIGHT]
    done = runner.invoke(app, [*command, "--config", str(config)])
    assert done.exit_code == 2
    assert done.stderr == (
        f"topshelf {command[0]}: {folder} belongs to the shop 'bakery', and this configuration is "
        "of 'corner'. Give each shop folders of its own, or correct `[shop] name`.\n"
    )


def test_a_step_makes_the_folders_it_writes_the_shop_s(config: Path, step: Outcome) -> None:
    step.result = JobReport("train", date(2024, 1, 2))
    assert runner.invoke(app, ["train", *NIGHT, "--config", str(config)]).exit_code == 0
    for part in ("lake", "runs", "data_quality"):
        assert (config.parent / part / ".shop").read_text() == "corner\n"


def test_looking_into_an_empty_store_is_an_infrastructure_failure(config: Path) -> None:
    done = runner.invoke(app, ["lookup", "--user", "1", "--config", str(config)])
    assert done.exit_code == 4
    assert done.stderr.startswith("topshelf lookup: ")
    assert "topshelf publish" in done.stderr


def test_an_empty_store_has_no_releases(config: Path) -> None:
    done = runner.invoke(app, ["releases", "--config", str(config)])
    assert done.exit_code == 0
    assert done.stdout == "no releases yet: run `topshelf publish --run-date D`\n"


def test_answering_people_loads_nothing_that_takes_long(tmp_path: Path) -> None:
    settings_in(tmp_path)
    more = ["--config", str(tmp_path / "config.toml")]
    calls = {
        0: [["--help"], ["releases", *more], ["models", *more]],
        InfrastructureError.exit_code: [["lookup", "--user", "1", *more]],
    }
    code = (
        "import json, sys\n"
        "from typer.testing import CliRunner\n"
        "from jobs.cli.main import app\n"
        f"for code, calls in {calls!r}.items():\n"
        "    for call in calls:\n"
        "        assert CliRunner().invoke(app, call).exit_code == code, call\n"
        f"print(json.dumps(sorted({HEAVY!r} & set(sys.modules))))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_the_overview_of_commands_cuts_no_description() -> None:
    done = runner.invoke(app, ["--help"], env={"COLUMNS": "80"})
    commands = done.stdout.partition("Commands:\n")[2].splitlines()
    assert len(commands) >= 20
    # A sentence ends with one full stop, a cut description with three.
    assert [line for line in commands if line.endswith("..") or not line.endswith(".")] == []


def test_the_tables_documentation_is_up_to_date() -> None:
    documented = ROOT / "docs" / "tables.md"
    done = runner.invoke(app, ["tables-doc"])
    assert done.exit_code == 0
    assert done.stdout == tables_doc()
    assert documented.read_text() == done.stdout, "run `topshelf tables-doc > docs/tables.md`"


def test_the_configuration_s_documentation_is_up_to_date() -> None:
    documented = ROOT / "docs" / "configuration.md"
    done = runner.invoke(app, ["config", "doc"])
    assert done.exit_code == 0
    assert documented.read_text() == done.stdout, (
        "run `topshelf config doc > docs/configuration.md`"
    )
