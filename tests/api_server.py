"""A real API of the test's own: `topshelf serve` in its own process, on a free loopback port."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, Self

import httpx

from serving.keys import Scope, add_key
from tests.stored_lists import SHOP

START_SECONDS: Final = 30
CONFIG: Final = """
[shop]
name = "corner"
[paths]
lake = "FOLDER/lake"
landing = "FOLDER/landing"
runs = "FOLDER/runs"
data_quality = "FOLDER/data_quality"
[serving]
store = "STORE"
api_keys = "FOLDER/keys.json"
[[sources]]
name = "till"
target = "events"
path = "{date}.csv"
format = "csv"
columns = { user_id = "u", item_id = "i", event_time = "t" }
constants = { event_type = "purchase" }
"""


class ApiServer:
    """The API of the shop whose state is in ``folder``; ``url`` is its address.

    ``surfaces`` is Python that declares further ones, before anything else is loaded.
    """

    def __init__(
        self,
        folder: Path,
        *,
        store: str | None = None,
        workers: int = 1,
        surfaces: str = "",
        **settings: float,
    ) -> None:
        assert SHOP in CONFIG
        self.folder = folder
        self.store = store or f"lmdb:{folder}/store"
        self.config = folder / "shop.toml"
        self.config.write_text(CONFIG.replace("FOLDER", str(folder)).replace("STORE", self.store))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.workers = workers
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            f"TOPSHELF__SERVING__{name.upper()}": str(value) for name, value in settings.items()
        }
        if surfaces:
            (folder / "sitecustomize.py").write_text(
                f"from lakehouse import lists\nfrom lakehouse.lists import Surface\n"
                f"lists.SURFACES = ({surfaces}, *lists.SURFACES)\n"
                "lists.LISTS = tuple(one.name for one in lists.SURFACES)\n"
            )
            paths = (str(folder), os.environ.get("PYTHONPATH", ""))
            self._environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self.key = self.new_key("read", "events", "admin")
        self.log = folder / "api.log"

    def new_key(self, *scopes: Scope) -> str:
        _, token = add_key(self.folder / "keys.json", "a test", scopes, created="2024-03-02")
        return token

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-c", "from jobs.cli.main import main; main()", "serve"),
                    *("--config", str(self.config), "--port", str(self.port)),
                    *("--workers", str(self.workers)),
                ],
                stdout=log,
                stderr=log,
                env=os.environ | self._environment,
            )
        self.wait_until("/livez", 200)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)

    def kill(self) -> None:
        """SIGKILL for all of its processes at once."""
        for process in (*descendants(self.process.pid), self.process.pid):
            os.kill(process, signal.SIGKILL)
        self.process.wait()

    def worker_ids(self) -> list[int]:
        return [
            process
            for process in descendants(self.process.pid)
            if b"worker-" in Path(f"/proc/{process}/cmdline").read_bytes()
        ]

    def wait_until(self, path: str, status: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                if httpx.get(self.url + path).status_code == status:
                    return
            except httpx.TransportError:
                assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(f"{path} is not {status}: {self.log.read_text()}")

    def client(self, key: str | None = None) -> httpx.Client:
        return httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {key or self.key}"}, timeout=10
        )


def descendants(process: int) -> list[int]:
    """The processes that a process started, and those that these started, in order."""
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *descendants(child)]
    return sorted(found)
