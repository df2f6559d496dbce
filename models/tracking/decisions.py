"""What people decided about versions: who, why, when, and which version was champion then."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Self, cast

from models.tracking.versions import DECISION_TAG, Action, ModelVersion, time_of

if TYPE_CHECKING:  # It imports MLflow, which takes seconds.
    from models.tracking.registry import Registry

FINISHED: Final = "FINISHED"


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision; ``champion_before`` is the label of the champion then, ``-`` without one."""

    action: Action
    version: str
    champion_before: str
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision with MLflow's time of it.

    Where it is not ``complete``, the program was killed halfway: the command is to be given again.
    """

    decision: Decision
    when: datetime
    complete: bool

    @classmethod
    def from_run(cls, tags: Mapping[str, str], *, started: int, status: str) -> Self:
        """The decision of which MLflow keeps a run with these tags, time and status."""
        return cls(
            Decision(
                action=cast("Action", tags[DECISION_TAG]),
                version=tags[f"{DECISION_TAG}.version"],
                champion_before=tags[f"{DECISION_TAG}.champion_before"],
                who=tags[f"{DECISION_TAG}.who"],
                why=tags[f"{DECISION_TAG}.why"],
            ),
            when=time_of(started),
            complete=status == FINISHED,
        )


def record(registry: "Registry", decision: Decision, version: ModelVersion) -> None:
    """Keep a decision: the version's last one as its tags, and each as an MLflow run of its own.

    The runs lie in an experiment apart, so that training runs stay comparable among themselves.
    """
    tags = {
        DECISION_TAG: decision.action,
        f"{DECISION_TAG}.who": decision.who,
        f"{DECISION_TAG}.why": decision.why,
        f"{DECISION_TAG}.champion_before": decision.champion_before,
    }
    with registry.reporting():
        run = registry.client.create_run(
            registry.create_experiment(experiment_of_decisions(registry.experiment)),
            run_name=f"{decision.version} {decision.action} by {decision.who}",
            tags={
                **tags,
                f"{DECISION_TAG}.version": decision.version,
                **version.provenance.tags(),
            },
        )
    registry.tag(version, tags)
    with registry.reporting():
        registry.client.set_terminated(run.info.run_id)


def recorded(registry: "Registry") -> tuple[Recorded, ...]:
    """Every decision, the oldest first."""
    with registry.reporting():
        experiment = registry.client.get_experiment_by_name(
            experiment_of_decisions(registry.experiment)
        )
        runs = registry.client.search_runs(
            [] if experiment is None else [experiment.experiment_id],
            order_by=["attributes.start_time ASC"],
        )
    return tuple(
        Recorded.from_run(run.data.tags, started=run.info.start_time, status=run.info.status)
        for run in runs
    )


def experiment_of_decisions(experiment: str) -> str:
    """The experiment beside that of the nights which holds what people decided."""
    return f"{experiment} decisions"
