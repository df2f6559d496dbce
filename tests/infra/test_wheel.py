"""The wheel where releases are read and served: no Spark, Airflow, MLflow or NumPy is there."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from infra.setup import uv_environment
from serving.publishing import publish
from serving.stores.opening import open_store
from tests.project import ROOT
from tests.stored_lists import SHOP, make_release

CONFIG = """
[shop]
name = "corner"
[serving]
store = "lmdb:STORE"
api_keys = "keys.json"
[[sources]]
name = "till"
target = "events"
path = "{date}.csv"
format = "csv"
columns = { user_id = "u", item_id = "i", event_time = "t" }
constants = { event_type = "purchase" }
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of an environment with the wheel's extra `serve`, at the lock's versions."""
    uv = str(Path(sys.executable).parent / "uv")
    for command in (
        [uv, "build", "--wheel", "--no-build-isolation", "--out-dir", str(tmp_path), str(ROOT)],
        [uv, "venv", "--python", sys.executable, str(tmp_path / "venv")],
    ):
        subprocess.run(command, check=True, capture_output=True, env=uv_environment())
    python = tmp_path / "venv" / "bin" / "python"
    (wheel,) = tmp_path.glob("*.whl")
    # Constraints may have no hashes where the wheel itself has none.
    lock = (ROOT / "infra" / "requirements.lock").read_text().splitlines()
    pins = tmp_path / "pins.txt"
    pins.write_text("\n".join(line.rstrip(" \\") for line in lock if line[:1].isalnum()))
    install = [uv, "pip", "install", "--python", str(python), "--constraint", str(pins)]
    subprocess.run(
        [*install, f"{wheel}[serve]"], check=True, capture_output=True, env=uv_environment()
    )
    return python


def test_the_extra_serve_reads_a_release_without_what_trains(python: Path, tmp_path: Path) -> None:
    with open_store(f"lmdb:{tmp_path}/store", SHOP) as store:
        publish(store, *make_release("2024-03-01-aaaaaaaa"), keep=5)
    config = tmp_path / "shop.toml"
    config.write_text(CONFIG.replace("STORE", f"{tmp_path}/store"))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TOPS"))
    }
    looked_up = subprocess.run(
        [python.parent / "topshelf", "lookup", "--user", "ann", "--config", str(config)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "title 1 of 2024-03-01-aaaaaaaa" in looked_up.stdout
    served = serve(python.parent / "topshelf", config, environment)
    assert served.json()["items"][0]["title"] == "title 1 of 2024-03-01-aaaaaaaa"
    listed = subprocess.run(
        [
            str(python),
            "-c",
            "import importlib.metadata as m; print(*(d.name for d in m.distributions()))",
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    installed = set(listed.stdout.lower().split())
    assert {"topshelf", "lmdb", "redis"} <= installed
    assert not installed & {"pyspark", "apache-airflow", "mlflow", "numpy", "pandas", "pyarrow"}


def serve(topshelf: Path, config: Path, environment: dict[str, str]) -> httpx.Response:
    """What the environment's API answers: it makes a key, starts, and serves Ann's list."""
    folder = config.parent
    options = ["--config", str(config)]
    added = subprocess.run(
        [topshelf, "keys", "add", "--name", "a test", "--scope", "read", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [topshelf, "serve", "--port", str(port), *options], cwd=folder, env=environment
    )
    url = f"http://127.0.0.1:{port}/v1/users/ann/all"
    headers = {"authorization": f"Bearer {added.stdout.strip()}"}
    deadline = time.monotonic() + 30
    try:
        while True:
            try:
                answer = httpx.get(url, headers=headers).raise_for_status()
            except httpx.TransportError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            else:
                # The console's templates are in the wheel too.
                assert "API key" in httpx.get(f"http://127.0.0.1:{port}/login").text
                return answer
    finally:
        process.terminate()
        process.wait()
