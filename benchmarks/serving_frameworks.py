"""Frameworks and servers of an API side by side: a constant body, one worker process.

Each answers `GET /v1/users/{user}/{surface}?n=` with the same 3 kB of JSON, its parameters checked,
as bytes that are not encoded again. The load comes from `wrk` on the same machine (2 threads, 32
connections): the generator takes a share of the processors, equal for all. Needs `wrk` on the PATH;
a framework or server that is not installed is left out.

    python benchmarks/serving_frameworks.py [SECONDS]
"""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Column, Table

ROOT: Final = Path(__file__).parents[1]
BODY: Final = b'{"items":[' + b",".join([b'{"rank":1,"title":"%b"}' % (b"x" * 125)] * 20) + b"]}"
SECONDS: Final = 10
CONNECTIONS: Final = 32
START_SECONDS: Final = 20.0
ROUNDS: Final = 3


def fastapi_app() -> Any:  # noqa: ANN401 (an application of one framework or another)
    """FastAPI, parameters declared."""
    from typing import Annotated  # noqa: PLC0415

    from fastapi import FastAPI, Path, Query, Response  # noqa: PLC0415

    app = FastAPI(openapi_url=None)

    @app.get("/v1/users/{user}/{surface}")
    async def shelf(
        user: Annotated[str, Path(max_length=512)],
        surface: Annotated[str, Path(max_length=64)],
        n: Annotated[int | None, Query(ge=1, le=1000)] = None,
    ) -> Response:
        return Response(BODY, media_type="application/json")

    return app


def litestar_app() -> Any:  # noqa: ANN401
    """Litestar, parameters declared."""
    from typing import Annotated  # noqa: PLC0415

    from litestar import Litestar, Response, get  # noqa: PLC0415
    from litestar.params import Parameter  # noqa: PLC0415

    @get("/v1/users/{user:str}/{surface:str}")
    async def shelf(
        user: Annotated[str, Parameter(max_length=512)],
        surface: Annotated[str, Parameter(max_length=64)],
        n: Annotated[int | None, Parameter(ge=1, le=1000)] = None,
    ) -> Response[bytes]:
        return Response(BODY, media_type="application/json")

    return Litestar([shelf], openapi_config=None)


def starlette_app() -> Any:  # noqa: ANN401
    """Starlette, parameters checked by hand: what FastAPI stands on."""
    from starlette.applications import Starlette  # noqa: PLC0415
    from starlette.requests import Request  # noqa: PLC0415
    from starlette.responses import Response  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    async def shelf(request: Request) -> Response:
        user, surface = request.path_params["user"], request.path_params["surface"]
        count = int(request.query_params.get("n", 20))
        if len(user) > 512 or len(surface) > 64 or not 1 <= count <= 1000:  # noqa: PLR2004
            return Response(status_code=422)
        return Response(BODY, media_type="application/json")

    return Starlette(routes=[Route("/v1/users/{user}/{surface}", shelf)])


FRAMEWORKS: Final = ("starlette", "fastapi", "litestar")
SERVERS: Final = ("uvicorn", "granian")


@dataclass(frozen=True, slots=True)
class Measured:
    """Requests a second, latencies in milliseconds, CPU and memory of the server's processes."""

    rate: float
    median: float
    p99: float
    cpu_microseconds: float
    memory_mb: float


def command(framework: str, server: str, port: int) -> list[str]:
    """How a server is started with one worker, no access log, uvloop."""
    target = f"benchmarks.serving_frameworks:{framework}_app"
    if server == "uvicorn":
        options = ["--factory", "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
        return ["uvicorn", target, *options, "--log-level", "warning", "--port", str(port)]
    options = ["--interface", "asgi", "--factory", "--loop", "uvloop", "--log-level", "warning"]
    return ["granian", target, *options, "--workers", "1", "--port", str(port)]


def measure(framework: str, server: str, seconds: int) -> Measured:
    """Start a server, warm it up for a second, load it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", *command(framework, server, port)],
        cwd=ROOT,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        _wait_for(port)
        url = f"http://127.0.0.1:{port}/v1/users/4711/all?n=20"
        load(url, 1)
        before = cpu_seconds(process.pid)
        found = load(url, seconds)
        used = cpu_seconds(process.pid) - before
        return Measured(
            rate=found["rate"],
            median=found["p50"],
            p99=found["p99"],
            cpu_microseconds=used / (found["rate"] * seconds) * 1e6,
            memory_mb=sum(map(memory_mb, family(process.pid))),
        )
    finally:
        process.terminate()
        process.wait()


def load(url: str, seconds: int) -> dict[str, float]:
    """What `wrk` measured; raises where a response was an error."""
    done = subprocess.run(
        ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", url],
        capture_output=True,
        text=True,
        check=True,
    )
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(done.stdout)
    found = {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1])}  # type: ignore[index]
    for name in ("50", "99"):
        value, unit = re.search(rf" {name}%\s+([\d.]+)(us|ms|s)", done.stdout).groups()  # type: ignore[union-attr]
        found[f"p{name}"] = float(value) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]
    return found


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def family(process: int) -> list[int]:
    """The process and its descendants."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    children = [child for task in tasks for child in task.read_text().split()]
    return [process, *(one for child in children for one in family(int(child)))]


def cpu_seconds(process: int) -> float:
    """CPU seconds of the process and its descendants."""
    ticks = 0
    for one in family(process):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mb(process: int) -> float:
    """The most memory that one process has had."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def percentile(values: list[float], per_cent: int) -> float:
    """The smallest value that so many per cent do not exceed."""
    return sorted(values)[min(len(values) * per_cent // 100, len(values) - 1)]


def main(seconds: int = SECONDS) -> None:
    """Print the table: of each pair the median of three rounds, the pairs taking turns."""
    if shutil.which("wrk") is None:
        Console().print("serving_frameworks: no `wrk` here (apt-get install wrk), nothing measured")
        return
    frameworks = [name for name in FRAMEWORKS if importlib.util.find_spec(name)]
    servers = [name for name in SERVERS if importlib.util.find_spec(name)]
    pairs = [*product(frameworks, servers)]
    rounds = [{pair: measure(*pair, seconds) for pair in pairs} for _ in range(ROUNDS)]
    right = [
        Column(name, justify="right")
        for name in ("requests/s", "median ms", "p99 ms", "CPU µs/request", "peak MB")
    ]
    table = Table("framework", "server", *right, title=f"{len(BODY):,} bytes, one worker")
    for pair in pairs:
        middle = sorted((found[pair] for found in rounds), key=lambda one: one.rate)[ROUNDS // 2]
        table.add_row(
            *pair,
            f"{middle.rate:,.0f}",
            f"{middle.median:.2f}",
            f"{middle.p99:.2f}",
            f"{middle.cpu_microseconds:.0f}",
            f"{middle.memory_mb:.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
