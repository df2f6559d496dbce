"""Host-wide locks around writes.

Delta on a local disk guards commits inside one JVM only: two Spark applications can both claim one
table version, and one write is lost. Every writing step therefore holds an exclusive lock on each
table it writes. The locks are POSIX record locks, which Python and Java take on the same file and
which the kernel drops when the holding process dies. A Spark step takes them *in the JVM*, the
process that commits, so that a JVM outliving its killed driver still fences others off.

The kernel keeps one record lock a process and drops it as soon as *any* descriptor of the file is
closed. Threads of one process are therefore kept apart by a second lock in memory, taken first.

Who holds a lock writes so into its file, for those who wait. A killed holder leaves its words
there; they count only as long as the kernel names the same process as the holder.
"""

import fcntl
import json
import logging
import os
import re
import struct
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from lakehouse.errors import InfrastructureError
from lakehouse.tables import Table

if TYPE_CHECKING:
    from py4j.java_gateway import JVMView

POLL_SECONDS = 0.2
WAIT_SECONDS = 1800.0
# `struct flock` of 64-bit Linux: type, whence, start, length, process.
FLOCK: Final = "hhqqi4x"
COMMAND: Final = re.compile(r"[a-z][a-z-]*")
NIGHT: Final = re.compile(r"(?:--run-date=)?(\d{4}-\d\d-\d\d)")
# Programs whose first argument is a step or command of ours.
PROGRAMS: Final = ("topshelf", "submit.py")

logger = logging.getLogger(__name__)

_threads: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def lock_path(root: Path, table: Table) -> Path:
    """The lock file that every writer of the table holds; ``root`` is the lake's folder."""
    return root / ".locks" / table.full_name


@contextmanager
def process_lock(path: Path, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` in this Python process; not reentrant.

    Waits up to ``wait_seconds`` and logs for whom; raises ``InfrastructureError`` when it is still
    held elsewhere, or cannot be taken at all.
    """
    with _thread_lock(path, wait_seconds), _opened(path) as handle:

        def try_lock() -> bool:
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        _wait_for(try_lock, path, wait_seconds)
        _sign(handle, os.getpid())
        yield


@contextmanager
def jvm_lock(jvm: "JVMView", path: Path, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` in the JVM behind ``jvm``; not reentrant.

    Waits up to ``wait_seconds`` and logs for whom; raises ``InfrastructureError`` when it is still
    held elsewhere, or cannot be taken at all.
    """
    # Opened here too, as Java would make the file by its own umask.
    with _thread_lock(path, wait_seconds), _opened(path) as words:
        handle = jvm.java.io.RandomAccessFile(os.fspath(path.resolve()), "rw")
        try:
            channel = handle.getChannel()
            _wait_for(lambda: channel.tryLock() is not None, path, wait_seconds)
            _sign(words, jvm.java.lang.ProcessHandle.current().pid())
            yield
        finally:
            handle.close()


def holder(path: Path) -> str | None:
    """Who holds the lock, in words: process, what it runs, since when; ``None`` if nobody does.

    Not to be called by a process that holds it: closing the file would drop the lock.
    """
    with suppress(OSError), path.open("rb") as file:
        process = _locking_process(file)
        if process is None:
            return None
        name = f"process {process}" if process else "another process"
        with suppress(ValueError, KeyError, TypeError):
            words = json.loads(file.read())
            if process == words["process"]:
                return f"{name} ({words['command']}, since {words['since']})"
        return name
    return None


def _locking_process(file: IO[bytes]) -> int | None:
    """The process that the kernel names as holder; 0 if it names none of ours, ``None`` if free."""
    if sys.platform != "linux":
        return 0
    asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, process = struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else max(int(process), 0)


def _sign(file: IO[bytes], process: int) -> None:
    """Write into a lock's file that ``process`` holds it for what this one runs."""
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    words = {"process": process, "command": _command(), "since": since}
    # The words help those who wait; a full disk is for the work itself to find out.
    with suppress(OSError):
        file.truncate(0)
        file.write(json.dumps(words).encode())
        file.flush()


def _command() -> str:
    """What this process runs: the step and its night, and nothing else of the command line."""
    program, *arguments = sys.argv or [""]
    name = Path(program).name or "python"
    if name not in PROGRAMS or not arguments or not COMMAND.fullmatch(arguments[0]):
        return name
    nights = [night[1] for word in arguments if (night := NIGHT.fullmatch(word))]
    return " ".join(["topshelf", arguments[0], *(f"--run-date {night}" for night in nights[:1])])


@contextmanager
def _thread_lock(path: Path, wait_seconds: float) -> Iterator[None]:
    lock = _threads[os.fspath(path.resolve())]
    if not lock.acquire(blocking=False):
        other = f"another thread of this process ({os.getpid()})"
        logger.info("waiting for the lock %s, held by %s", path, other)
        if not lock.acquire(timeout=wait_seconds):
            raise _held(path, wait_seconds, other)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise InfrastructureError(
            f"the lock file {path} cannot be written: {error.strerror}. Let this user write its "
            "folder, then run again."
        ) from error
    with file:
        yield file


def _wait_for(try_lock: Callable[[], bool], path: Path, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    told = None
    while not try_lock():
        if time.monotonic() >= deadline:
            raise _held(path, wait_seconds, holder(path))
        time.sleep(min(POLL_SECONDS, wait_seconds))
        # Asked only now, as whoever took the lock a moment ago has not signed yet.
        other = holder(path)
        if other is not None and other != told:
            logger.info("waiting for the lock %s, held by %s", path, other)
            told = other


def _held(path: Path, wait_seconds: float, other: str | None) -> InfrastructureError:
    other = other or "another process"
    return InfrastructureError(
        f"after {wait_seconds:.0f} s the lock {path} is still held by {other}. "
        "Wait until it ends, or stop it, then run again."
    )
