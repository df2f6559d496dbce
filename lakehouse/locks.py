"""Host-wide locks around writes.

Delta on a local disk guards commits inside one JVM only: two Spark applications can both claim one
table version, and one write is lost. Every writing step therefore holds an exclusive lock on each
table it writes. The locks are POSIX record locks, which Python and Java take on the same file and
which the kernel drops when the holding process dies. A Spark step takes them *in the JVM*, the
process that commits, so that a JVM outliving its killed driver still fences others off.

The kernel keeps one record lock a process and drops it as soon as *any* descriptor of the file is
closed. Threads of one process are therefore kept apart by a second lock in memory, taken first.
"""

import fcntl
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import InfrastructureError
from lakehouse.tables import Table

if TYPE_CHECKING:
    from py4j.java_gateway import JVMView

POLL_SECONDS = 0.2
WAIT_SECONDS = 1800.0

_threads: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def lock_path(root: Path, table: Table) -> Path:
    """The lock file that every writer of the table holds; ``root`` is the lake's folder."""
    return root / ".locks" / table.full_name


@contextmanager
def process_lock(path: Path, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` in this Python process; not reentrant.

    Waits up to ``wait_seconds``; raises ``InfrastructureError`` when it is still held elsewhere.
    """
    with _thread_lock(path, wait_seconds), path.open("a") as handle:

        def try_lock() -> bool:
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        _wait_for(try_lock, path, wait_seconds)
        yield


@contextmanager
def jvm_lock(jvm: "JVMView", path: Path, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` in the JVM behind ``jvm``; not reentrant.

    Waits up to ``wait_seconds``; raises ``InfrastructureError`` when it is still held elsewhere.
    """
    with _thread_lock(path, wait_seconds):
        path.touch()  # Java would make it by its own umask.
        handle = jvm.java.io.RandomAccessFile(os.fspath(path.resolve()), "rw")
        try:
            channel = handle.getChannel()
            _wait_for(lambda: channel.tryLock() is not None, path, wait_seconds)
            yield
        finally:
            handle.close()


@contextmanager
def _thread_lock(path: Path, wait_seconds: float) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _threads[os.fspath(path.resolve())]
    if not lock.acquire(timeout=wait_seconds):
        raise _held(path, wait_seconds)
    try:
        yield
    finally:
        lock.release()


def _wait_for(try_lock: Callable[[], bool], path: Path, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while not try_lock():
        if time.monotonic() >= deadline:
            raise _held(path, wait_seconds)
        time.sleep(POLL_SECONDS)


def _held(path: Path, wait_seconds: float) -> InfrastructureError:
    return InfrastructureError(
        f"another run holds the lock {path} for more than {wait_seconds:.0f} s. Wait until it "
        "ends, or stop it (`fuser` on the file names the process), then run again."
    )
