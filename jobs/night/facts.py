"""The facts of a step that a later step or a report reads, typed; all others are for people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from pydantic import JsonValue, TypeAdapter, ValidationError

from jobs.night.job_report import JobReport
from lakehouse.errors import DataError

Facts = TypeVar("Facts")


@dataclass(frozen=True, slots=True)
class TrainFacts:
    """What ``train`` says: measures by list, method and name, and the method of each list.

    ``curve`` holds LightFM's measures after each epoch, on the validation window, ``rule_costs``
    by list what business rules change and cost (``models.selection.rule_costs``).
    """

    methods: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    curve: Sequence[Mapping[str, float]] = ()
    rule_costs: Mapping[str, Sequence[Mapping[str, JsonValue]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GateFacts:
    """What ``gate`` says: whether the night's version may serve, and every rule it was held to."""

    accepted: bool
    checks: Sequence[Mapping[str, JsonValue]] = ()


@dataclass(frozen=True, slots=True)
class RecommendFacts:
    """What ``recommend`` says of the lists it wrote: their release and what they were made from.

    ``size`` is the number of places shown; those behind them are spare.
    """

    release: str
    model_version: str
    table_versions: Mapping[str, int]
    configuration: str
    seed: int
    size: int


@dataclass(frozen=True, slots=True)
class PublishFacts:
    """What ``publish`` says: the release that it wrote, and the items that were denied then."""

    release: str
    denied: Sequence[str] = ()


# Of the steps whose facts the run report shows.
REPORTED: Final[Mapping[str, type]] = {
    "train": TrainFacts,
    "gate": GateFacts,
    "publish": PublishFacts,
}


def facts_of(report: JobReport, kind: type[Facts]) -> Facts:
    """The facts of a step that ``kind`` names.

    Raises ``DataError`` naming those that are missing or of another type, as a former release may
    have left them.
    """
    try:
        facts: Facts = TypeAdapter(kind).validate_python(report.facts)
    except ValidationError as error:
        wrong = dict.fromkeys(str(problem["loc"][0]) for problem in error.errors())
        raise DataError(
            f"the outcome of the {report.step} step for {report.run_date} lacks "
            f"{', '.join(wrong)}, or has it in a former form. Run `topshelf {report.step} "
            f"--run-date {report.run_date}` again."
        ) from error
    return facts


def check_reported(report: JobReport) -> None:
    """Raise ``DataError`` where what the run report shows of the step is missing or mistyped."""
    if report.step in REPORTED:
        facts_of(report, REPORTED[report.step])
