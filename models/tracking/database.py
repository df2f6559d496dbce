"""MLflow's SQLite database: made, and brought to this MLflow's schema, whole or not at all.

MLflow's migrations do not roll back: a process killed among them leaves a database that no later
one can use. So they run on a new file or a copy beside it, which is then renamed into place.
"""

import functools
import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, cast

import mlflow.db
import mlflow.store
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from lakehouse.errors import ConfigurationError, DataError, InfrastructureError
from lakehouse.files import put
from lakehouse.locks import process_lock

BUSY_SECONDS: Final = 20.0
# SQLite keeps a transaction under way in these; one left over would be rolled into a new file.
COMPANIONS: Final = ("-journal", "-wal", "-shm")
CREDENTIALS: Final = re.compile(r"//[^/@\s]+@")
DAMAGE: Final = re.compile(r"malformed|not a database")
REVISIONS: Final = "alembic_version"

logger = logging.getLogger(__name__)


@contextmanager
def reporting(tracking_uri: str) -> Iterator[None]:
    """Turn MLflow's failures, and those of its database, into our errors.

    Raises ``DataError`` where the database is damaged, else ``InfrastructureError``.
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        reason = CREDENTIALS.sub("//", str(error).strip().splitlines()[0])
        path = sqlite_path(tracking_uri)
        if path is not None and DAMAGE.search(reason):
            raise _broken(path, reason) from error
        raise InfrastructureError(
            f"MLflow at {CREDENTIALS.sub('//', tracking_uri)} failed: {reason}. Check that it can "
            "be reached, is not locked by another program and may be written, then run again."
        ) from error


def prepare(tracking_uri: str, artifacts: Path) -> None:
    """Make the SQLite database that ``tracking_uri`` names, or upgrade an older one.

    The files of a new one's experiments lie in ``artifacts`` unless they say otherwise. Anything
    but a file of SQLite is left to whoever runs it. Processes that come at the same time wait for
    each other, and a killed one leaves nothing that the next minds. The database before an upgrade
    stays beside, with its revision as suffix. Raises ``DataError`` for a damaged or half-made one,
    ``ConfigurationError`` for one of a newer MLflow, ``InfrastructureError`` where it cannot be
    read or written.
    """
    path = sqlite_path(tracking_uri)
    if path is None:
        return
    with reporting(tracking_uri):
        if _revision(path) == _newest_revision():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with process_lock(path.with_name(f"{path.name}.lock")):
            revision = _revision(path)
            if revision is None:
                _make(path, artifacts)
            elif revision != _newest_revision():
                _upgrade(path, revision)


def sqlite_path(tracking_uri: str) -> Path | None:
    """The file of SQLite that an address of MLflow names, if it is one."""
    if not tracking_uri.startswith("sqlite:"):
        return None
    name = make_url(tracking_uri).database
    # What begins like this is an address for SQLite, no path of ours to make.
    if not name or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name)


def _revision(path: Path) -> str | None:
    """The revision of the database's schema; ``None`` where there is no table yet.

    Raises ``DataError`` for tables without a revision: MLflow writes it after the first ones.
    """
    if not path.exists() or path.stat().st_size == 0:
        return None
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as database:
        tables = {
            name
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        revisions = (
            database.execute(f"SELECT version_num FROM {REVISIONS}").fetchall()  # noqa: S608
            if REVISIONS in tables
            else []
        )
    if not tables - {REVISIONS}:
        return None
    if len(revisions) != 1:
        raise _broken(path, f"its tables have {len(revisions)} revisions of a schema")
    return str(revisions[0][0])


@functools.cache
def _migrations() -> ScriptDirectory:
    return ScriptDirectory(str(Path(mlflow.store.__file__).parent / "db_migrations"))


def _newest_revision() -> str:
    return str(_migrations().get_current_head())


def _make(path: Path, artifacts: Path) -> None:
    # In memory, as the disk would be waited for at each of the many migrations. The store makes
    # the experiment `Default` too, which two processes could not do at once.
    location = artifacts.resolve().as_uri()
    store = SqlAlchemyStore("sqlite:///:memory:", location)  # type: ignore[no-untyped-call]
    new = _beside(path)
    with closing(sqlite3.connect(new)) as written, closing(store.engine.raw_connection()) as made:
        cast("sqlite3.Connection", made.driver_connection).backup(written)
    store.engine.dispose()
    for suffix in COMPANIONS:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    put(new, path)


def _upgrade(path: Path, revision: str) -> None:
    try:
        _migrations().get_revision(revision)
    except CommandError as error:
        raise ConfigurationError(
            f"MLflow's database {path} was made by a newer MLflow than {mlflow.__version__}, which "
            f"does not know its schema {revision}. Use that MLflow, or name another database in "
            "[mlflow] tracking_uri."
        ) from error
    kept = path.with_name(f"{path.name}.{revision}")
    logger.info("upgrading MLflow's database %s; the old one is kept as %s", path, kept)
    new = _beside(path)
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as writer:
        # Nobody may write what the copy would not have; SQLite copies by another connection only.
        writer.execute("BEGIN IMMEDIATE")
        with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(new)) as copy:
            old.backup(copy)
        address = URL.create("sqlite", database=str(new)).render_as_string()
        try:
            mlflow.db.upgrade.main([address], standalone_mode=False)
        except (SQLAlchemyError, CommandError) as error:
            if _is_infrastructure(error):
                raise
            raise _broken(path, str(error).splitlines()[0]) from error
        kept.unlink(missing_ok=True)
        kept.hardlink_to(path)
        put(new, path)


def _beside(path: Path) -> Path:
    """A name for a new database beside ``path``, where nothing is left of a killed attempt."""
    new = path.with_name(f"{path.name}.new")
    for suffix in ("", *COMPANIONS):
        new.with_name(new.name + suffix).unlink(missing_ok=True)
    return new


def _is_infrastructure(error: Exception) -> bool:
    """Whether the disk or a lock stopped a statement, and not what it found in the database."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    code = getattr(cause, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
    )


def _broken(path: Path, reason: str) -> DataError:
    return DataError(
        f"MLflow's database {path} is damaged, or a program was killed while it made or upgraded "
        f"it: {reason}. Put a backup in its place. Or move it away, with the files whose names "
        f"begin with {path.name}-: the next run makes a new one, and models are there again after "
        "`topshelf train`."
    )
