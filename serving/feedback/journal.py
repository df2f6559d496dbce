"""Events on the disk before they are acknowledged, once each, as landing files of the next night.

    feedback/_DATE.ID.jsonl   what a process is appending to; the night leaves hidden names alone
    feedback/DATE.ID.jsonl    what a night takes in: whole lines, each event once, never changed
    feedback/_index/          LMDB: which file has an event (one database a day), and what is to be
                              hidden from whom

A process appends to a file of its own, forces it to the disk, and then commits to the index that
the file has these events. All of it is one write transaction of the index, hence for one process at
a time. Killed in between, the file has lines that the index knows nothing of, or half a line, and
nobody was told that they were taken: a client sends them again, to another process. Whoever lives
closes the files that the dead left (``recover``). A line stays where the index says so, or says
nothing; where it names another file, that one has the event.

A file is closed when its day ends by this machine's clock, and is never opened again, whatever the
clock does then. The next night takes in files of days before its own.
"""

import errno
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final

import lmdb

from lakehouse.errors import InfrastructureError
from lakehouse.files import replacing, sync
from serving.feedback.events import Event, line

# So many days an event that is sent again is known; the lake knows it for ever.
REMEMBERED_DAYS: Final = 7
MOST_HIDDEN: Final = 1_000
# By then a night knows of a purchase, or nothing was published for a month.
PURCHASE_DAYS: Final = 30
INDEX_BYTES: Final = 4 << 30
_INDEX: Final = "_index"
_SEEN: Final = b"seen "
_HIDDEN: Final = b"hidden"
# A handle of a day that another process dropped stays: five years of days.
_DATABASES: Final = 2_048
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskFullError(InfrastructureError):
    """There is no room for events; nothing of the batch was kept."""


@dataclass(frozen=True, slots=True)
class _Segment:
    """The file that this process appends to."""

    day: date
    name: str
    path: Path
    file: IO[bytes]


class Journal:
    """One process's part in the events of a folder; ``append`` and ``close_day`` in one thread.

    ``now`` gives the time in UTC.
    """

    def __init__(self, folder: Path, now: Callable[[], datetime] | None = None) -> None:
        """Open the folder; ``recover`` closes what dead processes left."""
        self._folder = folder
        self._now = now or _now
        with _naming_limits(folder):
            folder.mkdir(parents=True, exist_ok=True)
            index = folder / _INDEX
            index.mkdir(exist_ok=True, mode=0o700)
            self._index = lmdb.open(
                os.fspath(index),
                map_size=INDEX_BYTES,
                max_dbs=_DATABASES,
                metasync=False,
                mode=0o600,
            )
            self._index.reader_check()
            self._hidden = self._index.open_db(_HIDDEN)
        self._days: dict[date, Any] = {}
        self._segment: _Segment | None = None

    def append(self, events: Sequence[Event]) -> tuple[Event, ...]:
        """Put the events that are new on the disk; return them when they are there.

        Raises ``DiskFullError``, or another ``InfrastructureError``, with nothing kept.
        """
        now = self._now()
        day = now.date()
        with _naming_limits(self._folder):
            today = self._seen(day)
            days = self._remembered(day)
            segment = self._current(day)
            end = segment.file.tell()
            try:
                with self._index.begin(write=True) as transaction:
                    fresh: dict[bytes, Event] = {}
                    for event in events:
                        name = event.event_id.encode()
                        if not any(transaction.get(name, db=one) for one in days):
                            fresh.setdefault(name, event)
                    if fresh:
                        _write(segment.file, b"".join(line(one, now) for one in fresh.values()))
                    for name in fresh:
                        transaction.put(name, segment.name.encode(), db=today)
                    self._hide(transaction, fresh.values(), day)
            except BaseException:
                # Not acknowledged: nothing may be left that comes back a second time.
                os.ftruncate(segment.file.fileno(), end)
                segment.file.seek(end)
                raise
        return tuple(fresh.values())

    def hidden(self, user_id: str, run_date: date) -> frozenset[str]:
        """The items not to show the user in lists of the night ``run_date``.

        What they dismissed, and what they bought on a day that this night knows nothing of.
        """
        with self._index.begin(db=self._hidden) as transaction:
            stored = transaction.get(_user_key(user_id))
        if stored is None:
            return frozenset()
        return frozenset(
            item
            for item, (kind, day) in json.loads(stored).items()
            if kind == "dismissal" or date.fromisoformat(day) >= run_date
        )

    def close_day(self) -> None:
        """Close what was begun on another day, and forget old events' ids."""
        today = self._now().date()
        if self._segment is not None and self._segment.day != today:
            self._close_segment()
        with _naming_limits(self._folder):
            self._forget(today)

    def close(self) -> None:
        """Close the file, so that the next night finds it."""
        self._close_segment()
        self._index.close()

    def recover(self) -> None:
        """Close the files of processes that are dead."""
        for path in sorted(self._folder.glob("_*.jsonl")):
            with _naming_limits(self._folder), suppress(FileNotFoundError), path.open("rb") as file:
                # Who waits for nobody may come after another who closed it.
                if _lock(file) and path.exists():
                    self._close_file(path, file.read())

    def _current(self, day: date) -> _Segment:
        if self._segment is not None and self._segment.day != day:
            self._close_segment()
        while self._segment is None:
            name = f"{day}.{secrets.token_hex(4)}.jsonl"
            path = self._folder / f"_{name}"
            file = path.open("xb", buffering=0)
            path.chmod(0o600)
            # Another process that starts may take it for a dead one's before it is locked.
            if _lock(file) and path.exists():
                sync(self._folder)
                self._segment = _Segment(day, name, path, file)
        return self._segment

    def _close_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment is None:
            return
        with _naming_limits(self._folder), segment.file:
            if segment.file.tell():
                segment.path.rename(self._folder / segment.name)
            else:
                segment.path.unlink()
            sync(self._folder)

    def _close_file(self, path: Path, content: bytes) -> None:
        """Give a dead process's file its final name, without what stands elsewhere."""
        name = path.name.removeprefix("_")
        kept: dict[bytes, bytes] = {}
        its_day = self._seen(date.fromisoformat(name[: len("YYYY-MM-DD")]))
        days = [its_day, *self._remembered(self._now().date())]
        with self._index.begin(write=True) as transaction:
            for event_id, text in _whole_lines(content):
                places = {transaction.get(event_id, db=one) for one in days} - {None}
                if places <= {name.encode()}:
                    kept.setdefault(event_id, text)
                    transaction.put(event_id, name.encode(), db=its_day)
        if kept:
            with replacing(self._folder / name) as new:
                new.write_bytes(b"".join(kept.values()))
        path.unlink()

    def _seen(self, day: date) -> Any:  # noqa: ANN401 (LMDB has no types)
        """The database of the events that were received on a day."""
        if day not in self._days:
            self._days[day] = self._index.open_db(_SEEN + day.isoformat().encode())
        return self._days[day]

    def _remembered(self, today: date) -> list[Any]:
        """The databases of the days whose events are known, whichever process received them.

        Days after today's are there where the clock was set back.
        """
        days = {today - timedelta(days=back) for back in range(REMEMBERED_DAYS + 1)}
        days.update(day for day in self._days if day > today)
        return [self._seen(day) for day in sorted(days)]

    def _known_days(self) -> list[date]:
        """The days whose events are remembered, those of other processes too."""
        with self._index.begin() as transaction, transaction.cursor() as cursor:
            names = [bytes(name) for name in cursor.iternext(values=False)]
        return [
            date.fromisoformat(name.removeprefix(_SEEN).decode())
            for name in names
            if name.startswith(_SEEN)
        ]

    def _forget(self, today: date) -> None:
        """Drop the databases of days too long ago.

        A day later than they are last read: by the clock of another process it may be yesterday.
        """
        for day in self._known_days():
            if day < today - timedelta(days=REMEMBERED_DAYS + 1):
                database = self._seen(day)
                del self._days[day]
                with self._index.begin(write=True) as transaction:
                    transaction.drop(database)

    def _hide(self, transaction: Any, events: Any, day: date) -> None:  # noqa: ANN401
        for event in events:
            if event.event_type not in ("dismissal", "purchase"):
                continue
            user = _user_key(event.user_id)
            stored = transaction.get(user, db=self._hidden)
            known = {} if stored is None else json.loads(stored)
            if known.get(event.item_id, ("",))[0] != "dismissal":
                known.pop(event.item_id, None)
                known[event.item_id] = (event.event_type, day.isoformat())
            kept = _kept(known, day - timedelta(days=PURCHASE_DAYS))
            transaction.put(user, json.dumps(kept).encode(), db=self._hidden)


