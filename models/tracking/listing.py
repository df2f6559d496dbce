"""Versions and decisions as people list them, straight from MLflow's SQLite database.

People wait for a list, and MLflow would let them: ``import mlflow`` (3.17.2) takes 3 s of CPU, no
part of it loads without that, and with its stores it is 5 s. These tables, read by SQL, take
milliseconds. They are read in the one schema that is known here, that of the MLflow which the lock
names; in all other cases whoever asks goes through MLflow.
"""

import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from models.tracking.decisions import Recorded, experiment_of_decisions
from models.tracking.versions import ListedVersion, ModelVersion, time_of

# Alembic's name of the schema of MLflow 3.17.2.
SCHEMA: Final = "dc11669786a5"
ADDRESS: Final = re.compile(r"sqlite:///(?P<path>[^?]+)")

VERSIONS: Final = """
    SELECT version, run_id, creation_time FROM model_versions
    WHERE workspace = 'default' AND name = ? AND current_stage <> 'Deleted_Internal'
    ORDER BY version DESC
"""
VERSION_TAGS: Final = """
    SELECT version, key, value FROM model_version_tags WHERE workspace = 'default' AND name = ?
"""
ALIASES: Final = """
    SELECT version, alias FROM registered_model_aliases
    WHERE workspace = 'default' AND name = ? ORDER BY alias
"""
METRICS: Final = """
    SELECT run_uuid, key, value FROM latest_metrics
    WHERE NOT is_nan
    AND run_uuid IN (SELECT run_id FROM model_versions WHERE workspace = 'default' AND name = ?)
"""
DECISIONS: Final = """
    SELECT run_uuid, start_time, status FROM runs JOIN experiments USING (experiment_id)
    WHERE workspace = 'default' AND experiments.name = ? AND runs.lifecycle_stage = 'active'
    ORDER BY start_time, run_uuid
"""
DECISION_TAGS: Final = """
    SELECT run_uuid, key, value
    FROM tags JOIN runs USING (run_uuid) JOIN experiments USING (experiment_id)
    WHERE workspace = 'default' AND experiments.name = ?
"""

Owner = TypeVar("Owner")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Listing:
    """Every version, the newest first, and every person's decision, the oldest first."""

    versions: tuple[ListedVersion, ...]
    decisions: tuple[Recorded, ...]


def read(tracking_uri: str, model: str, experiment: str) -> Listing | None:
    """What the database says; ``None`` where only MLflow can tell, or say what is wrong.

    That is so for a server, a database that is not there yet, is damaged or locked, and one of
    another schema. Nothing is written.
    """
    address = ADDRESS.fullmatch(tracking_uri)
    if address is None or not (path := Path(address["path"])).is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.execute("BEGIN")  # One state for all that is read.
            schemas = database.execute("SELECT version_num FROM alembic_version").fetchall()
            if schemas != [(SCHEMA,)]:
                return None
            return Listing(_versions(database, model), _decisions(database, experiment))
    except sqlite3.Error:
        return None


def _versions(database: sqlite3.Connection, model: str) -> tuple[ListedVersion, ...]:
    def ask(query: str) -> sqlite3.Cursor:
        return database.execute(query, (model,))

    tags, metrics = _by_owner(ask(VERSION_TAGS)), _by_owner(ask(METRICS))
    aliases = defaultdict(list)
    for number, alias in ask(ALIASES):
        aliases[number].append(alias)
    return tuple(
        ListedVersion(
            version=ModelVersion.from_tags(model, number, run_id, tags[number]),
            created=time_of(created),
            aliases=tuple(aliases[number]),
            metrics=metrics[run_id],
        )
        for number, run_id, created in ask(VERSIONS)
    )


def _decisions(database: sqlite3.Connection, experiment: str) -> tuple[Recorded, ...]:
    name = (experiment_of_decisions(experiment),)
    tags = _by_owner(database.execute(DECISION_TAGS, name))
    return tuple(
        Recorded.from_run(tags[run_id], started=started, status=status)
        for run_id, started, status in database.execute(DECISIONS, name)
    )


def _by_owner(rows: Iterable[tuple[Owner, str, Value]]) -> dict[Owner, dict[str, Value]]:
    """Names and values by whose they are; nobody has none."""
    found: defaultdict[Owner, dict[str, Value]] = defaultdict(dict)
    for owner, name, value in rows:
        found[owner][name] = value
    return found
