"""The API against a constant body, from LMDB and from Redis; release switches under load; events.

    python -m benchmarks.serving_api [SECONDS] [MINUTES]

Server and generators share this machine. `wrk` (2 threads, 32 connections, random users) finds the
peak of each, `hey` sends 70 % of that peak at an even pace for the percentiles. The constant body
has the size of a list, and the same framework, server and options; the rounds take turns. Then
MINUTES of load at half of the peak, a release switched every 20 s, while a reader looks for errors
and mixed answers; and events in batches of 100 by 4 clients, beside what the disk itself can force
in batches of that size. Needs `wrk` and `hey` on the PATH (apt-get install wrk hey).
"""

import csv
import http.client
import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Column, Table

from benchmarks.serving_frameworks import ROOT, cpu_seconds, family, memory_mb, percentile
from serving.publishing import publish
from serving.stores.opening import open_store
from tests.api_server import ApiServer
from tests.redis_server import RedisServer
from tests.stored_lists import SHOP, make_release

USERS: Final = tuple(f"user{number}" for number in range(2_000))
SIZE: Final = 20
SECONDS: Final = 6
MINUTES: Final = 3.0
ROUNDS: Final = 3
CONNECTIONS: Final = 32
PACED: Final = 16
SHARE_OF_PEAK: Final = 0.7
SWITCH_SECONDS: Final = 20.0
BATCH: Final = 100
SENDERS: Final = 4
OK: Final = 200
_LUA: Final = """
request = function()
  return wrk.format("GET", "/v1/users/user" .. math.random(0, 1999) .. "/all")
end
"""


def release(day: int) -> tuple[Any, Any]:
    """A release of 2,000 users' lists, every title with the release's name."""
    return make_release(f"2024-01-{day:02}-00000000", USERS, size=SIZE, spare=5)


def constant_app() -> Any:  # noqa: ANN401
    """As many bytes as a list has, by the same framework, parameters declared alike."""
    from litestar import Litestar, Response, get  # noqa: PLC0415

    from serving.api.routes_lists import (  # noqa: PLC0415  # noqa: PLC0415
        ContextKey,
        Count,
        CursorText,
        Excluded,
        Subject,
        SurfaceName,
    )

    body = b"x" * int(os.environ["BODY_BYTES"])

    @get("/v1/users/{user:str}/{surface:str}")
    async def shelf(
        *,
        user: Subject,
        surface: SurfaceName,
        n: Count = None,
        cursor: CursorText = None,
        context: ContextKey = None,
        exclude: Excluded = None,
    ) -> Response[bytes]:
        return Response(body, media_type="application/json")

    return Litestar([shelf], openapi_config=None)


@dataclass(frozen=True, slots=True)
class Target:
    """A server to load: its address, key and process."""

    name: str
    url: str
    key: str
    process: int


