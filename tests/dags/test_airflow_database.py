"""Airflow's database is prepared whole or not at all."""

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

from tests.project import ROOT

INIT = ROOT / "infra" / "airflow" / "init"


def init(home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [INIT],
        env=os.environ | {"AIRFLOW_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def pools(home: Path) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(home / "airflow.db")) as database:
        return database.execute("SELECT pool, slots FROM slot_pool ORDER BY pool").fetchall()


def test_a_killed_migration_leaves_nothing_broken_and_an_upgrade_keeps_the_history(
    tmp_path: Path,
) -> None:
    killed = subprocess.Popen(
        [INIT], env=os.environ | {"AIRFLOW_HOME": str(tmp_path)}, start_new_session=True
    )
    new = tmp_path / "airflow.db.new"
    while not (new.exists() and new.stat().st_size):
        assert killed.poll() is None
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "airflow.db").exists()

    done = init(tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert pools(tmp_path) == [("default_pool", 128), ("delta", 1)]
    assert not list(tmp_path.glob("airflow.db?*"))

    # Another version of Airflow, or of the pool, brings a copy up to date.
    with closing(sqlite3.connect(tmp_path / "airflow.db")) as database, database:
        database.execute("UPDATE slot_pool SET slots = 5 WHERE pool = 'delta'")
        database.execute("UPDATE slot_pool SET slots = 7 WHERE pool = 'default_pool'")
    (tmp_path / ".initialised").write_text("another lock")
    assert init(tmp_path).returncode == 0
    assert pools(tmp_path) == [("default_pool", 7), ("delta", 1)]
    modified = (tmp_path / "airflow.db").stat().st_mtime_ns
    assert init(tmp_path).returncode == 0
    assert (tmp_path / "airflow.db").stat().st_mtime_ns == modified


def test_a_damaged_database_is_left_alone_and_named_with_the_remedy(tmp_path: Path) -> None:
    database = tmp_path / "airflow.db"
    database.write_bytes(b"no database" * 1000)
    done = init(tmp_path)
    assert done.returncode == 1
    assert "file is not a database" in done.stdout
    assert f"preparing {database} failed" in done.stdout
    assert "move it away and start again" in done.stdout
    assert database.read_bytes() == b"no database" * 1000


def test_a_database_in_use_is_not_replaced(tmp_path: Path) -> None:
    database = tmp_path / "airflow.db"
    with closing(sqlite3.connect(database)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE history (run)")
        done = init(tmp_path)
        assert done.returncode == 1
        assert f"{database} is in use (database is locked): stop Airflow first" in done.stdout
