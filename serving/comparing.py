"""Comparing two stored releases, and holding one that is to serve to its guardrails."""

from collections.abc import Callable

from lakehouse.errors import DataQualityError
from serving.format.comparison import Comparison, compare
from serving.format.details import is_list
from serving.format.guardrails import Guardrails, breaches
from serving.stores.store import Store


def compare_releases(
    store: Store,
    before: str,
    after: str,
    segment_of: Callable[[str], str | None] = lambda _user: None,
) -> Comparison:
    """What readers get from ``after``, against ``before``, without what is denied now.

    Raises ``DamagedReleaseError`` where one of them is missing or damaged.
    """
    denied = store.denials().items
    old, new = (
        (record for record in store.records(release) if is_list(record[0]))
        for release in (before, after)
    )
    return compare(old, new, denied, segment_of)


def hold_to(limits: Guardrails | None, store: Store, release: str) -> None:
    """Raise ``DataQualityError`` where the release breaks a limit, and withdraw it, rollout or not.

    It is compared with the current release; without limits nothing is asked.
    """
    current = store.pointer().current
    if limits is None or current is None or current == release:
        return
    broken = tuple(breaches(limits, compare_releases(store, current, release)))
    if not broken:
        return
    store.update(lambda pointer: pointer.withdrawing(release))
    lines = "".join(f"\n  {line}" for line in broken)
    raise DataQualityError(
        f"{release} breaks {len(broken)} guardrail(s) and is withdrawn; {current} serves "
        f"everybody. `topshelf diff {current} {release}` shows more. Mend what makes the lists, or "
        f"change the limits, then `topshelf rollout set SHARE --release {release}`:{lines}"
    )
