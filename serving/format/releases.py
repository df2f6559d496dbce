"""What a release is, which one serves, and which may go: values and rules without I/O."""

import json
import operator
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Literal, Self

from serving.format.records import DamagedReleaseError, Summary

State = Literal["current", "previous", "rolled back", "stored"]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Where a release comes from and what it holds; ``lists`` counts the lists of each name."""

    release: str
    run_date: date
    model_version: str
    table_versions: Mapping[str, int]
    configuration: str
    seed: int
    lists: Mapping[str, int]
    records: int
    checksum: str
    format: int

    @property
    def summary(self) -> Summary:
        """Count and checksum that the stored records must have."""
        return Summary(self.records, self.checksum)

    def to_json(self) -> str:
        """One line of JSON; equal manifests give equal text."""
        return json.dumps(asdict(self) | {"run_date": self.run_date.isoformat()}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The manifest that ``to_json`` wrote; raises ``DamagedReleaseError`` for anything else."""
        try:
            content = json.loads(text)
            return cls(**content | {"run_date": date.fromisoformat(content["run_date"])})
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedReleaseError("a release's manifest is not readable") from error


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which release serves.

    ``history`` lists the releases that served, oldest first; the last one serves now and the one
    before it is where a rollback goes. ``withdrawn`` lists those that a rollback took away: they
    come back by a person's act only. ``generation`` grows with every change.
    """

    generation: int = 0
    history: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()

    @property
    def current(self) -> str | None:
        """The release that serves."""
        return self.history[-1] if self.history else None

    @property
    def previous(self) -> str | None:
        """The release that a rollback brings back."""
        return self.history[-2] if len(self.history) > 1 else None

    def activated(self, release: str) -> "Pointer":
        """The pointer after ``release`` was published and took over."""
        earlier = tuple(name for name in self.history if name != release)
        return self._next((*earlier, release), self.withdrawn)

    def renewed(self) -> "Pointer":
        """The pointer after a release that it names was written anew."""
        return self._next(self.history, self.withdrawn)

    def rolled_back(self, release: str) -> "Pointer":
        """The pointer after a person chose ``release``.

        Whatever served after it, or belongs to a later night, is withdrawn.
        """
        if release in self.history:
            kept = self.history[: self.history.index(release)]
        else:
            kept = tuple(name for name in self.history if night(name) <= night(release))
        dropped = tuple(name for name in self.history if name not in kept)
        return self._next((*kept, release), (*self.withdrawn, *dropped))

    def without(self, releases: Collection[str]) -> "Pointer":
        """The pointer after ``releases``, but never the current one, left the store.

        A rolled-back release of a later night stays on record: its retry must not let it serve.
        """
        history = tuple(name for name in self.history if name not in releases)
        withdrawn = tuple(
            name
            for name in self.withdrawn
            if name not in releases or not history or night(name) >= night(history[-1])
        )
        return self._next(history, withdrawn)

    def _next(self, history: tuple[str, ...], withdrawn: tuple[str, ...]) -> "Pointer":
        current = history[-1] if history else None
        taken_away = dict.fromkeys(name for name in withdrawn if name != current)
        return Pointer(self.generation + 1, history, tuple(taken_away))

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The pointer that ``to_json`` wrote; raises ``ValueError`` for anything else."""
        try:
            content = json.loads(text)
            for release in (*content["history"], *content["withdrawn"]):
                night(release)
            return cls(
                **content
                | {"generation": operator.index(content["generation"])}
                | {name: tuple(content[name]) for name in ("history", "withdrawn")}
            )
        except (TypeError, KeyError) as error:
            raise ValueError("this is no pointer") from error


def night(release: str) -> date:
    """The run date that a release's name begins with."""
    return date.fromisoformat(release[:10])


def takes_over(release: str, pointer: Pointer) -> bool:
    """Whether publishing ``release`` makes it serve.

    A release of an older night than the one that serves doesn't, nor does one that a person rolled
    back: neither a backfill nor a retry undoes what came later. What was rolled back is not
    compared with, so that the next night takes over from whatever serves instead.
    """
    if release in pointer.withdrawn:
        return False
    return pointer.current is None or night(release) >= night(pointer.current)


def surplus(
    stored: Collection[str], pointer: Pointer, *, keep: int, damaged: Collection[str] = ()
) -> tuple[str, ...]:
    """The releases to drop so that ``keep`` stay: damaged ones first, then of the oldest nights.

    The current and the previous release always stay.
    """
    by_age = [*sorted(damaged), *sorted(stored, key=lambda name: by_night(name, pointer))]
    excess = max(len(by_age) - keep, 0)
    droppable = [name for name in by_age if name not in (pointer.current, pointer.previous)]
    return tuple(droppable[:excess])


def by_night(release: str, pointer: Pointer) -> tuple[str, int, str]:
    """What sorts releases: the night, and within one those that served last after others.

    Damaged names sort too; the nights of all others sort as text.
    """
    served = pointer.history.index(release) if release in pointer.history else -1
    return release[:10], served, release


def state(release: str, pointer: Pointer) -> State:
    """What the release is to the people who look at the list of releases."""
    if release == pointer.current:
        return "current"
    if release == pointer.previous:
        return "previous"
    return "rolled back" if release in pointer.withdrawn else "stored"
