"""Spark steps of a small night killed at random moments, against a twin that nobody disturbed.

The driver, its JVM, or both get SIGKILL at a moment drawn over the step's usual duration. After
each kill every table must be as before the step or as after it, whole; every few kills the step is
run to its end, and all tables must equal the twin's. Prints a row per step and victim; exits with 1
where a table was neither, a re-run differed, or a process stayed.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from lakehouse.errors import DataError
from lakehouse.io import arrow
from lakehouse.tables import ALL_TABLES, OPS
from lakehouse.tables import Table as DeltaTable

STEPS: Final = ("ingest", "clean", "features")
VICTIMS: Final = ("driver", "JVM", "both")
RUN_DATE: Final = date(2024, 2, 10)
DAYS, USERS, ITEMS = 14, 60, 40
KILLS_BETWEEN_RUNS: Final = 6
PATIENCE: Final = 120.0
MESSAGES: Final = "messages.txt"

CONFIG = """
[shop]
name = "kills"
[paths]
lake = "FOLDER/lake"
landing = "FOLDER/landing"
runs = "FOLDER/runs"
data_quality = "FOLDER/data_quality"
[serving]
store = "lmdb:FOLDER/store"
[train]
test_days = 3
validation_days = 3
[[sources]]
name = "till"
target = "events"
path = "till/{date}.csv"
format = "csv"
constants = { event_type = "purchase" }
columns = { user_id = "card", item_id = "article", event_time = "at", quantity = "units" }
[[sources]]
name = "catalogue"
target = "items"
path = "catalogue.csv"
format = "csv"
columns = { item_id = "article", title = "name", department = "department" }
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """A step, the folders before and after it, and the seconds that it took undisturbed."""

    step: str
    before: Path
    twin: Path
    duration: float


State = dict[str, list[str] | None]


def main() -> int:
    """Kill each step so many times and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30, help="kills of each step")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = np.random.default_rng(options.seed)
    columns = ("step", "victim", "kills", "exit codes", "tables torn", "left running", "re-runs")
    shown = Table(*columns)
    bad = 0
    with tempfile.TemporaryDirectory(prefix="topshelf-kills-") as folder:
        twin = Path(folder) / "twin"
        land(twin)
        for step in STEPS:
            before = Path(folder) / f"before-{step}"
            copy(twin, before)
            started = time.monotonic()
            run(step, twin)
            trial = Trial(step, before, twin, time.monotonic() - started)
            rows, wrong = campaign(trial, options.kills, chance)
            bad += wrong
            for row in rows:
                shown.add_row(*row)
    Console(width=120).print(shown)
    return int(bad > 0)


def campaign(trial: Trial, kills: int, chance: np.random.Generator) -> tuple[list[list[str]], int]:
    """Kill the step so many times; the rows to show, and how much was wrong."""
    step = trial.step
    old, new = state(trial.before), state(trial.twin)
    work = trial.before.with_name(f"work-{step}")
    codes: dict[str, Counter[int]] = {victim: Counter() for victim in VICTIMS}
    torn: Counter[str] = Counter()
    left: Counter[str] = Counter()
    unequal = runs = 0
    for kill in range(kills):
        if kill % KILLS_BETWEEN_RUNS == 0:
            copy(trial.before, work)
        victim = VICTIMS[kill % len(VICTIMS)]
        process = start(step, work)
        time.sleep(chance.random() * trial.duration)
        strike(victim, process)
        if not ended(process.pid):
            left[victim] += 1
            print(stacks(process.pid, work), file=sys.stderr)
        codes[victim][process.wait()] += 1
        now = state(work)
        torn[victim] += any(now[name] not in (old[name], new[name]) for name in now)
        if kill % KILLS_BETWEEN_RUNS == KILLS_BETWEEN_RUNS - 1 or kill == kills - 1:
            run(step, work)
            runs += 1
            unequal += state(work) != new
    rows = [
        [
            step,
            victim,
            str(codes[victim].total()),
            ", ".join(f"{code}: {count}" for code, count in sorted(codes[victim].items())),
            str(torn[victim]),
            str(left[victim]),
            f"{runs - unequal} of {runs} equal" if victim == VICTIMS[0] else "",
        ]
        for victim in VICTIMS
    ]
    return rows, torn.total() + left.total() + unequal


def land(folder: Path) -> None:
    """A shop's files: a receipt line per user and day, and a catalogue."""
    chance = np.random.default_rng(7)
    (folder / "landing" / "till").mkdir(parents=True)
    for day in (RUN_DATE - timedelta(days=back) for back in range(1, DAYS + 1)):
        lines = [
            f"u{user},{chance.integers(ITEMS)},{day} 10:00:00,{chance.integers(-1, 4)}"
            for user in range(USERS)
        ]
        content = "\n".join(["card,article,at,units", *lines, lines[0]])
        (folder / "landing" / "till" / f"{day}.csv").write_text(content + "\n")
    items = "\n".join(f"{item},thing {item},D{item % 3}" for item in range(ITEMS))
    (folder / "landing" / "catalogue.csv").write_text(f"article,name,department\n{items}\n")
    configure(folder)


