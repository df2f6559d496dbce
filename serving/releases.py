"""What a release is, which one serves, and which may go: values and rules without I/O."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Literal, Self

from serving.records import DamagedReleaseError, Summary

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
        """The pointer that ``to_json`` wrote."""
        content = json.loads(text)
        return cls(content["generation"], tuple(content["history"]), tuple(content["withdrawn"]))


def night(release: str) -> date:
    """The run date that a release's name begins with."""
    return date.fromisoformat(release[:10])


def takes_over(release: str, pointer: Pointer, stored: Collection[str]) -> bool:
    """Whether publishing ``release`` makes it serve.

    A release of an older night than the newest known doesn't, nor does one that a person
    rolled back: neither a backfill nor a retry undoes what came later.
    """
    newest = max(night(name) for name in (*stored, *pointer.withdrawn, release))
    return night(release) == newest and release not in pointer.withdrawn


def surplus(stored: Collection[str], pointer: Pointer, *, keep: int) -> tuple[str, ...]:
    """The releases to drop so that ``keep`` stay: of the oldest nights first.

    The current and the previous release always stay.
    """
    served = {name: place for place, name in enumerate(pointer.history)}
    by_age = sorted(stored, key=lambda name: (night(name), served.get(name, -1), name))
    excess = max(len(by_age) - keep, 0)
    droppable = [name for name in by_age if name not in (pointer.current, pointer.previous)]
    return tuple(droppable[:excess])


def state(release: str, pointer: Pointer) -> State:
    """What the release is to the people who look at the list of releases."""
    if release == pointer.current:
        return "current"
    if release == pointer.previous:
        return "previous"
    return "rolled back" if release in pointer.withdrawn else "stored"
