"""Errors as failures of steps, and the facts that later steps read."""

from datetime import date

import pytest

from jobs.night.facts import (
    GateFacts,
    PublishFacts,
    RecommendFacts,
    TrainFacts,
    check_reported,
    facts_of,
)
from jobs.night.job_report import JobReport, JsonValue, StepFailure, failure_of
from lakehouse.errors import DataError

NIGHT = date(2024, 1, 2)
RELEASE: dict[str, JsonValue] = {
    "release": "2024-01-02-0a1b2c3d",
    "model_version": "topshelf/7",
    "table_versions": {"gold.user_features": 3},
    "configuration": "c0ffee",
    "seed": 42,
}


def test_the_lines_of_a_foreseen_error_are_kept() -> None:
    error = DataError("silver.x breaks 2 rules:\n  y is null\n  z is not")
    assert failure_of(error, "clean", NIGHT) == StepFailure(
        "clean", NIGHT, 3, "silver.x breaks 2 rules:", ("y is null", "z is not")
    )


def test_an_error_without_words_is_told_by_its_type() -> None:
    assert failure_of(DataError(), "clean", NIGHT).reason == "DataError"


def test_facts_that_others_read_are_typed_and_all_others_left_aside() -> None:
    recommend = JobReport("recommend", NIGHT, facts={**RELEASE, "size": 20, "users": 12})
    assert facts_of(recommend, RecommendFacts) == RecommendFacts(
        "2024-01-02-0a1b2c3d", "topshelf/7", {"gold.user_features": 3}, "c0ffee", 42, 20
    )
    gate = JobReport("gate", NIGHT, facts={"accepted": True, "checks": [{"low": None}]})
    assert facts_of(gate, GateFacts) == GateFacts(accepted=True, checks=[{"low": None}])
    assert facts_of(JobReport("train", NIGHT), TrainFacts) == TrainFacts({}, {}, ())
    assert facts_of(JobReport("publish", NIGHT, facts=RELEASE), PublishFacts) == PublishFacts(
        "2024-01-02-0a1b2c3d"
    )


def test_facts_that_are_missing_or_mistyped_are_named_with_the_step_to_run() -> None:
    wrong = {**RELEASE, "size": 20, "seed": None, "table_versions": {"gold.user_features": "three"}}
    del wrong["release"]
    with pytest.raises(DataError) as raised:
        facts_of(JobReport("recommend", NIGHT, facts=wrong), RecommendFacts)
    assert str(raised.value) == (
        "the outcome of the recommend step for 2024-01-02 lacks release, table_versions, seed, or "
        "has it in a former form. Run `topshelf recommend --run-date 2024-01-02` again."
    )


def test_a_report_checks_the_facts_it_shows_and_no_others() -> None:
    check_reported(JobReport("recommend", NIGHT))
    with pytest.raises(DataError, match="outcome of the gate step for 2024-01-02 lacks accepted,"):
        check_reported(JobReport("gate", NIGHT))
