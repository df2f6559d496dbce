"""Versions of the registered model as MLflow's tags tell of them; MLflow itself is not needed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, Literal, Self, TypeAlias, cast

RUN_DATE_TAG: Final = "run_date"
TABLE_VERSIONS_TAG: Final = "table_versions"
CONFIGURATION_TAG: Final = "configuration"
SEED_TAG: Final = "seed"
GATE_TAG: Final = "gate"
GATE_REASONS_TAG: Final = "gate.reasons"
PASSED: Final = "passed"
REFUSED: Final = "refused"
DECISION_TAG: Final = "decision"
TOOK_OVER_FROM_TAG: Final = "champion.from"

Action: TypeAlias = Literal["promoted", "demoted"]


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a version was made from: enough to make it again.

    ``table_versions`` gives the Delta version of each table by full name, ``configuration`` is the
    digest of the settings.
    """

    run_date: date
    table_versions: Mapping[str, int]
    configuration: str
    seed: int

    def tags(self) -> dict[str, str]:
        """The same as tags of a run and of a model version."""
        return {
            RUN_DATE_TAG: self.run_date.isoformat(),
            TABLE_VERSIONS_TAG: json.dumps(dict(self.table_versions), sort_keys=True),
            CONFIGURATION_TAG: self.configuration,
            SEED_TAG: str(self.seed),
        }

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Self:
        """The inverse of ``tags``; other tags are ignored."""
        return cls(
            run_date=date.fromisoformat(tags[RUN_DATE_TAG]),
            table_versions=json.loads(tags[TABLE_VERSIONS_TAG]),
            configuration=tags[CONFIGURATION_TAG],
            seed=int(tags[SEED_TAG]),
        )


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of the registered model.

    ``verdict`` is the gate's, ``None`` before it; ``decision`` a person's last one, if any;
    ``took_over_from`` the number of the version that was champion before this one.
    """

    name: str
    number: int
    run_id: str
    provenance: Provenance
    verdict: str | None = None
    decision: Action | None = None
    took_over_from: int | None = None

    @classmethod
    def from_tags(cls, name: str, number: int, run_id: str, tags: Mapping[str, str]) -> Self:
        """The version of which the registry keeps these tags."""
        before = tags.get(TOOK_OVER_FROM_TAG)
        return cls(
            name=name,
            number=number,
            run_id=run_id,
            provenance=Provenance.from_tags(tags),
            verdict=tags.get(GATE_TAG),
            decision=cast("Action | None", tags.get(DECISION_TAG)),
            took_over_from=int(before) if before else None,
        )

    @property
    def passed(self) -> bool:
        """Whether its lists may be published: a person's decision stands above the gate's."""
        if self.decision is not None:
            return self.decision == "promoted"
        return self.verdict == PASSED

    @property
    def night(self) -> date:
        """The run date of the night that trained it."""
        return self.provenance.run_date

    @property
    def label(self) -> str:
        """The version in tables and messages, as ``name/number``."""
        return f"{self.name}/{self.number}"


@dataclass(frozen=True, slots=True)
class ListedVersion:
    """A version as people list it: when MLflow took it in, its aliases, its run's metrics."""

    version: ModelVersion
    created: datetime
    aliases: tuple[str, ...]
    metrics: Mapping[str, float]


def time_of(milliseconds: int) -> datetime:
    """A time as MLflow keeps it, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
