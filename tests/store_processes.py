"""What other processes do to a store in the tests: publish (and die of it), poll, count up.

    python -m tests.store_processes publish ADDRESS RELEASE POINT
    python -m tests.store_processes poll ADDRESS STOP_FILE
    python -m tests.store_processes count ADDRESS TIMES

POINT is where ``publish`` kills itself: ``writing``, ``before_switch``, ``after_switch``, or
``never``. ``poll`` looks lists up until STOP_FILE exists, and prints how often each release
answered; it fails at the first error, mixture or half list.
"""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from serving.format.records import Record
from serving.format.releases import Manifest, Pointer
from serving.lookup import lookup
from serving.publishing import publish
from serving.stores.opening import open_store
from serving.stores.store import Store
from tests.stored_lists import SHOP, USERS, make_release

# A whole batch of either store.
TAKEN = 1_000
MANY_USERS = tuple(f"user {number}" for number in range(1_000))


def die() -> None:
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


def _publish(store: Store, release: str, point: str) -> None:
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
    publish(store, manifest, interrupted(records, die) if point == "writing" else records, keep=3)


def _poll(store: Store, stop: Path) -> None:
    answers: Counter[str] = Counter()
    while not stop.exists():
        for user in USERS:
            answer = lookup(store, user)
            titles = {item.title for item in answer.items}
            assert answer.personal
            assert titles == {f"title {n + 1} of {answer.release}" for n in range(len(titles))}
            assert answer.notice is None
            answers[answer.release] += 1
    print(json.dumps(answers))  # noqa: T201


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
        elif action == "poll":
            _poll(opened, Path(rest[0]))
        else:
            _count(opened, int(rest[0]))