def _kept(known: dict[str, tuple[str, str]], since: date) -> dict[str, tuple[str, str]]:
    """The newest to be hidden of a user; old purchases go, and others before any dismissal."""
    told = {
        item: said
        for item, said in known.items()
        if said[0] == "dismissal" or date.fromisoformat(said[1]) >= since
    }
    by_kind = sorted(told, key=lambda item: told[item][0] == "dismissal")
    kept = set(by_kind[-MOST_HIDDEN:])
    return {item: said for item, said in told.items() if item in kept}


def _whole_lines(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The events' ids and lines; not what a killed process wrote half."""
    for text in content.splitlines(keepends=True):
        try:
            event_id = json.loads(text)["event_id"].encode() if text.endswith(b"\n") else None
        except (ValueError, KeyError, TypeError):
            continue
        if event_id is not None:
            yield event_id, text


def _write(file: IO[bytes], content: bytes) -> None:
    """Append, and force it to the disk."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]
    os.fdatasync(file.fileno())


def _lock(file: IO[bytes]) -> bool:
    """Take the lock that the kernel drops when its holder dies."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _user_key(user_id: str) -> bytes:
    """No user's id stands in the index."""
    return hashlib.sha256(user_id.encode()).digest()


def _now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def _naming_limits(folder: Path) -> Iterator[None]:
    try:
        yield
    except (lmdb.MapFullError, lmdb.DiskError) as error:
        raise DiskFullError(
            f"{folder} has no room for events; nothing of them was kept."
        ) from error
    except lmdb.Error as error:
        raise InfrastructureError(f"{folder}: the index of events fails: {error}") from error
    except OSError as error:
        if error.errno in _FULL:
            raise _full(folder) from error
        raise InfrastructureError(f"{folder}: events cannot be kept: {error.strerror}.") from error


def _full(folder: Path) -> DiskFullError:
    return DiskFullError(f"{folder} has no room for events; nothing of them was kept.")
