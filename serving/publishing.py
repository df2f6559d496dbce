"""Publishing, rolling back, listing and verifying releases in any store."""

from collections.abc import Iterable
from dataclasses import dataclass

from lakehouse.errors import ConfigurationError
from serving.comparing import hold_to
from serving.format.guardrails import Guardrails
from serving.format.records import FALLBACK_KEY, DamagedReleaseError, Record, summarise
from serving.format.releases import (
    EVERYBODY,
    Manifest,
    Pointer,
    State,
    by_night,
    published,
    state,
    surplus,
)
from serving.stores.store import Store, require_stored


@dataclass(frozen=True, slots=True)
class Publication:
    """What a publish did.

    ``written`` is false where the release was there already, intact; ``current`` is the release
    that serves now, which is another one after a backfill, a person's rollback or during a rollout,
    of which ``candidate`` and ``share`` tell. ``damaged`` names the releases left in the store
    whose manifest is not readable.
    """

    written: bool
    current: str | None
    dropped: tuple[str, ...]
    damaged: tuple[str, ...] = ()
    candidate: str | None = None
    share: float = 0.0


def publish(
    store: Store,
    manifest: Manifest,
    records: Iterable[Record],
    *,
    keep: int,
    share: float = EVERYBODY,
    limits: Guardrails | None = None,
) -> Publication:
    """Store a release, verify what was stored, let it serve, and drop what exceeds ``keep``.

    ``records`` come in key order and agree with the manifest; they are gone through once at most,
    and may be made meanwhile. A second call with the same release changes nothing. Whether and whom
    the release serves: ``releases.published``. One for a ``share`` of the users that breaks its
    ``limits`` is withdrawn, and ``DataQualityError`` raised. At any other failure, what served
    before goes on serving and the same call completes the publish.
    """
    release = manifest.release
    with store.publishing():
        written = not _is_stored(store, manifest)
        if written:
            store.write(manifest, records)

        def switched(pointer: Pointer) -> Pointer:
            return published(pointer, release, share=share, written=written)

        if switched(store.pointer()).candidate == release:
            hold_to(limits, store, release)
        pointer = store.update(switched)
        damaged = store.damaged()
        dropped = surplus(store.manifests(), pointer, keep=keep, damaged=damaged)
        if dropped:
            pointer = store.update(lambda pointer: pointer.without(dropped))
            store.drop(dropped)
    left = tuple(name for name in damaged if name not in dropped)
    return Publication(written, pointer.current, dropped, left, pointer.candidate, pointer.share)


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
    """Let the release before serve again, or the one named; return the new pointer.

    Before a candidate, everybody had the current release: a rollout is aborted. What served after
    the choice stays in the store as rolled back, and comes back only by another call of this
    function; the next night's release takes over as always. Raises ``ConfigurationError`` where
    there is no such release and ``DamagedReleaseError`` where it is damaged.
    """

    def chosen(pointer: Pointer) -> Pointer:
        release = to or (pointer.previous if pointer.candidate is None else pointer.current)
        if release is None:
            raise ConfigurationError(
                f"{store.name} has no earlier release to go back to. It has: "
                f"{', '.join(sorted(store.manifests())) or 'none'}."
            )
        require_stored(store, release)
        if release == pointer.current and pointer.candidate is None:
            return pointer
        try:
            store.read((FALLBACK_KEY,), release)
        except DamagedReleaseError as error:
            raise DamagedReleaseError(
                f"{error}. Publish its night again, or choose another release by --to."
            ) from error
        return pointer.rolled_back(release)

    return store.update(chosen)


@dataclass(frozen=True, slots=True)
class ListedRelease:
    """A release and what it is to the readers; no ``manifest`` where that is lost or damaged."""

    release: str
    manifest: Manifest | None
    state: State


def list_releases(store: Store) -> tuple[ListedRelease, ...]:
    """The releases of the store, newest night first, those that served last before others."""
    pointer, manifests = store.pointer(), store.manifests()
    serving = (pointer.current, pointer.candidate, pointer.previous)
    expected = {name for name in serving if name is not None}
    newest_first = sorted(
        {*manifests, *store.damaged(), *expected},
        key=lambda name: by_night(name, pointer),
        reverse=True,
    )
    return tuple(
        ListedRelease(name, manifests.get(name), state(name, pointer)) for name in newest_first
    )
