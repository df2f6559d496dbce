"""What other processes do to a store in the tests: publish (and die of it), deny, poll, count up.

    python -m tests.store_processes publish ADDRESS RELEASE POINT [SHARE]
    python -m tests.store_processes poll ADDRESS STOP_FILE
    python -m tests.store_processes count ADDRESS TIMES
    python -m tests.store_processes deny ADDRESS ITEM TIMES [POINT]
    python -m tests.store_processes await_denial ADDRESS ITEM READY_FILE

POINT is where ``publish`` kills itself: ``writing``, ``before_switch``, ``after_switch``, or
``never``; ``deny`` does so ``deciding``, ``writing`` or ``after_writing``. ``poll`` looks lists up
until STOP_FILE exists, and prints how often each release answered; it fails at the first error,
mixture or half list. A file beside STOP_FILE says that it has begun. ``deny`` denies ITEM-0, ITEM-1
and so on. ``await_denial`` looks up until the item is gone, and prints the time.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unittest import mock

from serving.format.denials import Act, DenyList
from serving.format.records import Record
from serving.format.releases import Manifest, Pointer
from serving.lookup import lookup, lookup_all
from serving.publishing import publish
from serving.stores.opening import open_store
from serving.stores.store import Store
from tests.stored_lists import SHOP, USERS, act, make_release

# A whole batch of either store.
TAKEN = 1_000
MANY_USERS = tuple(f"user {number}" for number in range(1_000))


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupted(records: list[Record], act: Callable[[], None]) -> Iterator[Record]:
    """Records that do something to the process or server once a store has taken the first ones."""
    yield from records[:TAKEN]
    act()
    yield from records[TAKEN:]


def shorten_lease() -> None:
    """Let others publish a second after a Redis publisher was killed, not fifteen."""
    mock.patch("serving.stores.redis_store.LEASE_SECONDS", 1.0).start()


def start(action: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store_processes", action, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def release_with_many_users(name: str) -> tuple[Manifest, list[Record]]:
    return make_release(name, (*USERS, *MANY_USERS), size=1)


def _publish(store: Store, release: str, point: str, share: str = "100") -> None:
    manifest, records = release_with_many_users(release)
    switch = store.update

    def deadly(change: Callable[[Pointer], Pointer]) -> Pointer:
        if point == "before_switch":
            die()
        after = switch(change)
        if point == "after_switch":
            die()
        return after

    store.update = deadly  # type: ignore[method-assign]
    written = interrupted(records, die) if point == "writing" else records
    publish(store, manifest, written, keep=3, share=float(share))


def _poll(store: Store, stop: Path) -> None:
    answers: Counter[str] = Counter()
    stop.with_suffix(f".{os.getpid()}").touch()
    while not stop.exists():
        for user in USERS:
            one, other = lookup_all(store, user, ("all", "discover"))
            # Of one release and one deny list: both lists hold the same items here.
            assert (one.release, one.items) == (other.release, other.items)
            assert one.personal
            assert one.notice is None
            ranks = [item.rank for item in one.items]
            ids = [item.item_id for item in one.items]
            assert ranks == [*range(1, len(ranks) + 1)]
            assert ids in ([f"i{rank}" for rank in ranks], [f"i{rank + 1}" for rank in ranks])
            for item in one.items:
                assert item.title == f"title {item.item_id[1:]} of {one.release}"
            answers[one.release] += 1
            answers[ids[0]] += 1
    print(json.dumps(answers))  # noqa: T201


def _deny(store: Store, item: str, times: str, point: str = "never") -> None:
    if point == "writing":
        for what in ("lakehouse.files.put", "serving.stores.redis_store.RedisStore._run"):
            mock.patch(what, side_effect=die).start()
    for number in range(int(times)):
        store.deny(partial(_denying, act("denied", f"{item}-{number}"), point))
        if point == "after_writing":
            die()


def _denying(one: Act, point: str, known: DenyList) -> DenyList:
    if point == "deciding":
        die()
    return known.after([one])


def _await_denial(store: Store, item: str, ready: str) -> None:
    Path(ready).touch()
    while item in {place.item_id for place in lookup(store, "ann").items}:
        pass
    print(time.time())  # noqa: T201


def _count(store: Store, times: int) -> None:
    for _ in range(times):
        store.update(lambda pointer: pointer.activated(pointer.history[-1]))


if __name__ == "__main__":
    action, address, *rest = sys.argv[1:]
    if address.startswith("redis:"):
        shorten_lease()
    with open_store(address, SHOP) as opened:
        if action == "publish":
            _publish(opened, *rest)
        elif action == "deny":
            _deny(opened, *rest)
        elif action == "await_denial":
            _await_denial(opened, *rest)
        elif action == "poll":
            _poll(opened, Path(rest[0]))
        else:
            _count(opened, int(rest[0]))
