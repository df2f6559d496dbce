"""The key-value stores that releases live in, behind one Protocol."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, Self

from serving.format.records import Record, Summary
from serving.format.releases import Manifest, Pointer


@dataclass(frozen=True, slots=True)
class Reading:
    """Values read from one release; ``None`` where it has no such key."""

    release: str
    values: tuple[bytes | None, ...]


class Store(Protocol):
    """A store of immutable releases and one pointer to the release that serves.

    Every method raises ``InfrastructureError``, naming the limit or what to do, where the disk or
    server fails; whatever served before goes on serving. Readers need no lock and never see a
    release that is not sealed.
    """

    @property
    def name(self) -> str:
        """The store's address as people may see it, without password."""
        ...

    def publishing(self) -> AbstractContextManager[None]:
        """Hold the sole right to ``write`` and ``drop``, and clear what killed publishers left.

        A second publisher waits for the first one.
        """
        ...

    def write(self, manifest: Manifest, records: Iterable[Record]) -> None:
        """Store ``records`` (in key order), read them back, compare with the manifest, seal.

        They are gone through once and never all held in memory.
        On return the release is listed; after a failure it is not. A release of the same name is
        replaced as a whole.
        """
        ...

    def update(self, change: Callable[[Pointer], Pointer]) -> Pointer:
        """Replace the pointer by ``change(pointer)`` as one atomic step; return the new pointer.

        Nothing is written where ``change`` returns its argument. Needs no ``publishing``.
        """
        ...

    def pointer(self) -> Pointer:
        """The pointer; an empty one where nothing was published."""
        ...

    def manifests(self) -> Mapping[str, Manifest]:
        """The manifests of the sealed releases, by release; unreadable ones are left out."""
        ...

    def damaged(self) -> tuple[str, ...]:
        """The names of the sealed releases whose manifest is not readable."""
        ...

    def read(self, keys: Sequence[bytes], release: str | None = None) -> Reading:
        """The values of ``keys``, all from one release: the current one or the one named.

        Raises ``DamagedReleaseError`` where that release is missing or not as published.
        """
        ...

    def records(self, release: str) -> Iterator[Record]:
        """All records of a release in key order.

        Raises ``DamagedReleaseError`` where that release is missing or not as published.
        """
        ...

    def drop(self, releases: Sequence[str]) -> None:
        """Delete releases; the current one is left where it is."""
        ...

    def close(self) -> None:
        """Give up files and connections."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def batches(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    """``records`` in order, ``size`` at a time."""
    left = iter(records)
    while batch := list(islice(left, size)):
        yield batch


def no_current_release(store: str) -> str:
    """What to tell a reader who finds a store without a current release."""
    return (
        f"{store} has no current release: nothing was published, or the store was flushed. "
        "Run `topshelf publish --run-date D` for the newest night."
    )


def differs_from_manifest(store: str, manifest: Manifest, found: Summary) -> str:
    """What to tell a publisher whose records read back otherwise than they were written."""
    return (
        f"{store}: release {manifest.release} reads back as {found.records} records with checksum "
        f"{found.checksum[:12]}, but {manifest.records} with {manifest.checksum[:12]} were "
        "written. Check the disk or server, then publish again; nothing was switched."
    )
