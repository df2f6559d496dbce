"""Events in a folder. Each journal runs in a process of its own where several share the folder."""

import errno
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from lakehouse.ingest.feedback import FEEDBACK
from lakehouse.ingest.landing import find, inspect
from lakehouse.ingest.sources import SourceMapping
from serving.feedback.events import Event, EventType
from serving.feedback.journal import MOST_HIDDEN, DiskFullError, Journal
from tests.project import ROOT

TIME = datetime(2024, 3, 2, 23, 59, tzinfo=UTC)


def event(event_id: str, kind: EventType = "click", user: str = "ann", item: str = "i1") -> Event:
    return Event(event_id=event_id, event_type=kind, user_id=user, item_id=item, event_time=TIME)


class Clock:
    now = TIME

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> Iterator[Journal]:
    journal = Journal(tmp_path, clock)
    yield journal
    journal.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name[: -len("01234567.jsonl")] for path in folder.glob("*.jsonl"))


def ids(folder: Path) -> list[str]:
    """The events that a night of any date takes in."""
    return [
        json.loads(line)["event_id"]
        for path in sorted(folder.glob("[!_]*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]


def test_an_event_counts_once(journal: Journal, tmp_path: Path) -> None:
    assert len(journal.append([event("a"), event("b"), event("a")])) == 2
    assert len(journal.append([event("b"), event("c")])) == 1
    journal.close()
    assert ids(tmp_path) == ["a", "b", "c"]
    again = Journal(tmp_path, Clock())
    assert len(again.append([event("c")])) == 0
    again.close()
    assert ids(tmp_path) == ["a", "b", "c"]


def test_a_file_is_closed_when_its_day_ends(journal: Journal, tmp_path: Path, clock: Clock) -> None:
    journal.append([event("a")])
    journal.close_day()
    assert names(tmp_path) == ["_2024-03-02."]
    clock.now = datetime(2024, 3, 3, tzinfo=UTC)
    journal.close_day()
    assert names(tmp_path) == ["2024-03-02."]
    # Sent again after midnight, it is known.
    assert len(journal.append([event("a"), event("b")])) == 1
    journal.close()
    assert names(tmp_path) == ["2024-03-02.", "2024-03-03."]


def test_whatever_the_clock_does_no_closed_file_changes(
    journal: Journal, tmp_path: Path, clock: Clock
) -> None:
    journal.append([event("a")])
    clock.now = datetime(2031, 1, 1, tzinfo=UTC)
    journal.append([event("b")])
    closed = {path: path.read_bytes() for path in tmp_path.glob("[!_]*.jsonl")}
    clock.now = TIME
    assert len(journal.append([event("a"), event("b"), event("c")])) == 1
    journal.close()
    assert names(tmp_path) == ["2024-03-02.", "2024-03-02.", "2031-01-01."]
    assert all(path.read_bytes() == content for path, content in closed.items())


@pytest.mark.parametrize("documented", [False, True])
def test_the_next_night_s_ingest_finds_and_reads_the_file(tmp_path: Path, documented: bool) -> None:
    landing = tmp_path / "landing"
    feedback = Journal(landing / "feedback", Clock())
    feedback.append([event("a"), event("b", "impression")])
    mapping = _documented_mapping() if documented else FEEDBACK
    assert find(mapping, landing, before=date(2024, 3, 3)) == []
    feedback.close()
    (path,) = find(mapping, landing, before=date(2024, 3, 3))
    assert find(mapping, landing, before=date(2024, 3, 2)) == []
    assert inspect(mapping, landing, path).rows == 2


def _documented_mapping() -> SourceMapping:
    block = (ROOT / "docs/api.md").read_text().split("```toml\n")[1].split("```")[0]
    (source,) = tomllib.loads(block)["sources"]
    return SourceMapping.model_validate(source)


def test_events_of_a_full_disk_leave_nothing(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append([event("a")])

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", full)
        with pytest.raises(DiskFullError, match="nothing of them was kept"):
            journal.append([event("b"), event("c", "dismissal")])
    assert journal.hidden("ann", date(2024, 3, 2)) == frozenset()
    assert len(journal.append([event("b")])) == 1
    journal.close()
    assert ids(tmp_path) == ["a", "b"]


def test_what_a_user_dismissed_or_just_bought_is_hidden(journal: Journal) -> None:
    journal.append(
        [
            event("1", "dismissal", item="tea"),
            event("2", "purchase", item="milk"),
            event("3", "click", item="salt"),
            event("4", "purchase", user="bob", item="salt"),
            event("5", "purchase", item="tea"),
        ]
    )
    # The night of the 2nd knows nothing of the 2nd; that of the 3rd knows what was bought.
    assert journal.hidden("ann", date(2024, 3, 2)) == {"tea", "milk"}
    assert journal.hidden("ann", date(2024, 3, 3)) == {"tea"}
    assert journal.hidden("bob", date(2024, 3, 2)) == {"salt"}
    assert journal.hidden("cy", date(2024, 3, 2)) == frozenset()


def test_ids_are_forgotten_after_a_week(journal: Journal, clock: Clock) -> None:
    journal.append([event("a")])
    for day, known in ((9, 1), (10, 0)):
        clock.now = datetime(2024, 3, day, tzinfo=UTC)
        journal.close_day()
        assert len(journal.append([event("a")])) == 1 - known


def test_an_event_counts_once_whichever_process_took_it_and_on_which_day(tmp_path: Path) -> None:
    quiet = Journal(tmp_path, clock := Clock())
    code = f"""
from pathlib import Path
from serving.feedback.journal import Journal
from tests.serving.feedback.test_journal import Clock, event
Journal(Path({str(tmp_path)!r}), Clock()).append([event("a")])
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env=os.environ)
    clock.now = TIME + timedelta(days=1)
    assert len(quiet.append([event("a"), event("b")])) == 1
    quiet.close()


def test_days_that_another_process_forgot_trouble_nobody(tmp_path: Path) -> None:
    journal = Journal(tmp_path, clock := Clock())
    journal.append([event("a")])
    late = TIME + timedelta(days=9)
    code = f"""
from datetime import datetime
from pathlib import Path
from serving.feedback.journal import Journal
journal = Journal(Path({str(tmp_path)!r}), lambda: datetime.fromisoformat({late.isoformat()!r}))
journal.close_day()
journal.close()
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env=os.environ)
    clock.now = late
    assert len(journal.append([event("a")])) == 1
    journal.close_day()
    assert len(journal.append([event("a")])) == 0
    journal.close()


def test_purchases_push_out_no_dismissal_and_old_ones_go(journal: Journal, clock: Clock) -> None:
    journal.append([event("d", "dismissal", item="bad"), event("p", "purchase", item="old")])
    clock.now = TIME + timedelta(days=31)
    journal.append([event(f"p{one}", "purchase", item=f"i{one}") for one in range(MOST_HIDDEN)])
    hidden = journal.hidden("ann", TIME.date())
    assert hidden == {"bad", *(f"i{one}" for one in range(1, MOST_HIDDEN))}


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00"])
def test_times_that_no_zone_can_tell_are_refused(time: str) -> None:
    said = json.dumps(
        {"event_id": "a", "event_type": "click", "user_id": "u", "item_id": "i", "event_time": time}
    )
    with pytest.raises(msgspec.ValidationError, match="event_time is not between 1970 and 2199"):
        msgspec.json.decode(said, type=Event)


def append_and_die(folder: Path, *event_ids: str, torn: bytes = b"", indexed: bool = True) -> None:
    """What a process leaves that is killed after it wrote events, or in the middle of one."""
    code = f"""
import os, signal
from pathlib import Path
from serving.feedback import journal as module
from tests.serving.feedback.test_journal import Clock, event
journal = module.Journal(Path({str(folder)!r}), Clock())
write = module._write
def deadly(file, content):
    write(file, content + {torn!r})
    os.kill(os.getpid(), signal.SIGKILL)
if not {indexed}: module._write = deadly
journal.append([event(one) for one in {event_ids!r}])
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL


def recover_here() -> None:
    Journal(Path(os.environ["FOLDER"]), Clock()).recover()


def test_what_a_killed_process_left_is_closed_by_the_next(tmp_path: Path) -> None:
    append_and_die(tmp_path, "a", "b")
    append_and_die(tmp_path, "c", "d", torn=b'{"event_id":"e', indexed=False)
    assert (names(tmp_path), ids(tmp_path)) == (["_2024-03-02.", "_2024-03-02."], [])
    journal = Journal(tmp_path, Clock())
    journal.recover()
    assert Counter(ids(tmp_path)) == Counter("abcd")
    # Nobody was told that c and d were taken, so they come again, and count once.
    assert len(journal.append([event("c"), event("d"), event("f")])) == 1
    journal.close()
    assert Counter(ids(tmp_path)) == Counter("abcdf")


def test_an_event_that_another_process_took_since_stays_with_that_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path, Clock())
    append_and_die(tmp_path, "a", "b", indexed=False)
    assert len(journal.append([event("b")])) == 1
    journal.recover()
    assert len(journal.append([event("a")])) == 0
    journal.close()
    assert Counter(ids(tmp_path)) == Counter("ab")


def test_a_live_process_s_file_is_left_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path, Clock())
    journal.append([event("a")])
    append_and_die(tmp_path, "b")
    recovered = "from tests.serving.feedback.test_journal import *; recover_here()"
    command = [sys.executable, "-c", recovered]
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | {"FOLDER": str(tmp_path)})
    assert ids(tmp_path) == ["b"]
    journal.append([event("c")])
    journal.close()
    assert Counter(ids(tmp_path)) == Counter("abc")
