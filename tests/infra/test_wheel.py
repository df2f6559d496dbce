"""The wheel where only releases are read: neither Spark, Airflow, MLflow nor NumPy is there."""

import os
import subprocess
import sys
from pathlib import Path

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
