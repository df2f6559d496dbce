"""A real Airflow for tests: what `make airflow` starts, on a free port, in its own checkout.

The checkout has copies of the DAGs and of `infra/`. Its `topshelf` and `spark-submit` write
down how they were called and do nothing, except for the shop `corner`, which is run for real.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.project import ROOT
from tests.spark_settings import SHORT_LIFE, write_settings

PATIENCE_SECONDS = 300
T = TypeVar("T")

STUB = """#!{python} -S
import json, os, sys
config = os.environ.get("TOPSHELF_CONFIG", "")
arguments = sys.argv[1:]
if "--config" in arguments:
    config = arguments[arguments.index("--config") + 1]
if os.path.basename(config) == "corner.toml":
    os.umask(0o022)  # As an Airflow that is not ours may have it.
    os.execv("{real}", ["{real}", *arguments])
call = {{"command": os.path.basename(sys.argv[0]), "arguments": arguments, "config": config}}
with open("{calls}", "a") as file:
    file.write(json.dumps(call) + "\\n")
"""


@dataclass(frozen=True)
class Night:
    """A step as it was called: which, of which shop, for which run date."""

    shop: str
    run_date: str
    step: str


@dataclass(frozen=True)
class Airflow:
    """A running Airflow and its API."""

    checkout: Path
    port: int
    environment: dict[str, str]
    headers: dict[str, str] = field(default_factory=dict)

    def calls(self) -> list[Night]:
        """The steps that were called, in order."""
        path = self.checkout / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [_night(json.loads(line)) for line in lines]

    def api(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """The status and the JSON that the API answers."""
        request = Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"} | self.headers,
        )
        try:
            with urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)

    def done(self, method: str, path: str, body: object = None) -> Any:
        """The JSON of a request that must succeed."""
        status, answer = self.api(method, path, body)
        assert status < HTTPStatus.BAD_REQUEST, (status, answer)
        return answer

    def type(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command line in the checkout, as a person would type it."""
        return subprocess.run(
            ["bash", "-c", command],
            env=self.environment | environment,
            cwd=self.checkout,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def unpause(self, dag: str) -> None:
        """Let the DAG's runs start."""
        self.done("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})

    def trigger(self, dag: str, **conf: object) -> str:
        """Start a run as the trigger form does; its id."""
        body = {"logical_date": None, "conf": conf}
        return str(self.done("POST", f"/api/v2/dags/{dag}/dagRuns", body)["dag_run_id"])

    def state(self, dag: str, run: str) -> str:
        """The state of a run."""
        return str(self.done("GET", f"/api/v2/dags/{dag}/dagRuns/{run}")["state"])

    def tasks(self, dag: str, run: str) -> dict[str, str | None]:
        """The states of a run's tasks."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances"
        return {task["task_id"]: task["state"] for task in self.done("GET", path)["task_instances"]}

    def mark_failed(self, dag: str, run: str, task: str) -> None:
        """Say that a task has failed, which ends it where it runs."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}"
        self.done("PATCH", path, {"new_state": "failed"})

    def clear(self, dag: str, run: str, task: str) -> None:
        """Let a task and what follows it run again."""
        body = {
            "dag_run_id": run,
            "task_ids": [task],
            "include_downstream": True,
            "only_failed": False,
            "reset_dag_runs": True,
            "dry_run": False,
        }
        self.done("POST", f"/api/v2/dags/{dag}/clearTaskInstances", body)

    def log(self, dag: str, run: str, task: str, attempt: int = 1) -> str:
        """The text of a task's log."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{attempt}"
        return json.dumps(self.done("GET", f"{path}?full_content=true"))

    def ends(self, dag: str, run: str) -> str:
        """Wait until a run has ended; its state."""
        return until(
            lambda: (state := self.state(dag, run)) in ("success", "failed") and state, seconds=600
        )

    def processes(self, *words: str) -> list[str]:
        """The command lines, with all these words, of what this Airflow started and still runs."""
        home = f"AIRFLOW_HOME={self.environment['AIRFLOW_HOME']}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if home not in (process / "environ").read_bytes().split(b"\0"):
                    continue
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if line and all(word in line for word in words):
                found.append(line)
        return found


def until(condition: Callable[[], T | bool], seconds: float = PATIENCE_SECONDS) -> T:
    """Wait for a condition and return what it gives."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value  # type: ignore[return-value]
        time.sleep(0.5)
    raise AssertionError("waited in vain")


@contextmanager
def running_airflow(folder: Path, config: Path) -> Iterator[Airflow]:
    """Airflow as `make airflow` starts it, for the shops of ``config``."""
    checkout = _checkout(folder / "checkout")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW_PORT": str(port),
        "TOPSHELF_CONFIG": str(config),
    }
    log = folder / "serve.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [checkout / "infra" / "airflow" / "serve"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: server.poll() is not None or "login:" in log.read_text())
        login = log.read_text().partition("login:")[2].split()
        assert login, log.read_text()
        airflow = Airflow(checkout, port, environment)
        body = {"username": login[0].rstrip(":"), "password": login[1]}
        token = airflow.done("POST", "/auth/token", body)["access_token"]
        yield Airflow(checkout, port, environment, {"Authorization": f"Bearer {token}"})
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE_SECONDS)


def _checkout(folder: Path) -> Path:
    for part in ("dags", "infra"):
        shutil.copytree(ROOT / part, folder / part)
    # Queries run as they do in a night that is not tested.
    write_settings(folder / ".topshelf" / "spark-conf", SHORT_LIFE)
    # Nights that wait for each other look around once a minute; a test has no such patience.
    dag = folder / "dags" / "nightly_recommendations.py"
    dag.write_text(dag.read_text().replace("poke_interval=60", "poke_interval=3"))
    real = Path(sys.prefix)
    venv = folder / ".venv"
    (venv / "bin").mkdir(parents=True)
    shutil.copy(real / "pyvenv.cfg", venv)
    (venv / "lib").symlink_to(real / "lib")
    for program in (real / "bin").iterdir():
        (venv / "bin" / program.name).symlink_to(program)
    for name in ("topshelf", "spark-submit"):
        stub = venv / "bin" / name
        stub.unlink()
        stub.write_text(
            STUB.format(python=sys.executable, real=real / "bin" / name, calls=folder / "calls")
        )
        stub.chmod(0o755)
    return folder


def _night(call: dict[str, Any]) -> Night:
    arguments = call["arguments"]
    if call["command"] == "spark-submit":
        arguments = arguments[arguments.index(next(a for a in arguments if "submit.py" in a)) + 1 :]
    step, option, run_date = arguments[:3]
    assert option == "--run-date"
    return Night(Path(call["config"]).stem, run_date, step)
