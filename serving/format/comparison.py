"""What readers get from one release and from another: records in key order, met in one pass.

Memory grows with the items, not with the lists. A list counts as it is shown: without denied items
and spare places.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Final

from lakehouse.lists import PERSONAL_LISTS
from serving.format.records import Item, Record, list_of, shown, user_of

# The source of places that no method had an item for.
POPULARITY: Final = "popularity"
SHOWN_MOVERS: Final = 10


@dataclass(frozen=True, slots=True)
class ListDifference:
    """How the lists of one name differ.

    ``before`` and ``after`` count the lists of either release, ``both`` those in both and
    ``identical`` those of them with the same items in the same order. ``churn`` is of ``compared``
    lists, which are in both and have items after. ``empty`` counts lists of either release that
    have no item after. ``places`` and ``filled_up``, those that popularity filled, are those after.
    """

    list_name: str
    before: int
    after: int
    both: int
    identical: int
    compared: int
    churn: float | None
    empty: int
    places: int
    filled_up: int
    items_in: int
    items_out: int

    @property
    def changed(self) -> int:
        """The lists of both releases that are not identical."""
        return self.both - self.identical

    @property
    def either(self) -> int:
        """The lists that one of the releases has."""
        return self.before + self.after - self.both


@dataclass(frozen=True, slots=True)
class Mover:
    """An item and the number of users' lists that it is in, before and after."""

    item_id: str
    title: str | None
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class SegmentChurn:
    """The mean churn of the lists of one segment's users."""

    segment: str
    lists: int
    churn: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two releases; churn is the share of a list's items that it did not have before."""

    lists: tuple[ListDifference, ...]
    segments: tuple[SegmentChurn, ...]
    movers: tuple[Mover, ...]
    items_before: int
    items_after: int

    @property
    def empty_share(self) -> float:
        """The share of users' lists, of either release, that have no item after."""
        return _share(
            sum(one.empty for one in self._of_users), sum(one.either for one in self._of_users)
        )

    @property
    def fallback_share(self) -> float:
        """The share of the places of users' lists after that popularity filled."""
        return _share(
            sum(one.filled_up for one in self._of_users), sum(one.places for one in self._of_users)
        )

    @property
    def coverage_ratio(self) -> float:
        """The different items in users' lists, as a share of those before."""
        return self.items_after / self.items_before if self.items_before else 1.0

    @property
    def churn(self) -> float:
        """The mean churn of users' lists."""
        return _share(
            sum(one.compared * (one.churn or 0.0) for one in self._of_users),
            sum(one.compared for one in self._of_users),
        )

    @property
    def _of_users(self) -> tuple[ListDifference, ...]:
        return tuple(one for one in self.lists if one.list_name in PERSONAL_LISTS)


def compare(
    before: Iterable[Record],
    after: Iterable[Record],
    denied: Collection[str] = (),
    segment_of: Callable[[str], str | None] = lambda _user: None,
) -> Comparison:
    """Compare two releases' records, each in key order and gone through once.

    ``segment_of`` gives the segment of a user, where one is known. Raises ``DamagedReleaseError``
    where a record is damaged.
    """
    tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
    segments: defaultdict[str, _Mean] = defaultdict(_Mean)
    titles: dict[str, str | None] = {}
    for record_key, *values in joined(before, after):
        old, new = (None if value is None else shown(record_key, value, denied) for value in values)
        for item in (*(old or ()), *(new or ())):
            titles[item.item_id] = item.title
        name = list_of(record_key)
        churn = tallies[name].add(old, new)
        user = user_of(record_key) if name in PERSONAL_LISTS else None
        if churn is not None and user is not None and (segment := segment_of(user)) is not None:
            segments[segment].add(churn)
    of_users = [tally for name, tally in tallies.items() if name in PERSONAL_LISTS]
    items_before = _together(tally.items_before for tally in of_users)
    items_after = _together(tally.items_after for tally in of_users)
    return Comparison(
        lists=tuple(tally.result(name) for name, tally in sorted(tallies.items())),
        segments=tuple(
            SegmentChurn(name, mean.count, mean.value) for name, mean in sorted(segments.items())
        ),
        movers=movers(items_before, items_after, titles),
        items_before=len(items_before),
        items_after=len(items_after),
    )


def movers(
    before: Counter[str], after: Counter[str], titles: Mapping[str, str | None]
) -> tuple[Mover, ...]:
    """The items whose number of lists changed most, by that; equals by their ids."""
    changes = {item: abs(after[item] - before[item]) for item in before | after}
    moved = sorted((-change, item) for item, change in changes.items() if change)
    return tuple(
        Mover(item, titles[item], before[item], after[item]) for _, item in moved[:SHOWN_MOVERS]
    )


def joined(
    before: Iterable[Record], after: Iterable[Record]
) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """Each key of either, in order, with its values before and after."""
    for record_key, found in groupby(merge(_of(0, before), _of(1, after)), key=itemgetter(0)):
        values = {side: value for _, side, value in found}
        yield record_key, values.get(0), values.get(1)


def _of(side: int, records: Iterable[Record]) -> Iterator[tuple[bytes, int, bytes]]:
    return ((record_key, side, value) for record_key, value in records)


@dataclass(slots=True)
class _Mean:
    """A mean of what is added."""

    count: int = 0
    total: float = 0.0

    @property
    def value(self) -> float:
        return self.total / self.count

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value


@dataclass(slots=True)
class _Tally:
    """The figures of the lists of one name, while they come in."""

    before: int = 0
    after: int = 0
    both: int = 0
    identical: int = 0
    empty: int = 0
    places: int = 0
    filled_up: int = 0
    churn: _Mean = field(default_factory=_Mean)
    items_before: Counter[str] = field(default_factory=Counter)
    items_after: Counter[str] = field(default_factory=Counter)

    def add(self, old: tuple[Item, ...] | None, new: tuple[Item, ...] | None) -> float | None:
        """Count a list; return its churn where it has one."""
        ids_before = [item.item_id for item in old or ()]
        ids_after = [item.item_id for item in new or ()]
        self.before += old is not None
        self.after += new is not None
        self.empty += not ids_after
        self.places += len(ids_after)
        self.filled_up += sum(item.source == POPULARITY for item in new or ())
        self.items_before.update(ids_before)
        self.items_after.update(ids_after)
        if old is None or new is None:
            return None
        self.both += 1
        self.identical += ids_before == ids_after
        if not ids_after:
            return None
        churn = len({*ids_after} - {*ids_before}) / len(ids_after)
        self.churn.add(churn)
        return churn

    def result(self, list_name: str) -> ListDifference:
        return ListDifference(
            list_name=list_name,
            before=self.before,
            after=self.after,
            both=self.both,
            identical=self.identical,
            compared=self.churn.count,
            churn=self.churn.value if self.churn.count else None,
            empty=self.empty,
            places=self.places,
            filled_up=self.filled_up,
            items_in=len(self.items_after.keys() - self.items_before.keys()),
            items_out=len(self.items_before.keys() - self.items_after.keys()),
        )


def _together(counters: Iterable[Counter[str]]) -> Counter[str]:
    together: Counter[str] = Counter()
    for counter in counters:
        together.update(counter)
    return together


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
