"""A release for a share of the users first: more of them, all of them, or none any more."""

from collections.abc import Callable

from lakehouse.errors import ConfigurationError, InfrastructureError
from serving.comparing import hold_to
from serving.format.guardrails import Guardrails
from serving.format.releases import Pointer
from serving.stores.store import Store, no_current_release, require_stored


def set_share(
    store: Store, share: float, limits: Guardrails | None, release: str | None = None
) -> Pointer:
    """Let the candidate, or ``release`` in its place, serve ``share`` per cent of the users.

    Raises ``ConfigurationError`` where there is none and ``DataQualityError`` where it breaks its
    guardrails, after which it is withdrawn.
    """
    seen = store.pointer()
    if seen.current is None:
        raise InfrastructureError(no_current_release(store.name))
    candidate = release or _candidate(store, seen)
    if candidate == seen.current:
        raise ConfigurationError(f"{candidate} serves everybody already.")
    require_stored(store, candidate)
    hold_to(limits, store, candidate)
    return store.update(_if_still(seen, lambda pointer: pointer.proposed(candidate, share)))


def finish(store: Store, limits: Guardrails | None) -> Pointer:
    """Let the candidate serve everybody; raises what ``set_share`` raises."""
    seen = store.pointer()
    candidate = _candidate(store, seen)
    hold_to(limits, store, candidate)
    return store.update(_if_still(seen, lambda pointer: pointer.activated(candidate)))


def abort(store: Store) -> Pointer:
    """Withdraw the candidate; raises ``ConfigurationError`` where there is none."""
    return store.update(lambda pointer: pointer.withdrawing(_candidate(store, pointer)))


def _candidate(store: Store, pointer: Pointer) -> str:
    if pointer.candidate is None:
        raise ConfigurationError(
            f"{store.name}: no rollout is on. `topshelf publish --share SHARE` begins one, or "
            "`topshelf rollout set SHARE --release RELEASE` for a release that is stored."
        )
    return pointer.candidate


def _if_still(seen: Pointer, change: Callable[[Pointer], Pointer]) -> Callable[[Pointer], Pointer]:
    """``change`` of the pointer that was looked at, refused where somebody has moved it since."""

    def checked(pointer: Pointer) -> Pointer:
        if pointer != seen:
            raise ConfigurationError(
                "the releases that serve have changed since they were checked. Look at `topshelf "
                "releases`, then try again."
            )
        return change(pointer)

    return checked
