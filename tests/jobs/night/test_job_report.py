"""Reports and failures of steps on disk."""

from datetime import date
from pathlib import Path

import pytest

from jobs.night.job_report import (
    JobReport,
    StepFailure,
    clear_failure,
    failure_of,
    read_failures,
    read_report,
    write_failure,
    write_report,
)
from lakehouse.errors import DataError

NIGHT = date(2024, 1, 2)
FAILURE = StepFailure("clean", NIGHT, 3, "silver.x breaks 2 rules:", ("y is null", "z is not"))


def test_a_failure_comes_back_as_it_was_written(tmp_path: Path) -> None:
    assert read_failures(tmp_path, NIGHT) == {}
    path = write_failure(FAILURE, tmp_path)
    assert path == tmp_path / "2024-01-02" / "clean.failed.json"
    assert read_failures(tmp_path, NIGHT) == {"clean": FAILURE}
    assert read_failures(tmp_path, date(2024, 1, 3)) == {}


def test_the_newest_failure_of_a_step_is_kept_until_it_is_cleared(tmp_path: Path) -> None:
    newer = StepFailure("clean", NIGHT, 4, "the disk is full.")
    write_failure(FAILURE, tmp_path)
    write_failure(newer, tmp_path)
    assert read_failures(tmp_path, NIGHT) == {"clean": newer}
    clear_failure(tmp_path, NIGHT, "train")
    assert read_failures(tmp_path, NIGHT) == {"clean": newer}
    clear_failure(tmp_path, NIGHT, "clean")
    assert read_failures(tmp_path, NIGHT) == {}


def test_the_lines_of_a_foreseen_error_are_kept() -> None:
    error = DataError("silver.x breaks 2 rules:\n  y is null\n  z is not")
    assert failure_of(error, "clean", NIGHT) == FAILURE


def test_an_error_without_words_is_told_by_its_type() -> None:
    assert failure_of(DataError(), "clean", NIGHT).reason == "DataError"


@pytest.mark.parametrize("damage", [b"", b'{"step": "cle', b"[]", b"\xff\xfe"])
def test_a_damaged_record_is_still_a_failure(tmp_path: Path, damage: bytes) -> None:
    path = write_failure(FAILURE, tmp_path)
    path.write_bytes(damage)
    (failure,) = read_failures(tmp_path, NIGHT).values()
    assert (failure.step, failure.exit_code) == ("clean", None)
    assert failure.reason.startswith(f"{path} is damaged: it is no JSON")
    assert failure.reason.endswith(". Its log says why the step failed.")


def test_a_damaged_report_is_named_with_the_remedy(tmp_path: Path) -> None:
    report = JobReport("train", NIGHT, rows={"events": 12345}, facts={"metrics": {"all": 0.25}})
    path = write_report(report, tmp_path)
    assert read_report(tmp_path, NIGHT, "train") == report
    path.write_text(path.read_text().replace("12345", "12445"))
    again = "Run `topshelf train --run-date 2024-01-02` again."
    with pytest.raises(DataError, match="checksum") as raised:
        read_report(tmp_path, NIGHT, "train")
    assert str(raised.value) == f"{path} is damaged: its checksum is another. {again}"
