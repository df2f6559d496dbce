"""The key-value stores that releases live in, behind one Protocol."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, Self

from lakehouse.errors import ConfigurationError
from serving.format.denials import DenyList
from serving.format.records import DamagedReleaseError, Record, Summary
from serving.format.releases import Manifest, Pointer


@dataclass(frozen=True, slots=True)
class Reading:
    """Values read from one release; ``None`` where it has no such key.

    ``fallbacks`` is empty where none of the ``values`` is missing. ``denied`` holds the items that
    no list may show, as of the same moment.
    """

    release: str
    values: tuple[bytes | None, ...]
    fallbacks: tuple[bytes | None, ...] = ()
    denied: frozenset[str] = frozenset()


class Store(Protocol):
    """A store of immutable releases, one pointer to the release that serves, and one deny list.

    Every method raises ``InfrastructureError``, naming the limit or what to do, where the disk or
    server fails; whatever served before goes on serving. Readers need no lock and never see a
    release that is not sealed.
    """

    @property
    def name(self) -> str:
        """The store's address as people may see it, without password."""
        ...

    @property
    def is_local(self) -> bool:
        """Whether reads are of this machine's memory: microseconds, and nothing to wait for."""
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

    def deny(self, change: Callable[[DenyList], DenyList]) -> DenyList:
        """Replace the deny list by ``change(deny_list)`` as one atomic step; return the new one.

        Every reader has it at its next look-up. Nothing is written where ``change`` returns what
        equals its argument. Needs no ``publishing``, and nothing published.
        """
        ...

    def denials(self) -> DenyList:
        """The deny list; an empty one where nothing was denied."""
        ...

    def manifests(self) -> Mapping[str, Manifest]:
        """The manifests of the sealed releases, by release; unreadable ones are left out."""
        ...

    def damaged(self) -> tuple[str, ...]:
        """The names of the sealed releases whose manifest is not readable."""
        ...

    def read(
        self,
        keys: Sequence[bytes],
        release: str | None = None,
        *,
        fallbacks: Sequence[bytes] = (),
        user: str | None = None,
    ) -> Reading:
        """The values of ``keys``, and of ``fallbacks`` where one of them has none.

        All come from one release, the one named or that which serves, in one round trip. While a
        rollout is on, ``user`` decides which that is. Raises ``DamagedReleaseError`` where the
        release is missing or not as published, and ``InfrastructureError`` where pointer or deny
        list is damaged: rather no list than a denied item.
        """
        ...

    def records(self, release: str) -> Iterator[Record]:
        """All records of a release in key order.

        Raises ``DamagedReleaseError`` where that release is missing or not as published.
        """
        ...

    def drop(self, releases: Sequence[str]) -> None:
        """Delete releases; the current one and the candidate are left where they are."""
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


def require_stored(store: Store, release: str) -> None:
    """Raise where the store has no such release or its manifest is damaged."""
    stored = store.manifests()
    names = ", ".join(sorted(stored)) or "none"
    if release in store.damaged():
        raise DamagedReleaseError(
            f"release {release!a} is damaged: its manifest is not readable. Publish its night "
            f"again, or choose another; {store.name} has: {names}."
        )
    if release not in stored:
        raise ConfigurationError(f"{store.name} has no release {release!r}. It has: {names}.")


def no_current_release(store: str) -> str:
    """What to tell a reader who finds a store without a current release."""
    return (
        f"{store} has no current release: nothing was published, or the store was flushed. "
        "Run `topshelf publish --run-date D` for the newest night."
    )


def deny_list_is_damaged(place: str, how_to_delete: str) -> str:
    """What to tell whoever finds the deny list at ``place`` other than it was written."""
    return (
        f"{place}, the deny list, is damaged; rather than show what was denied, nothing is served. "
        f"Look at it for the items (it is JSON), delete it ({how_to_delete}), then run `topshelf "
        "deny --item ITEM ...` for all of them at once."
    )


def differs_from_manifest(store: str, manifest: Manifest, found: Summary) -> str:
    """What to tell a publisher whose records read back otherwise than they were written."""
    return (
        f"{store}: release {manifest.release} reads back as {found.records} records with checksum "
        f"{found.checksum[:12]}, but {manifest.records} with {manifest.checksum[:12]} were "
        "written. Check the disk or server, then publish again; nothing was switched."
    )
