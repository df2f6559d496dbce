"""Outcomes of steps in the lake: replaced whole, written by many, killed, damaged, not writable."""

import json
import logging
import os
import signal
import time
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from deltalake import DeltaTable

from jobs.night import outcomes
from jobs.night.job_report import JobReport, Outcome, StepFailure
from jobs.night.outcomes import keep, keep_failure, nights_of, read_outcome, read_report
from lakehouse.code import code_version
from lakehouse.errors import DataError, InfrastructureError
from lakehouse.io import arrow
from lakehouse.tables import OPS_RUNS
from tests.killing import forked

NIGHT, BEFORE = date(2024, 1, 2), date(2024, 1, 1)
DONE = JobReport(
    "train",
    NIGHT,
    rows={"events": 12345, "a": 1},
    facts={"metrics": {"all": 0.25}, "curve": [], "run": None},
    warnings=("few rows", "late rows"),
    seconds=1.5,
)
FAILED = StepFailure("train", NIGHT, 3, "silver.x breaks 2 rules:", ("y is null", "z is not"))
DELAYS = np.random.default_rng(11).uniform(0.0, 0.6, size=3).round(2).tolist()


def put(outcome: Outcome, folder: Path) -> None:
    keep(outcome, lake=folder / "lake", runs=folder / "runs")


def copies(folder: Path) -> dict[str, Any]:
    return {path.name: json.loads(path.read_text()) for path in folder.glob("runs/2024-01-02/*")}


def test_an_outcome_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    assert read_outcome(lake, NIGHT, "train") is None
    put(DONE, tmp_path)
    assert read_outcome(lake, NIGHT, "train") == read_report(lake, NIGHT, "train") == DONE
    assert read_outcome(lake, BEFORE, "train") is None
    assert read_outcome(lake, NIGHT, "gate") is None


