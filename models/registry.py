"""MLflow: runs, the model registry and its aliases.

The alias ``challenger`` names the newest trained version, ``champion`` the one that serves. A
version exists only once its files are complete, and an alias moves only after that, so that a
killed run leaves no half model to be found: just a run that never ended, which the next start
marks as failed (``fail_interrupted``).
"""

import json
import logging
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, Final, Self

# MLflow reads these when it is imported: nothing is unpickled, nothing sent home.
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

import mlflow
import pandas as pd
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.data.delta_dataset_source import DeltaDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import RunStatus
from mlflow.entities.model_registry import ModelVersion as Entity
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
from sqlalchemy.exc import SQLAlchemyError

from lakehouse.errors import DataError, InfrastructureError
from lakehouse.tables import Table
from models import pyfunc

CHALLENGER: Final = "challenger"
CHAMPION: Final = "champion"
RUN_DATE_TAG: Final = "run_date"
TABLE_VERSIONS_TAG: Final = "table_versions"
CONFIGURATION_TAG: Final = "configuration"
SEED_TAG: Final = "seed"
GATE_TAG: Final = "gate"
PASSED: Final = "passed"
REFUSED: Final = "refused"

CREDENTIALS: Final = re.compile(r"//[^/@\s]+@")
LIBRARIES: Final = ("numpy", "pandas", "scipy")
ENVIRONMENT: Final = (*LIBRARIES, "deltalake", "lightfm-next", "mlflow", "pyarrow")

# What the log says in a line of its own on failure need not come as a stack trace first.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
logging.getLogger("mlflow").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a version was made from: enough to make it again.

    ``table_versions`` gives the Delta version of each table by full name, ``configuration`` is the
    digest of the settings.
    """

    run_date: date
    table_versions: Mapping[str, int]
    configuration: str
    seed: int

    def tags(self) -> dict[str, str]:
        """The same as tags of a run and of a model version."""
        return {
            RUN_DATE_TAG: self.run_date.isoformat(),
            TABLE_VERSIONS_TAG: json.dumps(dict(self.table_versions), sort_keys=True),
            CONFIGURATION_TAG: self.configuration,
            SEED_TAG: str(self.seed),
        }

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Self:
        """The inverse of ``tags``; other tags are ignored."""
        return cls(
            run_date=date.fromisoformat(tags[RUN_DATE_TAG]),
            table_versions=json.loads(tags[TABLE_VERSIONS_TAG]),
            configuration=tags[CONFIGURATION_TAG],
            seed=int(tags[SEED_TAG]),
        )


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of the registered model; ``passed`` once the gate has let it."""

    name: str
    number: int
    run_id: str
    provenance: Provenance
    passed: bool

    @property
    def label(self) -> str:
        """The version in tables and messages, as ``name/number``."""
        return f"{self.name}/{self.number}"


def metric_name(name: str) -> str:
    """``name`` as MLflow takes it: no ``@`` and, for ease of use, no spaces."""
    return name.replace("@", "_at_").replace(" ", "_")


