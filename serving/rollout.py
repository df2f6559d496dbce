"""A release for a share of the users first: more of them, all of them, or none any more."""

from collections.abc import Callable
from dataclasses import dataclass

from lakehouse.errors import ConfigurationError, InfrastructureError
from serving.comparing import hold_to
from serving.format.guardrails import Guardrails
from serving.format.releases import EVERYBODY, Decision, Pointer
from serving.stores.store import Store, no_current_release, require_stored


@dataclass(frozen=True, slots=True)
class Signed:
    """Who decides, why and when (UTC, ISO 8601): kept with the pointer."""

    who: str
    why: str
    when: str


def set_share(
    store: Store,
    share: float,
    limits: Guardrails | None,
    release: str | None = None,
    *,
    by: Signed,
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
    decision = _decision(candidate, share, by)
    return store.update(
        _if_still(seen, lambda pointer: pointer.proposed(candidate, share).decided(decision))
    )


def finish(store: Store, limits: Guardrails | None, *, by: Signed) -> Pointer:
    """Let the candidate serve everybody; raises what ``set_share`` raises."""
    seen = store.pointer()
    candidate = _candidate(store, seen)
    hold_to(limits, store, candidate)
    decision = _decision(candidate, EVERYBODY, by)
    return store.update(
        _if_still(seen, lambda pointer: pointer.activated(candidate).decided(decision))
    )


def abort(store: Store, *, by: Signed) -> Pointer:
    """Withdraw the candidate; raises ``ConfigurationError`` where there is none."""

    def withdrawn(pointer: Pointer) -> Pointer:
        candidate = _candidate(store, pointer)
        return pointer.withdrawing(candidate).decided(_decision(candidate, 0.0, by))

    return store.update(withdrawn)


def _decision(release: str, share: float, by: Signed) -> Decision:
    return Decision(release, share, by.who, by.why, by.when)


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
