"""What a release is, which one serves, and which may go: values and rules without I/O."""

import hashlib
import json
import operator
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Final, Literal, Self

from serving.format.records import DamagedReleaseError, Summary

State = Literal["current", "candidate", "previous", "rolled back", "stored"]
EVERYBODY: Final = 100.0
# So many of people's decisions stay on record.
KEPT_DECISIONS: Final = 20


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
class Decision:
    """What somebody decided about a rollout; ``when`` is a UTC time in ISO 8601.

    ``share`` is the per cent of the users whom the candidate serves since.
    """

    release: str
    share: float
    who: str
    why: str
    when: str


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which release serves whom.

    ``history`` lists the releases that served, oldest first; the last one serves now and the one
    before it is where a rollback goes. ``withdrawn`` lists those that a rollback took away: they
    come back by a person's act only. ``generation`` grows with every change. While a rollout is on,
    ``candidate`` serves ``share`` per cent of the users instead. ``decisions`` are people's newest
    ones about rollouts, the last one last.
    """

    generation: int = 0
    history: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    candidate: str | None = None
    share: float = 0.0
    decisions: tuple[Decision, ...] = ()

    @property
    def current(self) -> str | None:
        """The release that serves."""
        return self.history[-1] if self.history else None

    @property
    def previous(self) -> str | None:
        """The release that a rollback brings back."""
        return self.history[-2] if len(self.history) > 1 else None

    def serving(self, user: str | None) -> tuple[str, ...]:
        """The releases to ask for a user's lists: the one that serves them, then older ones.

        Without a user, as for everybody outside of the share.
        """
        older = self.history[::-1]
        if self.candidate is None or user is None or not in_share(user, self.candidate, self.share):
            return older
        return (self.candidate, *older)

    def activated(self, release: str) -> "Pointer":
        """The pointer after ``release`` was published, or its rollout finished, and took over."""
        earlier = tuple(name for name in self.history if name != release)
        return self._next((*earlier, release), self.withdrawn)

    def renewed(self) -> "Pointer":
        """The pointer after a release that it names was written anew."""
        return self._next(self.history, self.withdrawn, self.candidate, self.share)

    def proposed(self, release: str, share: float) -> "Pointer":
        """The pointer after ``release`` became the candidate for ``share`` per cent of the users.

        A person may propose what was withdrawn; a candidate before it is stored only.
        """
        withdrawn = tuple(name for name in self.withdrawn if name != release)
        return self._next(self.history, withdrawn, release, share)

    def withdrawing(self, release: str) -> "Pointer":
        """The pointer after a release other than the current one was found unfit to serve.

        If it was the candidate, the rollout is over.
        """
        history = tuple(name for name in self.history if name != release)
        withdrawn = (*self.withdrawn, release)
        if release == self.candidate:
            return self._next(history, withdrawn)
        return self._next(history, withdrawn, self.candidate, self.share)

    def rolled_back(self, release: str) -> "Pointer":
        """The pointer after a person chose ``release``.

        Whatever served after it, or belongs to a later night, is withdrawn; so is the candidate,
        unless it is the choice. To choose the current release hence aborts a rollout.
        """
        if release in self.history:
            kept = self.history[: self.history.index(release)]
        else:
            kept = tuple(name for name in self.history if night(name) <= night(release))
        dropped = [name for name in self.history if name not in kept]
        dropped += [self.candidate] if self.candidate is not None else []
        return self._next((*kept, release), (*self.withdrawn, *dropped))

    def without(self, releases: Collection[str]) -> "Pointer":
        """The pointer after ``releases``, but never the current one or the candidate, were dropped.

        A rolled-back release of a later night stays on record: its retry must not let it serve.
        """
        history = tuple(name for name in self.history if name not in releases)
        withdrawn = tuple(
            name
            for name in self.withdrawn
            if name not in releases or not history or night(name) >= night(history[-1])
        )
        return self._next(history, withdrawn, self.candidate, self.share)

    def _next(
        self,
        history: tuple[str, ...],
        withdrawn: tuple[str, ...],
        candidate: str | None = None,
        share: float = 0.0,
    ) -> "Pointer":
        serving = {*history[-1:], candidate}
        taken_away = dict.fromkeys(name for name in withdrawn if name not in serving)
        return Pointer(
            self.generation + 1, history, tuple(taken_away), candidate, share, self.decisions
        )

    def decided(self, decision: Decision) -> "Pointer":
        """The same pointer, with what was decided on record."""
        return replace(self, decisions=(*self.decisions, decision)[-KEPT_DECISIONS:])

    def to_json(self) -> str:
        """One line of JSON; without rollouts, the same as before there were any."""
        content = asdict(self)
        if self.candidate is None:
            del content["candidate"], content["share"]
        if not self.decisions:
            del content["decisions"]
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The pointer that ``to_json`` wrote; raises ``ValueError`` for anything else."""
        try:
            content = json.loads(text)
            candidate = [content["candidate"]] if "candidate" in content else []
            for release in (*content["history"], *content["withdrawn"], *candidate):
                night(release)
            return cls(
                **content
                | {"generation": operator.index(content["generation"])}
                | {name: tuple(content[name]) for name in ("history", "withdrawn")}
                | {"share": float(content.get("share", 0.0))}
                | {"decisions": tuple(Decision(**one) for one in content.get("decisions", ()))}
            )
        except (TypeError, KeyError) as error:
            raise ValueError("this is no pointer") from error


