"""Publishing, rolling back, listing and verifying releases in any store."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from lakehouse.errors import ConfigurationError
from serving.format.records import FALLBACK_KEY, DamagedReleaseError, Record, summarise
from serving.format.releases import Manifest, Pointer, State, by_night, state, surplus, takes_over
from serving.stores.store import Store


@dataclass(frozen=True, slots=True)
class Publication:
    """What a publish did.

    ``written`` is false where the release was there already, intact; ``current`` is the release
    that serves now, which is another one after a backfill or a person's rollback. ``damaged`` names
    the releases left in the store whose manifest is not readable.
    """

    written: bool
    current: str | None
    dropped: tuple[str, ...]
    damaged: tuple[str, ...] = ()


def publish(
    store: Store, manifest: Manifest, records: Iterable[Record], *, keep: int
) -> Publication:
    """Store a release, verify what was stored, let it serve, and drop what exceeds ``keep``.

    ``records`` come in key order and agree with the manifest; they are gone through once at most,
    and may be made meanwhile. A second call with the same release changes nothing. The release
    doesn't take over from one of a later night, nor if a person rolled it back
    (``releases.takes_over``). At any failure, what served before goes on serving and the same call
    completes the publish.
    """
    release = manifest.release
    with store.publishing():
        written = not _is_stored(store, manifest)
        if written:
            store.write(manifest, records)

        def switched(pointer: Pointer) -> Pointer:
            if takes_over(release, pointer) and (written or pointer.current != release):
                return pointer.activated(release)
            return pointer.renewed() if written and release in pointer.history else pointer

        pointer = store.update(switched)
        damaged = store.damaged()
        dropped = surplus(store.manifests(), pointer, keep=keep, damaged=damaged)
        if dropped:
            pointer = store.update(lambda pointer: pointer.without(dropped))
            store.drop(dropped)
    left = tuple(name for name in damaged if name not in dropped)
    return Publication(written, pointer.current, dropped, left)


def _is_stored(store: Store, manifest: Manifest) -> bool:
    if store.manifests().get(manifest.release) != manifest:
        return False
    try:
        verify(store, manifest.release)
    except DamagedReleaseError:
        return False
    return True


def verify(store: Store, release: str) -> Manifest:
    """Read a whole release and compare count and checksum with its manifest, which is returned.

    Raises ``DamagedReleaseError`` where they differ or the release is missing.
    """
    manifest = store.manifests().get(release)
    if manifest is None:
        raise DamagedReleaseError(f"release {release} is missing")
    found = summarise(store.records(release))
    if found != manifest.summary:
        raise DamagedReleaseError(
            f"release {release} holds {found.records} records with checksum "
            f"{found.checksum[:12]}, its manifest says {manifest.records} with "
            f"{manifest.checksum[:12]}"
        )
    return manifest


def rollback(store: Store, to: str | None = None) -> Pointer:
    """Let the previous release serve again, or the one named; return the new pointer.

    What served after it stays in the store as rolled back, and comes back only by another call of
    this function; the next night's release takes over as always. Raises ``ConfigurationError``
    where there is no such release and ``DamagedReleaseError`` where it is damaged.
    """

    def chosen(pointer: Pointer) -> Pointer:
        release = to or pointer.previous
        stored = store.manifests()
        if release is None:
            raise ConfigurationError(
                f"{store.name} has no earlier release to go back to. It has: {_names(stored)}."
            )
        if release in store.damaged():
            raise DamagedReleaseError(
                f"release {release!a} is damaged: its manifest is not readable. Publish its night "
                f"again, or choose another by --to; {store.name} has: {_names(stored)}."
            )
        if release not in stored:
            raise ConfigurationError(
                f"{store.name} has no release {release!r}. It has: {_names(stored)}."
            )
        if release == pointer.current:
            return pointer
        try:
            store.read((FALLBACK_KEY,), release)
        except DamagedReleaseError as error:
            raise DamagedReleaseError(
                f"{error}. Publish its night again, or choose another release by --to."
            ) from error
        return pointer.rolled_back(release)

    return store.update(chosen)


def _names(releases: Collection[str]) -> str:
    return ", ".join(sorted(releases)) or "none"


@dataclass(frozen=True, slots=True)
class ListedRelease:
    """A release and what it is to the readers; no ``manifest`` where that is lost or damaged."""

    release: str
    manifest: Manifest | None
    state: State


def list_releases(store: Store) -> tuple[ListedRelease, ...]:
    """The releases of the store, newest night first, those that served last before others."""
    pointer, manifests = store.pointer(), store.manifests()
    expected = {name for name in (pointer.current, pointer.previous) if name is not None}
    newest_first = sorted(
        {*manifests, *store.damaged(), *expected},
        key=lambda name: by_night(name, pointer),
        reverse=True,
    )
    return tuple(
        ListedRelease(name, manifests.get(name), state(name, pointer)) for name in newest_first
    )