@contextmanager
def constant(size: int) -> Iterator[Target]:
    """The constant body's server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["granian", "benchmarks.serving_api:constant_app", "--factory", "--interface", "asgi"]
    command += ["--loop", "uvloop", "--http", "1", "--no-ws", "--log-level", "warning"]
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--port", str(port)],
        cwd=ROOT,
        env=os.environ | {"BODY_BYTES": str(size), "PYTHONPATH": str(ROOT)},
    )
    try:
        time.sleep(3)
        yield Target("constant body", f"http://127.0.0.1:{port}", "", process.pid)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def api(name: str, folder: Path, store: str) -> Iterator[Target]:
    """The API on a store that holds a release."""
    folder.mkdir()
    with open_store(store, SHOP) as opened:
        publish(opened, *release(1), keep=3)
    with ApiServer(folder, store=store, requests_per_second=1_000_000.0) as server:
        server.wait_until("/readyz", OK)
        yield Target(name, server.url, server.key, server.process.pid)


def peak(target: Target, seconds: int, script: Path) -> tuple[float, float]:
    """Requests a second of a closed loop, and the server's CPU seconds for one."""
    before = cpu_seconds(target.process)
    done = subprocess.run(
        [
            *("wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script)),
            *("-H", f"Authorization: Bearer {target.key}", target.url),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "Non-2xx" in done or "Socket errors" in done:
        raise RuntimeError(done)
    rate = float(done.rpartition("Requests/sec:")[2].split()[0])
    return rate, (cpu_seconds(target.process) - before) / (rate * seconds)


@dataclass(frozen=True, slots=True)
class Paced:
    """Seconds of each answer, when it was asked for, and how many were not 200."""

    seconds: list[float]
    offsets: list[float]
    errors: int

    def worst_second(self) -> float:
        """The greatest 99th percentile of one second."""
        by_second: dict[int, list[float]] = {}
        for offset, took in zip(self.offsets, self.seconds, strict=True):
            by_second.setdefault(int(offset), []).append(took)
        whole = sorted(by_second.items())[:-1]
        return max(percentile(times, 99) for _, times in whole)

    def median_second(self) -> float:
        """The median of the seconds' 99th percentiles."""
        by_second: dict[int, list[float]] = {}
        for offset, took in zip(self.offsets, self.seconds, strict=True):
            by_second.setdefault(int(offset), []).append(took)
        return statistics.median(percentile(times, 99) for times in by_second.values())


def paced(target: Target, rate: float, seconds: float) -> Paced:
    """An even load of ``rate`` requests a second."""
    done = subprocess.run(
        [
            *("hey", "-z", f"{seconds:.0f}s", "-c", str(PACED), "-q", f"{rate / PACED:.2f}"),
            *("-o", "csv", "-disable-compression", "-H", f"Authorization: Bearer {target.key}"),
            f"{target.url}/v1/users/user7/all",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = list(csv.DictReader(io.StringIO(done)))
    return Paced(
        [float(row["response-time"]) for row in rows],
        [float(row["offset"]) for row in rows],
        sum(row["status-code"] != str(OK) for row in rows),
    )


def compare(targets: list[Target], seconds: int) -> tuple[Table, float]:
    """Peaks and percentiles, and the API's peak on LMDB."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_LUA)
        script.flush()
        path = Path(script.name)
        for target in targets:
            peak(target, 1, path)
        rounds = [{one.name: peak(one, seconds, path) for one in targets} for _ in range(ROUNDS)]
    peaks = {one.name: sorted(found[one.name] for found in rounds)[ROUNDS // 2] for one in targets}
    table = Table(
        "",
        *(Column(name, justify="right") for name in ("requests/s", "of constant", "CPU µs each")),
        *(Column(f"{name} at 70 % (ms)", justify="right") for name in ("median", "p99")),
        Column("peak MB", justify="right"),
        title=f"lists of {SIZE} items, one worker",
    )
    for one in targets:
        rate, cpu = peaks[one.name]
        found = paced(one, rate * SHARE_OF_PEAK, seconds)
        table.add_row(
            one.name,
            f"{rate:,.0f}",
            f"{rate / peaks[targets[0].name][0]:.0%}",
            f"{cpu * 1e6:.0f}",
            f"{percentile(found.seconds, 50) * 1e3:.2f}",
            f"{percentile(found.seconds, 99) * 1e3:.2f}",
            f"{sum(map(memory_mb, family(one.process))):.0f}",
        )
    return table, peaks["API, LMDB"][0]


def first_request(folder: Path) -> tuple[float, float]:
    """Milliseconds of the first list of a server that has just become ready, and their median."""
    with api("API, LMDB", folder, f"lmdb:{folder}-store") as target:
        times = []
        connection, headers = _connect(target)
        for number in range(201):
            started = time.perf_counter()
            connection.request("GET", f"/v1/users/user{number}/all", headers=headers)
            connection.getresponse().read()
            times.append((time.perf_counter() - started) * 1e3)
    return times[0], statistics.median(times[1:])


def switching(target: Target, store: str, rate: float, minutes: float) -> Mapping[str, str]:
    """Load with a switch every 20 s: errors, mixed answers, memory, the worst second."""
    stop = threading.Event()
    seen: dict[str, int] = {}
    mixed: list[str] = []
    memory: list[float] = []

    def look() -> None:
        connection, headers = _connect(target)
        while not stop.wait(0.005):
            connection.request("GET", "/v1/users/user3/all", headers=headers)
            answer = connection.getresponse()
            content = json.loads(answer.read())
            name = content["release"]
            titles = {item["title"].rpartition(" of ")[2] for item in content["items"]}
            if answer.status != OK or titles != {name} or content["degraded"]:
                mixed.append(name)
            seen[name] = seen.get(name, 0) + 1

    def switch() -> None:
        day = 1
        with open_store(store, SHOP) as opened:
            while not stop.wait(SWITCH_SECONDS):
                day = day % 28 + 1
                publish(opened, *release(day), keep=30)

    def weigh() -> None:
        while not stop.wait(5):
            memory.append(sum(_resident_mb(one) for one in family(target.process)))

    threads = [threading.Thread(target=act) for act in (look, switch, weigh)]
    for thread in threads:
        thread.start()
    found = paced(target, rate / 2, minutes * 60)
    stop.set()
    for thread in threads:
        thread.join()
    settled = memory[len(memory) // 4 :]
    return {
        "requests": f"{len(found.seconds):,}",
        "releases that answered": str(len(seen)),
        "errors": str(found.errors),
        "mixed or degraded answers": str(len(mixed)),
        "median of the seconds' p99 (ms)": f"{found.median_second() * 1e3:.2f}",
        "worst second's p99 (ms)": f"{found.worst_second() * 1e3:.2f}",
        "memory after a quarter, at the end (MB)": f"{settled[0]:.0f}, {settled[-1]:.0f}",
    }


def events(target: Target, seconds: float) -> float:
    """Events a second that were acknowledged."""
    taken: list[int] = []
    end = time.monotonic() + seconds

    def send(sender: int) -> None:
        connection, headers = _connect(target)
        number = 0
        while time.monotonic() < end:
            batch = [_event(f"{sender}-{number + place}") for place in range(BATCH)]
            connection.request("POST", "/v1/events", json.dumps({"events": batch}), headers)
            answer = connection.getresponse()
            content = json.loads(answer.read())
            taken.append(content["accepted"])
            number += BATCH

    threads = [threading.Thread(target=send, args=(number,)) for number in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(taken) / seconds


def forced_writes(folder: Path, seconds: float) -> float:
    """Batches of 100 events' size that the disk forces in a second, one after the other."""
    batch = b"x" * 330 * BATCH
    done = 0
    with (folder / "probe").open("wb", buffering=0) as file:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            file.write(batch)
            os.fdatasync(file.fileno())
            done += 1
    return done / seconds


def _event(event_id: str) -> dict[str, object]:
    return {
        "event_id": event_id,
        "event_type": "impression",
        "user_id": "user7",
        "item_id": "i1",
        "event_time": "2024-03-02T10:00:00Z",
        "recommendation_id": "2024-01-01-00000000.all.user.-.0badcafe",
        "position": 1,
    }


def _connect(target: Target) -> tuple[http.client.HTTPConnection, dict[str, str]]:
    address = target.url.removeprefix("http://")
    headers = {"authorization": f"Bearer {target.key}", "content-type": "application/json"}
    return http.client.HTTPConnection(address, timeout=10), headers


def _resident_mb(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(seconds: int = SECONDS, minutes: float = MINUTES) -> None:
    """Print the tables."""
    console = Console()
    if missing := [name for name in ("wrk", "hey") if shutil.which(name) is None]:
        console.print(f"serving_api: no {' and '.join(missing)} here, nothing measured")
        return
    _, records = release(1)
    size = sum(len(value) for _, value in records) // len(records) * SIZE // (SIZE + 5)
    with tempfile.TemporaryDirectory() as name, RedisServer() as redis:
        folder = Path(name)
        first, median = first_request(folder / "first")
        start: Callable[..., Any] = partial(api, "API, LMDB", folder / "lmdb")
        with (
            constant(size) as plain,
            start(f"lmdb:{folder}/store") as on_lmdb,
            api("API, Redis", folder / "redis", redis.address) as on_redis,
        ):
            table, best = compare([plain, on_lmdb, on_redis], seconds)
            console.print(table)
            console.print(f"first list after ready {first:.2f} ms, median {median:.2f} ms")
            rate = events(on_lmdb, seconds)
            limit = forced_writes(folder, seconds)
            console.print(
                f"events kept {rate:,.0f}/s in batches of {BATCH} by {SENDERS} clients; the disk "
                f"forces {limit:,.0f} such batches a second, one at a time"
            )
            found = switching(on_lmdb, f"lmdb:{folder}/store", best, minutes)
    figures = Table("", "", title=f"{minutes:g} minutes, a switch every {SWITCH_SECONDS:.0f} s")
    for row in found.items():
        figures.add_row(*row)
    console.print(figures)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *map(float, sys.argv[2:3]))