def night(release: str) -> date:
    """The run date that a release's name begins with."""
    return date.fromisoformat(release[:10])


def in_share(user: str, candidate: str, share: float) -> bool:
    """Whether the user is among the ``share`` per cent whom the candidate serves.

    Who is in stays in while the share grows; another candidate has other users.
    """
    text = f"{candidate}\0{user}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:4]) / 2**32 * EVERYBODY < share


def last_two(pointer: Pointer) -> tuple[str, str] | None:
    """The two releases that people most likely want to compare, the earlier one first.

    The current one after the one before it, or a rollout's candidate after the current one.
    """
    newest_first = [name for name in (pointer.candidate, *pointer.history[::-1]) if name]
    match newest_first:
        case [after, before, *_]:
            return before, after
    return None


def takes_over(release: str, pointer: Pointer) -> bool:
    """Whether publishing ``release`` makes it serve.

    A release of an older night than the one that serves doesn't, nor does one that a person rolled
    back: neither a backfill nor a retry undoes what came later. What was rolled back is not
    compared with, so that the next night takes over from whatever serves instead.
    """
    if release in pointer.withdrawn:
        return False
    return pointer.current is None or night(release) >= night(pointer.current)


def published(pointer: Pointer, release: str, *, share: float, written: bool) -> Pointer:
    """The pointer after ``release`` was published for ``share`` per cent of the users.

    ``written`` says whether it was not in the store before. While a rollout is on, a release for
    everybody is stored only, as people have yet to decide; one for a share takes the place of the
    candidate. The candidate published again stays what it is, with the share that it has by now.
    The first release of all is for everybody.
    """
    named = (*pointer.history, pointer.candidate)
    unchanged = pointer.renewed() if written and release in named else pointer
    if release == pointer.candidate or not takes_over(release, pointer):
        return unchanged
    if share >= EVERYBODY or pointer.current is None:
        is_next = pointer.candidate is None and (written or pointer.current != release)
        return pointer.activated(release) if is_next else unchanged
    is_later = pointer.candidate is None or night(release) >= night(pointer.candidate)
    is_new = release != pointer.current and is_later
    return pointer.proposed(release, share) if is_new else unchanged


def surplus(
    stored: Collection[str], pointer: Pointer, *, keep: int, damaged: Collection[str] = ()
) -> tuple[str, ...]:
    """The releases to drop so that ``keep`` stay: damaged ones first, then of the oldest nights.

    The current and the previous release and the candidate always stay.
    """
    by_age = [*sorted(damaged), *sorted(stored, key=lambda name: by_night(name, pointer))]
    excess = max(len(by_age) - keep, 0)
    staying = (pointer.current, pointer.previous, pointer.candidate)
    droppable = [name for name in by_age if name not in staying]
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
    if release == pointer.candidate:
        return "candidate"
    if release == pointer.previous:
        return "previous"
    return "rolled back" if release in pointer.withdrawn else "stored"
