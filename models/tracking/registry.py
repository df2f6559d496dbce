"""MLflow: runs, the model registry and its aliases.

The alias ``challenger`` names the newest trained version, ``champion`` the one that serves. A
version exists only once its files are complete, and an alias moves only after that, so that a
killed run leaves no half model to be found: just a run that never ended, which the next start
marks as failed (``fail_interrupted``).
"""

import logging
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import date
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, Final

import mlflow
import pandas as pd
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.data.delta_dataset_source import DeltaDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import LifecycleStage, RunStatus
from mlflow.entities.model_registry import ModelVersion as Entity
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

from lakehouse.errors import ConfigurationError, DataError, InfrastructureError
from lakehouse.tables import Table
from models.tracking import database as tracking_database
from models.tracking import page as tracking_page
from models.tracking import pyfunc
from models.tracking.versions import (
    GATE_REASONS_TAG,
    GATE_TAG,
    PASSED,
    REFUSED,
    RUN_DATE_TAG,
    TOOK_OVER_FROM_TAG,
    ListedVersion,
    ModelVersion,
    Provenance,
    time_of,
)

CHALLENGER: Final = "challenger"
CHAMPION: Final = "champion"
SHOP_TAG: Final = "topshelf.shop"
LONGEST_TAG: Final = 4000
# What a run's page says in words; the gate's verdict is put above this heading.
NOTE_TAG: Final = "mlflow.note.content"
METHODS_HEADING: Final = "## Methods on the test window\n\n"
LONGEST_NOTE: Final = 5000
RUNS_AT_ONCE: Final = 100

LIBRARIES: Final = ("numpy", "pandas", "scipy")
ENVIRONMENT: Final = (*LIBRARIES, "deltalake", "lightfm-next", "mlflow", "pyarrow")

