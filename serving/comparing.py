"""Comparing two stored releases, and holding one that is to serve to its guardrails."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from lakehouse.errors import ConfigurationError, DataQualityError
from serving.format.comparison import Comparison, compare
from serving.format.details import is_list
from serving.format.guardrails import Guardrails, breaches
from serving.stores.store import Store, require_stored

# What a reader may compare beside its other work, of both releases together: some seconds.
MOST_RECORDS: Final = 50_000
KEPT: Final = 8


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


class Comparisons:
    """Comparisons for those who look at them again and again; for one thread at a time."""

    def __init__(self, store: Store, most_records: int = MOST_RECORDS) -> None:
        """Compare releases of ``store`` that have so many records together, or fewer."""
        self._store = store
        self._most = most_records
        self._known: OrderedDict[tuple[str, str, frozenset[str]], Comparison] = OrderedDict()

    def of(self, before: str, after: str) -> Comparison:
        """As ``compare_releases``, from memory where neither they nor the denied items are others.

        Raises ``ConfigurationError`` where there is no such release, or they are too large.
        """
        for release in (before, after):
            require_stored(self._store, release)
        manifests = self._store.manifests()
        records = manifests[before].records + manifests[after].records
        if records > self._most:
            raise ConfigurationError(
                f"They have {records:,} lists, more than the {self._most:,} that are compared "
                f"while others wait for their lists. Run `topshelf diff {before} {after}`."
            )
        # A release may be written anew under its name.
        contents = (manifests[before].checksum, manifests[after].checksum)
        known = (*contents, frozenset(self._store.denials().items))
        if known not in self._known:
            self._known[known] = compare_releases(self._store, before, after)
        self._known.move_to_end(known)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return self._known[known]


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