def test_the_lake_has_a_row_of_a_step_s_newest_run(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    put(FAILED, tmp_path)
    assert read_outcome(lake, NIGHT, "train") == FAILED
    assert read_report(lake, NIGHT, "train") is None
    put(DONE, tmp_path)
    [done] = arrow.read(lake, OPS_RUNS).to_pylist()
    assert done == {
        "run_date": NIGHT,
        "step": "train",
        "status": "done",
        "rows": '{"events": 12345, "a": 1}',
        "facts": '{"metrics": {"all": 0.25}, "curve": [], "run": null}',
        "warnings": ["few rows", "late rows"],
        "seconds": 1.5,
        "exit_code": None,
        "reason": None,
        "details": [],
        "code": code_version(),
    }
    put(FAILED, tmp_path)
    [failed] = arrow.read(lake, OPS_RUNS).to_pylist()
    assert failed == {
        "run_date": NIGHT,
        "step": "train",
        "status": "failed",
        "rows": "{}",
        "facts": "{}",
        "warnings": [],
        "seconds": None,
        "exit_code": 3,
        "reason": "silver.x breaks 2 rules:",
        "details": ["y is null", "z is not"],
        "code": code_version(),
    }


def test_people_find_a_copy(tmp_path: Path) -> None:
    put(FAILED, tmp_path)
    failed = copies(tmp_path)["train.failed.json"]
    assert (failed["exit_code"], failed["run_date"]) == (3, "2024-01-02")
    put(DONE, tmp_path)
    assert list(copies(tmp_path)) == ["train.json"]
    assert copies(tmp_path)["train.json"]["rows"] == {"events": 12345, "a": 1}
    put(FAILED, tmp_path)
    assert sorted(copies(tmp_path)) == ["train.failed.json", "train.json"]


def test_no_step_reads_the_copies(tmp_path: Path) -> None:
    put(DONE, tmp_path)
    for path in tmp_path.glob("runs/2024-01-02/*"):
        path.write_text("{")
    assert read_report(tmp_path / "lake", NIGHT, "train") == DONE


def test_the_nights_of_a_step_are_told_newest_first(tmp_path: Path) -> None:
    assert nights_of(tmp_path / "lake", "train", before=NIGHT) == []
    for day in (1, 3, 2):
        put(JobReport("train", date(2024, 1, day)), tmp_path)
    put(JobReport("gate", date(2023, 12, 31)), tmp_path)
    assert nights_of(tmp_path / "lake", "train", before=date(2024, 1, 3)) == [NIGHT, BEFORE]


def _keep_some(step: str, folder: Path) -> None:
    for day in (1, 2):
        put(JobReport(step, date(2024, 1, day), rows={step: day}), folder)


def test_steps_that_end_at_the_same_time_all_leave_their_outcome(tmp_path: Path) -> None:
    steps = ("ingest", "clean", "features", "train")
    processes = [forked(_keep_some, step, tmp_path) for step in steps]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    for step in steps:
        for day in (1, 2):
            report = read_report(tmp_path / "lake", date(2024, 1, day), step)
            assert report is not None
            assert report.rows == {step: day}


def _die(*_: Any, **__: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _keep_killed(folder: Path, call: str) -> None:
    setattr(DeltaTable if hasattr(DeltaTable, call) else outcomes, call, _die)
    put(DONE, folder)


@pytest.mark.parametrize("before", [None, FAILED])
@pytest.mark.parametrize(
    ("call", "is_kept"), [("create_write_transaction", False), ("write_json", True)]
)
def test_a_step_killed_as_it_ends_leaves_the_whole_outcome_or_the_former_one(
    tmp_path: Path, before: Outcome | None, call: str, is_kept: bool
) -> None:
    if before is not None:
        put(before, tmp_path)
    process = forked(_keep_killed, tmp_path, call)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert read_outcome(tmp_path / "lake", NIGHT, "train") == (DONE if is_kept else before)
    put(DONE, tmp_path)
    assert read_outcome(tmp_path / "lake", NIGHT, "train") == DONE


def _keep_for_ever(folder: Path) -> None:
    while True:
        put(DONE, folder)
        put(FAILED, folder)


@pytest.mark.parametrize("delay", DELAYS)
def test_a_kill_at_any_time_leaves_a_whole_outcome(tmp_path: Path, delay: float) -> None:
    put(DONE, tmp_path)
    process = forked(_keep_for_ever, tmp_path)
    time.sleep(delay)
    process.kill()
    process.join()
    assert read_outcome(tmp_path / "lake", NIGHT, "train") in (DONE, FAILED)
    put(FAILED, tmp_path)
    assert read_outcome(tmp_path / "lake", NIGHT, "train") == FAILED


def test_an_outcome_that_the_lake_does_not_take_fails_the_step(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "ops").write_text("a file where the folder should be")
    with pytest.raises(InfrastructureError) as raised:
        put(DONE, tmp_path)
    assert str(raised.value).startswith(
        f"the outcome of train could not be written to {tmp_path}/lake/ops/runs: "
    )
    assert copies(tmp_path) == {}


def test_a_failure_that_the_lake_does_not_take_is_still_copied_for_people(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "lake").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        keep_failure(FAILED, lake=tmp_path / "lake", runs=tmp_path / "runs")
    assert list(copies(tmp_path)) == ["train.failed.json"]
    assert "topshelf train: its failure was not recorded: " in caplog.text


def test_a_damaged_outcome_is_named_alone_and_can_be_written_anew(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    put(DONE, tmp_path)
    put(JobReport("gate", NIGHT), tmp_path)
    [path] = (lake / OPS_RUNS.path).glob("*/step=train/*.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"table ops\.runs: run_date=2024-01-02/step=train/part-"):
        read_outcome(lake, NIGHT, "train")
    assert read_report(lake, NIGHT, "gate") == JobReport("gate", NIGHT)
    put(DONE, tmp_path)
    assert read_outcome(lake, NIGHT, "train") == DONE


def test_a_log_that_cannot_be_used_fails_the_step(tmp_path: Path) -> None:
    put(DONE, tmp_path)
    for log in (tmp_path / "lake" / OPS_RUNS.path / "_delta_log").glob("*.json"):
        log.write_text("{")
    with pytest.raises(InfrastructureError, match="restore the folder from a backup"):
        put(FAILED, tmp_path)