def configure(folder: Path) -> None:
    """Write the configuration with the folder's own paths."""
    (folder / "shop.toml").write_text(CONFIG.replace("FOLDER", str(folder)))


def copy(source: Path, target: Path) -> None:
    """Make ``target`` a copy of ``source``, whatever it was."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    configure(target)


def start(step: str, folder: Path) -> "subprocess.Popen[bytes]":
    """Start the command of a step in a session of its own."""
    config = str(folder / "shop.toml")
    with (folder / MESSAGES).open("wb") as messages:
        return subprocess.Popen(
            ["topshelf", step, "--run-date", str(RUN_DATE), "--config", config],
            stdout=messages,
            stderr=messages,
            start_new_session=True,
        )


def run(step: str, folder: Path) -> None:
    """Run a step to its end; raises ``RuntimeError`` where it fails."""
    if code := start(step, folder).wait():
        raise RuntimeError(f"{step} ended with {code}")


def strike(victim: str, process: "subprocess.Popen[bytes]") -> None:
    """Kill the driver, its JVM or both, if they run yet or still."""
    if victim == "both":
        os.killpg(process.pid, signal.SIGKILL)
        return
    wanted = "java" if victim == "JVM" else "topshelf"
    for pid in session(process.pid):
        if pid != process.pid and name(pid).startswith(wanted):
            os.kill(pid, signal.SIGKILL)


def ended(leader: int) -> bool:
    """Whether every process of the session but its leader ends soon by itself."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if not session(leader):
            return True
        time.sleep(0.1)
    return False


def stacks(leader: int, folder: Path) -> str:
    """What a session that does not end has said, with its Python stacks; ends it."""
    for deadly in (signal.SIGABRT, signal.SIGKILL):  # A step prints its stacks when it is aborted.
        with suppress(ProcessLookupError):
            os.killpg(leader, deadly)
        time.sleep(1)
    return (folder / MESSAGES).read_text(errors="replace")


def session(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def name(pid: int) -> str:
    """The short name of a process, empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def state(folder: Path) -> State:
    """Every table's rows as sorted text; ``None`` for a table without any.

    But for what became of the steps: every run takes other seconds.
    """
    tables = (table for table in ALL_TABLES if table not in OPS)
    return {table.full_name: rows(folder / "lake", table) for table in tables}


def rows(lake: Path, table: DeltaTable) -> list[str] | None:
    """The table's rows as sorted text; ``None`` where there are none."""
    try:
        return sorted(map(repr, arrow.read(lake, table).to_pylist())) or None
    except DataError:
        return None


if __name__ == "__main__":
    sys.exit(main())
