"""Nights that go on from an earlier night's fits: from whose run, and where their states lie."""

import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from lakehouse.errors import DataError
from models.core.capabilities import LearnsInPasses, State
from models.lists import catalogue
from models.selection.trial import States
from models.tracking.registry import Registry, TrackedRun

RUN_TAG: Final = "warm_start_run"
COLD: Final = "none"
FOLDER: Final = "lightfm_state"


@dataclass(frozen=True, slots=True, eq=False)
class WarmStart:
    """The states of the MLflow run ``run_id``; without a run (``COLD``) there are none.

    A run's tag ``RUN_TAG`` names the run that it started from; having it, a run has left states.
    """

    run_id: str
    states: States


def of_night(registry: Registry, run_date: date) -> WarmStart:
    """What a training for ``run_date`` starts from: the last night before it that left states.

    Neither that night's own runs nor a later night's count, so that a night trained again starts
    from the same run. Raises ``DataError`` where that run's files are gone.
    """
    return _read(registry, registry.newest_run(RUN_TAG, before=run_date) or COLD)


def of_version(registry: Registry, label: str) -> WarmStart:
    """What the training of a model version started from.

    Raises ``DataError`` where there is no such version, or where that run or its files are gone.
    """
    version = registry.version(label)
    return _read(registry, registry.run_tags(version.run_id).get(RUN_TAG, COLD))


def keep(log: TrackedRun, states: States) -> None:
    """Store ``states`` with a run, for later nights."""
    with tempfile.TemporaryDirectory(prefix="topshelf-") as folder:
        for method, fits in states.items():
            for state in fits:
                state.save(Path(folder) / method / state.as_of.isoformat())
        log.folder(Path(folder), FOLDER)


def _read(registry: Registry, run_id: str) -> WarmStart:
    if run_id == COLD:
        return WarmStart(COLD, {})
    with tempfile.TemporaryDirectory(prefix="topshelf-") as copy:
        folder = registry.download(run_id, FOLDER, Path(copy))
        states = {
            method.name: [_state(method.name, fit) for fit in sorted(method.iterdir())]
            for method in sorted(folder.iterdir())
        }
    return WarmStart(run_id, states)


def _state(method: str, folder: Path) -> State:
    model = catalogue.build(method, {})
    if not isinstance(model, LearnsInPasses):
        raise DataError(f"{folder} holds a state, but {method} starts from none. Train again.")
    return model.load_state(folder)