@contextmanager
def _reporting(tracking_uri: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        message = (
            f"MLflow at {tracking_uri} failed: {reason}. Check that it can be reached, is not "
            "locked by another program and may be written, then run again."
        )
        raise InfrastructureError(CREDENTIALS.sub("//", message)) from error


class TrackedRun:
    """One open MLflow run; what is logged appears in the MLflow UI at once."""

    def __init__(self, registry: "Registry", run_id: str) -> None:
        self._registry = registry
        self.run_id = run_id

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Log parameters."""
        with self._registry.reporting():
            mlflow.log_params(dict(values))

    def metrics(self, values: Mapping[str, float], *, step: int | None = None) -> None:
        """Log metrics, of one step of a curve if ``step`` is given."""
        with self._registry.reporting():
            mlflow.log_metrics(dict(values), step=step)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags of the run."""
        with self._registry.reporting():
            mlflow.set_tags(dict(values))

    def dataset(self, root: Path, table: Table, version: int) -> None:
        """Log a Delta table at one version as an input."""
        source = DeltaDatasetSource(path=str(root / table.path), delta_table_version=version)
        with self._registry.reporting():
            data = MetaDataset(source, name=table.full_name, digest=f"version-{version}")  # type: ignore[abstract]
            mlflow.log_input(data, context="training")

    def figure(self, file: str, figure: Figure) -> None:
        """Log a plot as an image below ``plots``."""
        with self._registry.reporting():
            mlflow.log_figure(figure, f"plots/{file}")

    def table(self, file: str, rows: pd.DataFrame) -> None:
        """Log a table that the MLflow UI shows."""
        with self._registry.reporting():
            mlflow.log_table(rows, file)

    def text(self, file: str, text: str) -> None:
        """Log a text file."""
        with self._registry.reporting():
            mlflow.log_text(text, file)

    def register(self, folder: Path, provenance: Provenance) -> ModelVersion:
        """Store the folders in ``folder`` as a new version, and make it the challenger."""
        registry = self._registry
        with registry.reporting():
            logged = mlflow.pyfunc.log_model(
                name="recommender",
                python_model=pyfunc.__file__,
                artifacts={part.name: str(part) for part in sorted(folder.iterdir())},
                signature=_signature(),
                input_example=(pyfunc.EXAMPLE, {pyfunc.SIZE: pyfunc.DEFAULT_SIZE}),
                pip_requirements=[f"{name}=={package_version(name)}" for name in LIBRARIES],
            )
            created = registry.client.create_model_version(
                registry.model,
                logged.model_uri,
                run_id=self.run_id,
                model_id=logged.model_id,
                tags=provenance.tags(),
            )
            version = _version(created)
            registry.set_alias(CHALLENGER, version)
        return version


class Registry:
    """The tracking database, its experiment and the registered model, reached and writable."""

    def __init__(self, tracking_uri: str, artifacts: Path, experiment: str, model: str) -> None:
        """Connect, creating what is not there yet.

        Raises ``InfrastructureError`` where MLflow cannot be reached or written, so that a caller
        who opens the registry first loses no work.
        """
        self.tracking_uri = tracking_uri
        self.model = model
        if tracking_uri.startswith("sqlite:///"):
            database = Path(tracking_uri.removeprefix("sqlite:///"))
            with self.reporting():
                database.parent.mkdir(parents=True, exist_ok=True)
        with self.reporting():
            mlflow.set_tracking_uri(tracking_uri)
            mlflow.set_registry_uri(tracking_uri)
            self.client = MlflowClient(tracking_uri, tracking_uri)
            self._experiment_id = self._experiment(experiment, artifacts)
            self.client.set_experiment_tag(self._experiment_id, "topshelf.model", model)
            self._create_model()

    def reporting(self) -> AbstractContextManager[None]:
        """A context that turns MLflow's failures into ``InfrastructureError``."""
        return _reporting(self.tracking_uri)

    def fail_interrupted(self) -> list[str]:
        """Mark runs of the experiment that never ended as failed; return their ids.

        Call it while holding the lock under which runs are made: then nobody is still at work.
        """
        with self.reporting():
            open_runs = self.client.search_runs(
                [self._experiment_id], filter_string="attributes.status = 'RUNNING'"
            )
            for run in open_runs:
                self.client.set_tag(run.info.run_id, "interrupted", "true")
                self.client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.FAILED))
        return [run.info.run_id for run in open_runs]

    @contextmanager
    def run(self, name: str, provenance: Provenance) -> Iterator[TrackedRun]:
        """An MLflow run that ends as finished, or as failed where the body raises."""
        with self.reporting():
            active = mlflow.start_run(
                experiment_id=self._experiment_id,
                run_name=name,
                tags={
                    **_environment(),
                    **provenance.tags(),
                    "mlflow.source.name": "topshelf train",
                },
            )
        try:
            yield TrackedRun(self, active.info.run_id)
        except BaseException:
            # The body's own error is the one to report, even where MLflow has failed too.
            with suppress(InfrastructureError):
                self._end(RunStatus.FAILED)
            raise
        self._end(RunStatus.FINISHED)

    def challenger(self, run_date: date) -> ModelVersion:
        """The newest version that the night trained; raises ``DataError`` where there is none."""
        found = self._versions(run_date)
        if not found:
            raise DataError(
                f"no version of the model {self.model} was trained for {run_date}. "
                "Run `topshelf train` for that run date first."
            )
        return found[0]

    def passed(self, run_date: date) -> ModelVersion:
        """The night's newest version that the gate let pass; raises ``DataError`` without one."""
        for version in self._versions(run_date):
            if version.passed:
                return version
        raise DataError(
            f"no version of the model {self.model} trained for {run_date} has passed the gate. "
            "Run `topshelf train` and `topshelf gate` for that run date; if the gate refuses, the "
            "old release goes on."
        )

    def champion(self) -> ModelVersion | None:
        """The version that serves, or ``None`` before the first."""
        with self.reporting():
            aliases = self.client.get_registered_model(self.model).aliases
            if CHAMPION not in aliases:
                return None
            return _version(self.client.get_model_version(self.model, aliases[CHAMPION]))

    def set_alias(self, alias: str, version: ModelVersion) -> None:
        """Let ``alias`` name ``version``."""
        with self.reporting():
            self.client.set_registered_model_alias(self.model, alias, str(version.number))

    def judge(
        self, version: ModelVersion, *, passed: bool, figures: Mapping[str, float], text: str
    ) -> None:
        """Record a verdict: ``gate.txt`` and figures in the version's run, the outcome as tags."""
        outcome = PASSED if passed else REFUSED
        with self.reporting():
            self.client.log_text(version.run_id, text, "gate.txt")
            for name, value in figures.items():
                self.client.log_metric(version.run_id, name, value)
            self.client.set_tag(version.run_id, GATE_TAG, outcome)
            self.client.set_model_version_tag(self.model, str(version.number), GATE_TAG, outcome)

    def folder(self, version: ModelVersion) -> Path:
        """The model's files, on this machine."""
        with self.reporting():
            local = mlflow.artifacts.download_artifacts(f"models:/{version.name}/{version.number}")
        return Path(local) / "artifacts"

    def _end(self, status: int) -> None:
        with self.reporting():
            mlflow.end_run(RunStatus.to_string(status))

    def _versions(self, run_date: date) -> Sequence[ModelVersion]:
        """The night's versions, newest first."""
        with self.reporting():
            found = self.client.search_model_versions(
                f"name = '{self.model}' and tags.{RUN_DATE_TAG} = '{run_date.isoformat()}'"
            )
        return sorted((_version(v) for v in found), key=lambda v: v.number, reverse=True)

    def _experiment(self, name: str, artifacts: Path) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = artifacts.resolve().as_uri()
        return str(self.client.create_experiment(name, artifact_location=location))

    def _create_model(self) -> None:
        try:
            self.client.create_registered_model(self.model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _version(entity: Entity) -> ModelVersion:
    return ModelVersion(
        name=entity.name,
        number=int(entity.version),
        run_id=str(entity.run_id),
        provenance=Provenance.from_tags(entity.tags),
        passed=entity.tags.get(GATE_TAG) == PASSED,
    )


def _environment() -> dict[str, str]:
    """What the run was made with, as tags."""
    packages = {f"environment.{name}": package_version(name) for name in ENVIRONMENT}
    return {"environment.python": platform.python_version(), **packages}


def _signature() -> ModelSignature:
    return ModelSignature(
        inputs=Schema([ColSpec("string", "user_id"), ColSpec("string", "list")]),
        outputs=Schema(
            [
                ColSpec("string", "user_id"),
                ColSpec("string", "list"),
                ColSpec("integer", "rank"),
                ColSpec("string", "item_id"),
                ColSpec("double", "score"),
                ColSpec("string", "source"),
            ]
        ),
        params=ParamSchema([ParamSpec(pyfunc.SIZE, "long", pyfunc.DEFAULT_SIZE)]),
    )
