"""Lists from the store within a deadline, and from memory where it is slow, down or damaged.

What a list was the last time that somebody asked, and every list for everybody, stay in memory. A
task of its own looks at the pointer and opens a new release before it serves, as opening one reads
all of it. The denied items are those of the read itself, or the last ones known.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, TypeVar, cast

from lakehouse.errors import InfrastructureError, TopshelfError
from lakehouse.lists import EVERYBODY, SURFACES
from serving.api.breaker import Breaker
from serving.format.denials import DenyList
from serving.format.details import details_key
from serving.format.places import NO_PLACES, StoredList, item_ids, stored_list
from serving.format.records import DamagedReleaseError, body_of, decode, encode, key, size_of
from serving.format.releases import Manifest, Pointer
from serving.lookup import Link, ends_for_everybody
from serving.stores.store import Reading, Store

READERS: Final = 16
# Round trips under way at once to a store behind a network; what comes meanwhile shares the next.
TRIPS: Final = 2
# Requests that share one; each asks for 100 lists at most, and a script of Redis for 8,000 keys.
MOST_TOGETHER: Final = 64
REMEMBERED_BYTES: Final = 32 << 20
WATCH_SECONDS: Final = 0.25
# The store's own limit, behind the deadline, after which a reader's thread is free again.
ANSWER_SECONDS: Final = 1.0

Degraded: TypeAlias = Literal["store_slow", "store_down", "damaged_release"]
Arm: TypeAlias = Literal["candidate", "current"]
Taken = TypeVar("Taken")

logger = logging.getLogger(__name__)

EVERYBODYS_KEYS: Final = tuple(
    key(one.name, EVERYBODY) for one in SURFACES if one.keyed_by in ("context", "nobody")
)


class NothingToServeError(InfrastructureError):
    """Neither the store nor memory has a list: nothing was published, or nothing could be read."""


class ReleaseGoneError(TopshelfError):
    """The release that a cursor is of is not in the store any more."""


_Waiting: TypeAlias = "tuple[Sequence[Wanted], asyncio.Future[list[Found | None]]]"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A list that is asked for: its chain, whose release it comes from, and which one if pinned."""

    chain: tuple[Link, ...]
    user: str | None = None
    release: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A list: the release and the link of the chain that it comes from, and its places.

    ``denied`` are ids as in a place. ``degraded`` says why it is not the one it should be, ``arm``
    who gets its release while a rollout is on.
    """

    release: str
    link: Link
    places: StoredList
    denied: frozenset[bytes]
    degraded: Degraded | None = None
    arm: Arm | None = None


@dataclass(slots=True)
class Memory:
    """Lists by their keys, each with its release: those for everybody, and those asked for last."""

    limit_bytes: int = REMEMBERED_BYTES
    everybodys: dict[bytes, tuple[str, bytes]] = field(default_factory=dict)
    last: OrderedDict[bytes, tuple[str, bytes]] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def add(self, record_key: bytes, release: str, value: bytes) -> None:
        """Remember a list; the ones asked for longest ago are forgotten for it."""
        before = self.last.pop(record_key, None)
        if before is not None:
            self._bytes -= len(before[1])
        self.last[record_key] = (release, value)
        self._bytes += len(value)
        while self._bytes > self.limit_bytes:
            _, (_, forgotten) = self.last.popitem(last=False)
            self._bytes -= len(forgotten)

    def get(self, record_key: bytes) -> tuple[str, bytes] | None:
        """The list as it was last seen, and its release."""
        return self.everybodys.get(record_key) or self.last.get(record_key)


class Shelves:
    """The lists that are served; for one event loop."""

    def __init__(
        self,
        store: Store,
        *,
        deadline_seconds: float,
        breaker: Breaker | None = None,
        memory: Memory | None = None,
    ) -> None:
        """Read from ``store``; a read that takes longer than the deadline is given up."""
        self._store = store
        self._deadline = deadline_seconds
        self._memory = memory or Memory()
        self._denied: frozenset[str] = frozenset()
        self._denied_ids: frozenset[bytes] = frozenset()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._waiting: dict[_Group, list[_Waiting]] = {}
        # Those of a local store that can be read at once; to open others takes time.
        self._opened_releases: set[str] = set()
        self._trips = 0
        self._travelling: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self.breaker = breaker or Breaker()
        self.pointer = Pointer()
        self.manifests: Mapping[str, Manifest] = {}
        self.trouble: str | None = "the store was not looked at yet"

    async def start(self) -> None:
        """Look at the store, and go on looking; a store that fails is tried again."""
        await self.look()
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop looking, and give up the store."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._store.close()

    @property
    def is_ready(self) -> bool:
        """Whether there is a release, or lists in memory, to answer from."""
        return bool(self._memory.everybodys)

    def denials(self) -> DenyList:
        """The deny list, from the store itself; raises what the store raises."""
        return self._store.denials()

    def deny(self, change: Callable[[DenyList], DenyList]) -> DenyList:
        """Change the deny list, for all who read from the store; raises what the store raises."""
        return self._store.deny(change)

    async def look(self) -> None:
        """Take in the pointer, and open what it names; ``trouble`` says what went wrong."""
        loop = asyncio.get_running_loop()
        try:
            pointer = await loop.run_in_executor(self._readers, self._store.pointer)
            if pointer != self.pointer or self.trouble is not None:
                opened = await loop.run_in_executor(self._readers, self._opened, pointer)
                self._memory.everybodys.update(opened.lists)
                self.manifests = opened.manifests
                # Others are forgotten, and a release may have been written anew.
                self._opened_releases = opened.releases if self._store.is_local else set()
                self.pointer = pointer
                if opened.denied is not None:
                    self._take_denied(opened.denied)
            self.trouble = None if pointer.current is not None else "nothing was published yet"
        except TopshelfError as error:
            if str(error) != self.trouble:
                logger.warning("the store fails: %s", error)
            self.trouble = str(error)

    def _opened(self, pointer: Pointer) -> "_Opened":
        """The lists for everybody of the releases that serve; opening them is what takes time."""
        opened = _Opened(manifests=self._store.manifests())
        for release in dict.fromkeys((pointer.candidate, *pointer.serving(None)[:1])):
            if release is None:
                continue
            try:
                reading = self._store.read(EVERYBODYS_KEYS, release)
            except DamagedReleaseError as error:
                logger.warning("%s", error)
                continue
            opened.denied = reading.denied
            opened.releases.add(release)
            for record_key, value in zip(EVERYBODYS_KEYS, reading.values, strict=True):
                if value is not None:
                    opened.lists[record_key] = (release, value)
        if pointer.current is not None and not opened.lists:
            opened.lists |= self._from_older(pointer)
        return opened

    def _from_older(self, pointer: Pointer) -> dict[bytes, tuple[str, bytes]]:
        for release in pointer.serving(None)[1:]:
            with contextlib.suppress(DamagedReleaseError):
                values = self._store.read(EVERYBODYS_KEYS, release).values
                pairs = zip(EVERYBODYS_KEYS, values, strict=True)
                return {one: (release, value) for one, value in pairs if value is not None}
        return {}

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await self.look()

    async def read(self, wanted: Sequence[Wanted]) -> list[Found]:
        """A list for each that is wanted; those of one release in one round trip.

        Raises ``ReleaseGoneError`` where a pinned release is gone, and ``NothingToServeError``
        where there is nothing to answer with, or nothing of a pinned release.
        """
        groups: dict[_Group, list[int]] = {}
        for place, one in enumerate(wanted):
            groups.setdefault(self._group(one), []).append(place)
        ask = self._read if self._store.is_local else self._queued
        lists: list[Found | None] = [None] * len(wanted)
        for group, places in groups.items():
            together = await ask(group, [wanted[place] for place in places])
            for place, found in zip(places, together, strict=True):
                lists[place] = found
        if None in lists:
            raise NothingToServeError("there is no list to answer with")
        return cast("list[Found]", lists)

    def _group(self, one: Wanted) -> "_Group":
        if one.release is not None:
            return _Group((one.release,), is_pinned=True)
        return _Group(self.pointer.serving(one.user), is_pinned=False)

    async def _queued(self, group: "_Group", wanted: Sequence[Wanted]) -> list[Found | None]:
        """As ``_read``, together with whatever else is asked for while another read is under way.

        A round trip costs a client of Redis more than what it brings.
        """
        answer: asyncio.Future[list[Found | None]] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(group, []).append((wanted, answer))
        if self._trips < TRIPS:
            self._trips += 1
            trip = asyncio.create_task(self._travel())
            self._travelling.add(trip)
            trip.add_done_callback(self._travelling.discard)
        try:
            async with asyncio.timeout(self._deadline):
                return await answer
        except TimeoutError:
            return self._from_memory(wanted, "store_slow")

    async def _travel(self) -> None:
        """Read for all who wait, until nobody does."""
        try:
            while self._waiting:
                group = next(iter(self._waiting))
                everybody = self._waiting.pop(group)
                waiting, later = everybody[:MOST_TOGETHER], everybody[MOST_TOGETHER:]
                if later:
                    self._waiting[group] = later
                together = [one for wanted, _ in waiting for one in wanted]
                try:
                    found = await self._read(group, together)
                except ReleaseGoneError as error:
                    for _, answer in waiting:
                        if not answer.done():
                            answer.set_exception(error)
                    continue
                for wanted, answer in waiting:
                    own, found = found[: len(wanted)], found[len(wanted) :]
                    if not answer.done():
                        answer.set_result(own)
        finally:
            self._trips -= 1

    async def details(self, item: str) -> tuple[str, bytes | None]:
        """The release that says something of an item, and that in JSON; nothing if it has none.

        Raises ``NothingToServeError`` where that cannot be known.
        """
        record_key = details_key(item)

        def taken(reading: Reading, _: Degraded | None) -> tuple[str, bytes | None]:
            (value,) = reading.values
            if value is None:
                return reading.release, None
            body = body_of(record_key, value)
            self._memory.add(record_key, reading.release, value)
            return reading.release, body

        found, _ = await self._from_first(self._group(Wanted(())), [record_key], (), taken)
        if found is not None:
            return found
        known = self._memory.get(record_key)
        if known is None:
            raise NothingToServeError("the store cannot be asked")
        return known[0], body_of(record_key, known[1])

    async def _read(self, group: "_Group", wanted: Sequence[Wanted]) -> list[Found | None]:
        """The lists from the first of the releases that is whole; from memory without one."""
        links = [(one.chain[0], one.chain[1:]) for one in wanted]
        keys = list(dict.fromkeys(name for first, _ in links for name in first.keys))
        others = (link for _, rest in links for link in rest)
        further = list(dict.fromkeys(name for link in others for name in link.keys))

        def found(reading: Reading, degraded: Degraded | None) -> list[Found]:
            return self._found(reading, keys, further, wanted, degraded)

        lists, degraded = await self._from_first(group, keys, further, found)
        if lists is not None:
            return [*lists]
        return self._from_memory(wanted, degraded or "store_down")

    async def _from_first(
        self,
        group: "_Group",
        keys: Sequence[bytes],
        further: Sequence[bytes],
        take: Callable[[Reading, Degraded | None], Taken],
    ) -> tuple[Taken | None, Degraded | None]:
        """What ``take`` makes of the first of the releases that is whole; else why there is none.

        It raises ``DamagedReleaseError`` for one that is not.
        """
        if not self.breaker.allows():
            return None, "store_down"
        degraded: Degraded | None = None
        try:
            for release in group.releases:
                try:
                    reading = await self._from_store(keys, release, further)
                    self.breaker.succeeded()
                    return take(reading, degraded), degraded
                except DamagedReleaseError:
                    self.breaker.succeeded()
                    if group.is_pinned:
                        raise ReleaseGoneError(
                            "the release that this cursor is of is gone"
                        ) from None
                    degraded = "damaged_release"
        except TimeoutError:
            self.breaker.failed()
            return None, "store_slow"
        except InfrastructureError:
            self.breaker.failed()
            return None, "store_down"
        return None, degraded

    async def _from_store(
        self, keys: Sequence[bytes], release: str, further: Sequence[bytes]
    ) -> Reading:
        if release in self._opened_releases:
            return self._store.read(keys, release, fallbacks=further)
        loop = asyncio.get_running_loop()
        reading = loop.run_in_executor(self._readers, self._ask, keys, release, further)
        # To open a release is to read all of it.
        seconds = ANSWER_SECONDS if self._store.is_local else self._deadline
        async with asyncio.timeout(seconds):
            found = await reading
        if self._store.is_local:
            self._opened_releases.add(release)
        return found

    def _ask(self, keys: Sequence[bytes], release: str, further: Sequence[bytes]) -> Reading:
        return self._store.read(keys, release, fallbacks=further)

    def _found(
        self,
        reading: Reading,
        keys: Sequence[bytes],
        further: Sequence[bytes],
        wanted: Sequence[Wanted],
        degraded: Degraded | None,
    ) -> list[Found]:
        self._take_denied(reading.denied)
        values = dict(zip(further, reading.fallbacks, strict=False))
        values |= zip(keys, reading.values, strict=True)
        found = []
        for one in wanted:
            link, there = _first(one.chain, values, reading.release)
            found.append(self._made(reading.release, link, there, degraded))
            for record_key, value in there.items():
                self._memory.add(record_key, reading.release, value)
        return found

    def _from_memory(self, wanted: Sequence[Wanted], degraded: Degraded) -> list[Found | None]:
        return [self._remembered(one, degraded) for one in wanted]

    def _remembered(self, one: Wanted, degraded: Degraded) -> Found | None:
        for link in one.chain:
            known = {
                record_key: found
                for record_key in link.keys
                if (found := self._memory.get(record_key)) is not None
                and one.release in (None, found[0])
            }
            if known:
                # Lists of several releases are not mixed.
                release, _ = next(iter(known.values()))
                there = {name: value for name, (of, value) in known.items() if of == release}
                return self._made(release, link, there, degraded)
        return None

    def _made(
        self,
        release: str,
        link: Link,
        values: Mapping[bytes, bytes],
        degraded: Degraded | None,
    ) -> Found:
        arm: Arm | None = None
        if self.pointer.candidate is not None:
            arms: dict[str | None, Arm] = {
                self.pointer.current: "current",
                self.pointer.candidate: "candidate",
            }
            arm = arms.get(release)
        return Found(release, link, _places(link, values), self._denied_ids, degraded, arm)

    def _take_denied(self, denied: frozenset[str]) -> None:
        if denied is not self._denied:
            self._denied = denied
            self._denied_ids = item_ids(denied)


@dataclass(frozen=True, slots=True)
class _Group:
    """What can be read together: from the first of these releases that is whole."""

    releases: tuple[str, ...]
    is_pinned: bool


@dataclass(slots=True)
class _Opened:
    manifests: Mapping[str, Manifest]
    lists: dict[bytes, tuple[str, bytes]] = field(default_factory=dict)
    releases: set[str] = field(default_factory=set)
    denied: frozenset[str] | None = None


def _first(
    links: Sequence[Link], values: Mapping[bytes, bytes | None], release: str
) -> tuple[Link, dict[bytes, bytes]]:
    """The first link with lists, and these by their keys; the last one and none without any.

    Raises ``DamagedReleaseError`` where each whole release has one.
    """
    for link in links:
        there = {name: value for name in link.keys if (value := values.get(name)) is not None}
        if there:
            return link, there
    if ends_for_everybody(links):
        raise DamagedReleaseError(f"release {release} has no fallback list")
    return links[-1], {}


def _places(link: Link, values: Mapping[bytes, bytes]) -> StoredList:
    """The places of the link's list, or of several as one, with all that they have as spare."""
    if not values:
        return NO_PLACES
    if len(values) == 1:
        ((record_key, value),) = values.items()
        return stored_list(record_key, value)
    lists = {record_key: decode(record_key, value) for record_key, value in values.items()}
    size = max(size_of(record_key, value) for record_key, value in values.items())
    mixed = link.mixed(lists, sum(map(len, lists.values())))
    record_key = link.keys[0]
    return stored_list(record_key, encode(record_key, mixed, size))