# What the log says in a line of its own on failure need not come as a stack trace first.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
logging.getLogger("mlflow").setLevel(logging.WARNING)


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
        """Log metrics, of one step of a curve if ``step`` is given; any thread may call it."""
        with self._registry.reporting():
            mlflow.log_metrics(dict(values), step=step, run_id=self.run_id)

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

    def folder(self, folder: Path, name: str) -> None:
        """Log a folder's files below ``name``."""
        with self._registry.reporting():
            mlflow.log_artifacts(str(folder), name)

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

    def __init__(
        self, tracking_uri: str, artifacts: Path, *, experiment: str, model: str, shop: str
    ) -> None:
        """Connect, creating what is not there yet.

        Raises ``InfrastructureError`` where MLflow cannot be reached or written, so that a caller
        who opens the registry first loses no work, and ``ConfigurationError`` where the experiment
        or the model is another shop's.
        """
        self.tracking_uri = tracking_uri
        self.model = model
        self.experiment = experiment
        self._artifacts = artifacts
        tracking_database.prepare(tracking_uri, artifacts)
        with self.reporting():
            mlflow.set_tracking_uri(tracking_uri)
            mlflow.set_registry_uri(tracking_uri)
            self.client = MlflowClient(tracking_uri, tracking_uri)
            self.experiment_id = self.create_experiment(experiment)
            self._claim(shop)
            tags = {"topshelf.model": model, **tracking_page.KIND, **tracking_page.view()}
            for name, tag in tags.items():
                self.client.set_experiment_tag(self.experiment_id, name, tag)

    def reporting(self) -> AbstractContextManager[None]:
        """A context that turns MLflow's failures into our errors."""
        return tracking_database.reporting(self.tracking_uri)

    def fail_interrupted(self) -> list[str]:
        """Mark runs of the experiment that never ended as failed; return their ids.

        Call it while holding the lock under which runs are made: then nobody is still at work.
        """
        with self.reporting():
            open_runs = self.client.search_runs(
                [self.experiment_id], filter_string="attributes.status = 'RUNNING'"
            )
            for run in open_runs:
                self.client.set_tag(run.info.run_id, "interrupted", "true")
                self.client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.FAILED))
        return [run.info.run_id for run in open_runs]

    @contextmanager
    def run(
        self,
        name: str,
        provenance: Provenance,
        *,
        command: str = "topshelf train",
        nested: bool = False,
    ) -> Iterator[TrackedRun]:
        """An MLflow run that ends as finished, or as failed where the body raises.

        ``command`` is shown as its source; a ``nested`` one lies below the run that is open.
        """
        with self.reporting():
            active = mlflow.start_run(
                experiment_id=self.experiment_id,
                run_name=name,
                nested=nested,
                tags={
                    **_environment(),
                    **provenance.tags(),
                    "mlflow.source.name": command,
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
        """The version whose lists are the night's; raises ``DataError`` without one.

        That is the champion where it is of this night, else the night's newest version that passed.
        """
        found = [version for version in self._versions(run_date) if version.passed]
        champion = self.champion()
        if champion is not None and champion in found:
            return champion
        if found:
            return found[0]
        raise DataError(
            f"no version of the model {self.model} trained for {run_date} has passed the gate. "
            "Run `topshelf train` and `topshelf gate` for that run date; if the gate refuses, the "
            "old release goes on, unless a person promotes the version (`topshelf promote`)."
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

    def make_champion(self, version: ModelVersion) -> None:
        """Let ``champion`` name ``version``, which remembers whose place it took."""
        before = self.champion()
        if before is not None and before.number != version.number:
            self.tag(version, {TOOK_OVER_FROM_TAG: str(before.number)})
        self.set_alias(CHAMPION, version)

    def judge(
        self,
        version: ModelVersion,
        *,
        passed: bool,
        reasons: Sequence[str],
        figures: Mapping[str, float],
        text: str,
        page: str,
    ) -> None:
        """Record a verdict: ``text`` and figures in the version's run, the outcome as tags.

        ``page`` is the same in Markdown: the version's page shows it, and the run's above what
        training wrote there.
        """
        outcome = PASSED if passed else REFUSED
        tags = {GATE_TAG: outcome, GATE_REASONS_TAG: "; ".join(reasons)[:LONGEST_TAG] or "none"}
        with self.reporting():
            self.client.log_text(version.run_id, text, "gate.txt")
            for name, value in figures.items():
                self.client.log_metric(version.run_id, name, value)
            for name, tag in tags.items():
                self.client.set_tag(version.run_id, name, tag)
            trained = self.client.get_run(version.run_id).data.tags.get(NOTE_TAG, "")
            note = page + METHODS_HEADING + trained.rpartition(METHODS_HEADING)[2]
            self.client.set_tag(version.run_id, NOTE_TAG, note[:LONGEST_NOTE])
            self.client.update_model_version(
                self.model, str(version.number), description=page[:LONGEST_NOTE]
            )
        self.tag(version, tags)

    def version(self, label: str) -> ModelVersion:
        """The version called ``label``, e.g. ``topshelf/3`` or ``3``; ``DataError`` without one."""
        name, _, number = label.rpartition("/")
        if name in ("", self.model) and number.isdecimal():
            for version in self._search(f"version_number = {int(number)}"):
                return version
        raise DataError(
            f"no version {label!r} of the model {self.model}. `topshelf models` lists them."
        )

    def listed(self) -> tuple[ListedVersion, ...]:
        """Every version, the newest first."""
        with self.reporting():
            found = self.client.search_model_versions(f"name = '{self.model}'")
            aliases = self.client.get_registered_model(self.model).aliases
            listed = [
                ListedVersion(
                    version=_version(entity),
                    created=time_of(entity.creation_timestamp),
                    aliases=tuple(
                        sorted(a for a, n in aliases.items() if int(n) == int(entity.version))
                    ),
                    metrics=self.client.get_run(str(entity.run_id)).data.metrics,
                )
                for entity in found
            ]
        return tuple(sorted(listed, key=lambda entry: entry.version.number, reverse=True))

    def folder(self, version: ModelVersion) -> Path:
        """The model's files, on this machine; raises ``DataError`` where they are gone."""
        with self.reporting():
            place = self.client.get_model_version_download_uri(version.name, str(version.number))
            with _named_as_gone(
                f"the files of the model version {version.label} (night {version.night}) are gone "
                f"from {place}. Bring them back, or train that night again: `topshelf train "
                f"--run-date {version.night}`, then `topshelf gate --run-date {version.night}`."
            ):
                uri = f"models:/{version.name}/{version.number}"
                local = Path(mlflow.artifacts.download_artifacts(uri)) / "artifacts"
                if not local.is_dir():
                    raise FileNotFoundError(local)
        return local

    def newest_run(self, tag: str, *, before: date) -> str | None:
        """The finished run that has ``tag``, of the last night before a run date, made last."""
        pages: str | None = ""
        with self.reporting():
            while pages is not None:
                found = self.client.search_runs(
                    [self.experiment_id],
                    filter_string=f"attributes.status = 'FINISHED' and tags.{tag} != ''",
                    order_by=[f"tags.{RUN_DATE_TAG} DESC", "attributes.start_time DESC"],
                    max_results=RUNS_AT_ONCE,
                    page_token=pages or None,
                )
                for run in found:
                    if date.fromisoformat(run.data.tags[RUN_DATE_TAG]) < before:
                        return str(run.info.run_id)
                pages = found.token or None
        return None

    def run_tags(self, run_id: str) -> Mapping[str, str]:
        """The tags of a run."""
        with self.reporting():
            return dict(self.client.get_run(run_id).data.tags)

    def download(self, run_id: str, folder: str, into: Path) -> Path:
        """Copy a folder of a run's files; raises ``DataError`` where it is gone."""
        with self.reporting():
            with _named_as_gone(
                f"MLflow's run {run_id} or its files {folder}/ are gone. Bring them back; "
                "what was made from them cannot be made again without."
            ):
                if not self.client.list_artifacts(run_id, folder):
                    raise FileNotFoundError(folder)
            return Path(self.client.download_artifacts(run_id, folder, str(into)))

    def tag(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        with self.reporting():
            for name, value in tags.items():
                self.client.set_model_version_tag(self.model, str(version.number), name, value)

    def _end(self, status: int) -> None:
        with self.reporting():
            mlflow.end_run(RunStatus.to_string(status))

    def _versions(self, run_date: date) -> Sequence[ModelVersion]:
        """The night's versions, newest first."""
        return self._search(f"tags.{RUN_DATE_TAG} = '{run_date.isoformat()}'")

    def _search(self, condition: str) -> Sequence[ModelVersion]:
        with self.reporting():
            found = self.client.search_model_versions(f"name = '{self.model}' and {condition}")
        return sorted((_version(v) for v in found), key=lambda v: v.number, reverse=True)

    def create_experiment(self, name: str) -> str:
        """The id of an experiment, made if it is not there; its files lie where all do.

        Raises ``ConfigurationError`` where somebody deleted it in MLflow.
        """
        found = self.client.get_experiment_by_name(name)
        if found is None:
            location = self._artifacts.resolve().as_uri()
            with _there_already():
                self.client.create_experiment(
                    name, artifact_location=location, tags=dict(tracking_page.KIND)
                )
            return self.create_experiment(name)
        if found.lifecycle_stage != LifecycleStage.ACTIVE:
            raise ConfigurationError(
                f"the experiment {name!r} was deleted in MLflow. Bring it back by `mlflow "
                f"experiments restore --experiment-id {found.experiment_id}`, with "
                "MLFLOW_TRACKING_URI set to [mlflow] tracking_uri, or give another name as "
                "[mlflow] experiment."
            )
        return str(found.experiment_id)

    def _claim(self, shop: str) -> None:
        """Make experiment and model the shop's where they are nobody's yet."""
        with _there_already():
            self.client.create_registered_model(self.model)
        named = {
            "model": self.client.get_registered_model(self.model).tags.get(SHOP_TAG),
            "experiment": self.client.get_experiment(self.experiment_id).tags.get(SHOP_TAG),
        }
        for what, owner in named.items():
            if owner not in (None, shop):
                raise ConfigurationError(
                    f"[mlflow] {what} {getattr(self, what)!r} belongs to the shop {owner!r}, and "
                    f"this configuration is of {shop!r}. Give each shop a name of its own there, "
                    "or leave it out."
                )
        if named["model"] is None:
            self.client.set_registered_model_tag(self.model, SHOP_TAG, shop)
        if named["experiment"] is None:
            self.client.set_experiment_tag(self.experiment_id, SHOP_TAG, shop)


@contextmanager
def _there_already() -> Iterator[None]:
    """Go on where what the body makes exists, perhaps made by another process a moment ago."""
    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


@contextmanager
def _named_as_gone(message: str) -> Iterator[None]:
    """Raise ``DataError`` with the message where MLflow does not find what it once kept."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(message) from error
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise DataError(message) from error


def _version(entity: Entity) -> ModelVersion:
    return ModelVersion.from_tags(entity.name, int(entity.version), str(entity.run_id), entity.tags)


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
