"""MLflow's database: killed while it is made or upgraded, made by two at once, found broken."""

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from mlflow import MlflowClient
from mlflow.store.db import utils
from mlflow.store.tracking.dbmodels.initial_models import Base
from sqlalchemy import create_engine

from jobs.config.settings import Settings
from jobs.night.registry import open_registry
from lakehouse.errors import ConfigurationError, DataError, InfrastructureError
from models.tracking import database as tracking_database
from tests.killing import forked
from tests.nights import settings_in

# Eight migrations before MLflow 3.17.2's last one, the next adds tables.
OLD, BEFORE_OLD, NEWEST = "a8b9c0d1e2f3", "b7e4c1a90f23", "dc11669786a5"
KILLS = 6


def uri(path: Path) -> str:
    return f"sqlite:///{path}"


def prepare(path: Path) -> None:
    tracking_database.prepare(uri(path), path.parent / "artifacts")


def revision(path: Path) -> str:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return str(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def experiments(path: Path) -> list[str]:
    return sorted(found.name for found in MlflowClient(uri(path)).search_experiments())


@pytest.fixture(scope="module")
def old_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database of an older MLflow with an experiment in it."""
    path = tmp_path_factory.mktemp("old") / "mlflow.db"
    engine = create_engine(uri(path))
    Base.metadata.create_all(engine)
    # MLflow leaves it untyped.
    config = utils._get_alembic_config(uri(path))  # type: ignore[no-untyped-call]
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, OLD)
    engine.dispose()
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "INSERT INTO experiments (experiment_id, name, lifecycle_stage)"
            " VALUES (7, 'kept', 'active')"
        )
        database.commit()
    return path.read_bytes()


def _nothing() -> None:
    pass


def killed_at_random(path: Path, seed: int, after_each: set[str | None]) -> None:
    """Kill ``prepare`` at random moments; each must leave a whole database of ``after_each``."""
    delays = random.Random(seed)  # noqa: S311
    # The first process that is forked waits for the server's imports.
    forked(_nothing).join()
    process = forked(prepare, path.with_name("undisturbed") / path.name)
    started = time.monotonic()
    process.join()
    assert process.exitcode == 0
    seconds = time.monotonic() - started
    for _ in range(KILLS):
        process = forked(prepare, path)
        process.join(delays.uniform(0, seconds))
        process.kill()
        process.join()
        assert (revision(path) if path.exists() else None) in after_each
    prepare(path)
    assert revision(path) == NEWEST
    assert not path.with_name("mlflow.db.new").exists()


def test_a_database_killed_while_it_is_made_is_made_by_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    killed_at_random(path, 1, {None, NEWEST})
    assert experiments(path) == ["Default"]


def test_a_database_killed_while_it_is_upgraded_is_upgraded_by_the_next_run(
    tmp_path: Path, old_database: bytes
) -> None:
    path, undisturbed = tmp_path / "mlflow.db", tmp_path / "undisturbed" / "mlflow.db"
    undisturbed.parent.mkdir()
    for file in (path, undisturbed):
        file.write_bytes(old_database)
    killed_at_random(path, 2, {OLD, NEWEST})
    assert experiments(path) == ["Default", "kept"]
    assert revision(tmp_path / f"mlflow.db.{OLD}") == OLD


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _prepare_and_die(path: Path, killed_at: str) -> None:
    setattr(Path, killed_at, _die)
    prepare(path)


@pytest.mark.parametrize("killed_at", ["hardlink_to", "replace"])
def test_a_kill_between_the_last_files_of_an_upgrade_leaves_the_old_one(
    tmp_path: Path, old_database: bytes, killed_at: str
) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(old_database)
    process = forked(_prepare_and_die, path, killed_at)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert path.read_bytes() == old_database
    prepare(path)
    assert revision(path) == NEWEST
    assert (tmp_path / f"mlflow.db.{OLD}").read_bytes() == old_database


def _open(settings: Settings) -> None:
    open_registry(settings)


def test_two_first_starts_at_once_make_one_database(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    path = tmp_path / "mlflow.db"
    path.unlink()
    both = [forked(_open, settings) for _ in range(2)]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert experiments(path) == ["Default", "nightly"]


def test_a_journal_left_of_a_deleted_database_is_not_played_into_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mlflow.db"
    journal = tmp_path / "mlflow.db-journal"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("CREATE TABLE was (x)")
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN")
        database.execute("INSERT INTO was SELECT randomblob(100000)")
        left = journal.read_bytes()
    assert left
    path.unlink()
    journal.write_bytes(left)
    prepare(path)
    assert revision(path) == NEWEST
    assert not journal.exists()


def _half_made(path: Path, old: bytes) -> None:
    del old
    Base.metadata.create_all(create_engine(uri(path)))


def _half_upgraded(path: Path, old: bytes) -> None:
    path.write_bytes(old)
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", [BEFORE_OLD])
        database.commit()


def _overwritten(path: Path, old: bytes) -> None:
    path.write_bytes(b"no database" + old[11:])


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (_half_made, "its tables have 0 revisions of a schema"),
        (_half_upgraded, "already exists"),
        (_overwritten, "not a database"),
    ],
)
def test_a_broken_database_is_named_with_the_way_out_and_left_as_it_is(
    tmp_path: Path, old_database: bytes, broken: Callable[[Path, bytes], None], reason: str
) -> None:
    path = tmp_path / "mlflow.db"
    broken(path, old_database)
    before = path.read_bytes()
    with pytest.raises(DataError) as caught:
        prepare(path)
    message = str(caught.value)
    assert str(path) in message
    assert reason in message
    assert "Put a backup in its place. Or move it away" in message
    assert "topshelf train" in message
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("mlflow.db.[!ln]*"))


def test_a_database_of_a_newer_mlflow_is_refused(tmp_path: Path, old_database: bytes) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(old_database)
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE alembic_version SET version_num = '0123456789ab'")
        database.commit()
    with pytest.raises(ConfigurationError, match=r"newer MLflow than 3\.17\.2.*0123456789ab"):
        prepare(path)


def test_an_upgrade_waits_for_nobody_who_writes_for_ever(
    tmp_path: Path, old_database: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking_database, "BUSY_SECONDS", 0.1)
    path = tmp_path / "mlflow.db"
    path.write_bytes(old_database)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(InfrastructureError, match=r"database is locked.*run again"):
            prepare(path)
    assert path.read_bytes() == old_database


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("sqlite:///.topshelf/mlflow.db", Path(".topshelf/mlflow.db")),
        ("sqlite:////var/mlflow.db?timeout=5", Path("/var/mlflow.db")),
        ("sqlite:///file:/var/mlflow.db?mode=ro&uri=true", None),
        ("sqlite:///:memory:", None),
        ("http://127.0.0.1:5000", None),
        ("postgresql://me:secret@host/mlflow", None),
    ],
)
def test_only_files_of_sqlite_are_made(address: str, path: Path | None) -> None:
    assert tracking_database.sqlite_path(address) == path
