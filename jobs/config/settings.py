"""One TOML file, read into typed settings; every mistake is reported at once.

``TOPSHELF_CONFIG`` names the file where ``--config`` doesn't. A field can be overridden by an
environment variable: ``TOPSHELF__TRAIN__SEED=7`` sets ``[train] seed``; secrets such as a Redis
password belong there, not in the file. No message quotes a value of the environment, so the rules
that validators state here never do.
"""

import hashlib
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from jobs.config import contexts
from jobs.config.environment import merged, read_environment
from jobs.config.mistakes import told
from lakehouse.errors import ConfigurationError
from lakehouse.ingest.feedback import FEEDBACK
from lakehouse.ingest.sources import Name, SourceMapping
from lakehouse.ownership import LONGEST_NAME
from models.core.parameters import (
    COLD_USER_DAYS,
    MAX_DAYS,
    NEW_ITEM_DAYS,
    POPULARITY_HALF_LIFE_DAYS,
    CountsHalfLife,
    NewItemDays,
    Parameters,
    PopularityHalfLife,
    Real,
    Seed,
    Switch,
    TestDays,
    Threads,
    Whole,
)
from serving.format.releases import EVERYBODY
from serving.stores.opening import public_address

# MLflow takes 250; the experiments of commands add a word.
MAX_NAME: Final = 200
TRACKING_ADDRESS: Final = re.compile(
    r"sqlite:///(?!:memory:).*[^/]"
    r"|https?://([^\s/@]*@)?([\w.-]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?(/\S*)?"
    r"|(postgresql|mysql|mssql)(\+\w+)?://\S+"
)

EventType: TypeAlias = Literal["purchase", "rating", "view", "click", "cart"]


class Shop(Parameters):
    """Whose data these are."""

    name: Annotated[Name, StringConstraints(max_length=LONGEST_NAME)] = Field(
        description="Name of the shop, which keeps its state apart from that of other shops: it is "
        "part of the default paths, of keys in Redis and of names in MLflow, and a lake, a folder "
        "of reports and a store belong to the first shop that wrote to them."
    )


class Paths(Parameters):
    """Where things lie; relative paths start at the current folder."""

    lake: Path = Field(
        default=Path(".topshelf/{shop}/lake"), description="Root of the Delta tables."
    )
    landing: Path = Field(
        default=Path(".topshelf/{shop}/landing"), description="Where files arrive."
    )
    runs: Path = Field(
        default=Path(".topshelf/{shop}/runs"),
        description="Job reports and run reports, by run date.",
    )
    data_quality: Path = Field(
        default=Path(".topshelf/{shop}/data_quality"),
        description="Validation results and Data Docs.",
    )


class Quality(Parameters):
    """Bounds of the validation between layers; shares are between 0 and 1."""

    volume_warn_ratio: Real = Field(
        default=0.5, gt=0, le=1, description="Warn below this share of the usual night's rows."
    )
    volume_fail_ratio: Real = Field(
        default=0.1, ge=0, le=1, description="Fail below this share of the usual night's rows."
    )
    volume_max_ratio: Real = Field(
        default=5.0,
        gt=1,
        le=1_000_000,
        description="Warn above this multiple of the usual night's rows.",
    )
    quarantine_warn_share: Real = Field(
        default=0.05, ge=0, le=1, description="Warn above this share of rejected rows."
    )
    quarantine_fail_share: Real = Field(
        default=0.5, ge=0, le=1, description="Fail above this share of rejected rows."
    )
    unknown_item_warn_share: Real = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Warn above this share of events without a known item.",
    )
    duplicate_warn_share: Real = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Warn above this share of events that repeat a row of their own file.",
    )
    owners: dict[str, str] = Field(
        default={"bronze": "data", "silver": "data", "gold": "machine learning"},
        description="Who answers for the rules of a table, by its name (`silver.items`) or layer; "
        "the run report and `ops.expectation_results` say so.",
    )


class Features(Parameters):
    """What counts as a sign of interest, and what may be recommended."""

    event_types: tuple[EventType, ...] = Field(
        default=("purchase",),
        min_length=1,
        description="Kinds of event that the features count.",
    )
    sellable_days: Whole = Field(
        default=90,
        ge=1,
        le=MAX_DAYS,
        description="An item sells if somebody took it within so many days.",
    )
    excluded_departments: tuple[str, ...] = Field(
        default=(), description="Departments that are never recommended."
    )


class Train(Parameters):
    """Windows of the nightly training, the methods tried, and what all of them share."""

    methods: tuple[str, ...] = Field(
        default=("popularity", "decayed_counts", "two_stage", "hybrid_lightfm"),
        min_length=1,
        description="Methods that a night tries for each list; the first of equals is published.",
    )
    seed: Seed = 42
    threads: Threads = 1
    test_days: TestDays = 28
    validation_days: Whole = Field(
        default=28, ge=1, le=3650, description="Length of the validation window."
    )
    popularity_half_life_days: PopularityHalfLife = POPULARITY_HALF_LIFE_DAYS
    counts_half_life_days: CountsHalfLife = 120.0
    cold_user_days: Whole = Field(
        default=COLD_USER_DAYS,
        ge=1,
        le=MAX_DAYS,
        description="Cold users, whom the gate and `make quality` look at apart, have at most so "
        "many days with an event.",
    )
    warm_start: Switch = Field(
        default=False,
        description="Methods that learn in passes (LightFM) go on from the last night trained with "
        "this.",
    )

    @field_validator("methods")
    @classmethod
    def _each_once(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(methods)) < len(methods):
            raise ValueError("must name each method once")
        return methods


class Models(BaseModel):
    """Parameters of methods, a table for each, not looked at (see ``jobs.config.methods``)."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Gate(Parameters):
    """What a challenger may do; lists are looked at up to their tenth place."""

    tolerance: Real = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Accepted relative loss of NDCG@10 against the champion's configuration.",
    )
    coverage_ratio: Real = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Least catalogue coverage, as a share of the champion's.",
    )
    constant_share: Real = Field(
        default=0.95,
        ge=0,
        le=1,
        description="Greatest share of lists whose scores are all the same; a method with more is "
        "not chosen.",
    )
    popular_share: Real = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Greatest share of places that the popular items take, unless their list won.",
    )
    churn: Real = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Greatest share of a user's items that the champion's list doesn't have.",
    )
    cold_users: Whole = Field(
        default=30,
        ge=1,
        le=1_000_000_000,
        description="Cold users are judged where there are so many.",
    )
    cold_tolerance: Real = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Relative loss of the cold users' NDCG@10 that is accepted.",
    )


class Recommend(Parameters):
    """The lists that are served."""

    size: Whole = Field(default=20, ge=1, le=1000, description="Items shown per user and list.")
    spare_places: Whole = Field(
        default=5,
        ge=0,
        le=1000,
        description="Further items kept in each list, which take the places of denied ones.",
    )
    new_item_days: NewItemDays = NEW_ITEM_DAYS
    new_item_share: Real = Field(
        default=0.02, ge=0, le=0.5, description="Share of `discover` places kept for new items."
    )
    ignored_weight: Real = Field(
        default=0.2,
        ge=0,
        le=100,
        description="How far each time that an item was shown and not clicked lets it sink in "
        "`discover`: its rank is multiplied by 1 + the sum of these; 0 for not at all.",
    )
    ignored_half_life_days: Real = Field(
        default=14.0,
        gt=0,
        le=MAX_DAYS,
        description="Days after which such a time counts half.",
    )
    contexts: tuple[str, ...] = Field(
        default=(),
        description="What unknown users may be asked for: `store_id`, `device`, `weekday` (`mon`), "
        "`hour_slot` (`06-12`, in the source's zone), or attributes of users.",
    )
    rules: Path | None = Field(
        default=None,
        description="File of business rules, beside the configuration unless its path is absolute "
        "(docs/rules.md).",
    )
    newcomers: str = Field(
        default="ease",
        description="Method that lists for people of whom only a few items are known.",
    )


class Serving(Parameters):
    """Where releases go."""

    store: str = Field(
        default="lmdb:.topshelf/{shop}/store",
        repr=False,
        description="`lmdb:PATH` or `redis://HOST:PORT/DB`. A password belongs into the "
        "environment; it is never printed.",
    )
    keep_releases: Whole = Field(
        default=5, ge=2, le=1000, description="Releases kept for rollback."
    )
    share: Real = Field(
        default=EVERYBODY,
        gt=0,
        le=EVERYBODY,
        description="Per cent of the users whom a new release serves at first; where that is not "
        "all of them, `topshelf rollout` lets it serve the others.",
    )
    guardrails: Path | None = Field(
        default=None,
        description="File with the limits of such a release, which is withdrawn where it breaks "
        "one ([serving.md](serving.md)); beside the configuration unless its path is absolute.",
    )

    api_keys: Path = Field(
        default=Path(".topshelf/{shop}/api_keys.json"),
        description="The hashes of the API's keys (`topshelf keys`); outside of the lake.",
    )
    deadline_milliseconds: Real = Field(
        default=50.0,
        gt=0,
        le=1_000,
        description="How long an answer of the API waits for a store behind a network, before "
        "what it has in memory answers.",
    )
    requests_per_second: Real = Field(
        default=500.0,
        gt=0,
        le=1_000_000,
        description="Requests a second that each key of the API may make.",
    )

    @field_validator("store")
    @classmethod
    def _openable(cls, address: str) -> str:
        try:
            public_address(address)
        except ConfigurationError as error:
            raise ValueError(str(error).removeprefix("serving.store ")) from None
        return address


class MLflow(Parameters):
    """Tracking and registry."""

    tracking_uri: str = Field(
        default="sqlite:///.topshelf/mlflow/mlflow.db",
        repr=False,
        description="MLflow's database, which shops may share: `sqlite:///PATH`, "
        "`http(s)://HOST:PORT` or `postgresql://…`, `mysql://…`, `mssql://…`. A password belongs "
        "into the environment; it is never printed.",
    )
    artifacts: Path = Field(
        default=Path(".topshelf/{shop}/mlflow/artifacts"), description="MLflow's files."
    )
    experiment: str = Field(
        default="{shop}_nightly",
        description="Experiment of the nightly runs; those of other commands add a word to it.",
    )
    model: str = Field(default="{shop}", description="Name of the registered model.")

    @field_validator("tracking_uri")
    @classmethod
    def _reachable(cls, address: str) -> str:
        if not TRACKING_ADDRESS.fullmatch(address):
            raise ValueError(
                "give sqlite:///PATH, http://HOST:PORT, https://HOST:PORT, or the address of a "
                "database that begins with postgresql://, mysql:// or mssql://"
            )
        return address

    @field_validator("experiment", "model")
    @classmethod
    def _nameable(cls, name: str, info: ValidationInfo) -> str:
        further = "/" if info.field_name == "experiment" else ""
        allowed = rf"[\w{further}][\w .{further}-]{{0,{MAX_NAME - 1}}}"
        if not re.fullmatch(allowed, name) or name != name.strip():
            raise ValueError(
                f"give letters, digits, spaces and any of {' '.join(f'._-{further}')}, no space "
                f"first or last, at most {MAX_NAME} in all"
            )
        return name


NAMED_AFTER_SHOP: dict[str, type[Parameters]] = {
    "paths": Paths,
    "serving": Serving,
    "mlflow": MLflow,
}


def _defaults_of_shop(section: type[Parameters], shop: str) -> dict[str, object]:
    """The section's defaults that hold ``{shop}``, with the name in its place."""
    defaults = {name: field.default for name, field in section.model_fields.items()}
    return {
        name: str(default).replace("{shop}", shop)
        for name, default in defaults.items()
        if "{shop}" in str(default)
    }


class Retention(Parameters):
    """How long the lake keeps what nights no longer read; `topshelf maintain` goes by it."""

    gold_days: Whole = Field(
        default=90,
        ge=1,
        le=MAX_DAYS,
        description="Gold nights older than this are dropped, unless the store has their release.",
    )
    versions_days: Whole = Field(
        default=7,
        ge=1,
        le=MAX_DAYS,
        description="Former versions of a table are readable for so long, and as long as the store "
        "has a release that was made from them.",
    )


class Settings(Parameters):
    """Everything a run depends on besides its run date and the data."""

    shop: Shop
    paths: Paths = Field(default_factory=Paths)
    sources: tuple[SourceMapping, ...] = Field(min_length=1)
    quality: Quality = Field(default_factory=Quality)
    features: Features = Field(default_factory=Features)
    train: Train = Field(default_factory=Train)
    models: Models = Field(default_factory=Models)
    gate: Gate = Field(default_factory=Gate)
    recommend: Recommend = Field(default_factory=Recommend)
    serving: Serving = Field(default_factory=Serving)
    retention: Retention = Field(default_factory=Retention)
    mlflow: MLflow = Field(default_factory=MLflow)

    @model_validator(mode="before")
    @classmethod
    def _name_the_shop(cls, given: dict[str, object]) -> dict[str, object]:
        """Put the shop's name into the defaults that stand for themselves."""
        shop = given.get("shop")
        name = shop.get("name") if isinstance(shop, dict) else getattr(shop, "name", None)
        filled = dict(given)
        for section, model in NAMED_AFTER_SHOP.items():
            fields = given.get(section, {})
            if isinstance(fields, dict):
                filled[section] = _defaults_of_shop(model, str(name)) | fields
        return filled

    @model_validator(mode="after")
    def _unique_source_names(self) -> Self:
        names = [source.name for source in self.sources]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"sources: the names {twice} are used twice")
        if FEEDBACK.name in names:
            raise ValueError(
                f"sources: the name {FEEDBACK.name} is that of the API's own files; take another"
            )
        if not any(source.target == "events" for source in self.sources):
            raise ValueError('sources: none has target = "events", so there is nothing to learn')
        return self

    @model_validator(mode="after")
    def _known_contexts(self) -> Self:
        attributes = [name for source in self.sources for name in source.attributes]
        if wrong := list(contexts.mistakes(self.recommend.contexts, attributes)):
            raise ValueError("\n".join(wrong))
        return self

    @field_serializer("models")
    def _as_said(self, models: BaseModel) -> dict[str, Any]:
        """Only what is said, whether or not the defaults are known."""
        return models.model_dump(mode="json", exclude_unset=True)

    @property
    def landing_sources(self) -> tuple[SourceMapping, ...]:
        """Where rows come from: the sources, and the API's feedback, which needs no mapping."""
        return (*self.sources, FEEDBACK)

    def parameters(self, method: str) -> dict[str, Any]:
        """What ``[models.METHOD]`` says, in JSON's types."""
        said: dict[str, Any] = self._as_said(self.models).get(method, {})
        return said

    @property
    def state_folders(self) -> tuple[Path, ...]:
        """The folders that hold one shop's state alone."""
        return self.paths.lake, self.paths.runs, self.paths.data_quality

    @model_validator(mode="after")
    def _some_event_counts(self) -> Self:
        kinds = {source.event_type for source in self.sources if source.target == "events"}
        if kinds and not kinds & {None, *self.features.event_types}:
            raise ValueError(
                f"features.event_types counts {list(self.features.event_types)}, but the sources "
                f"of events give {sorted(filter(None, kinds))}: write what is to be learnt from "
                "under [features] event_types, or correct event_type in the sources' constants"
            )
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what is said: another process makes the classes of methods anew."""
        with_models = type(self) is not Settings
        return _validated, (self.model_dump(exclude_unset=True), with_models)

    def digest(self) -> str:
        """SHA-256 of the settings that shape the data: not of names, paths, stores and the gate.

        ``constant_share`` of the gate has a say in which method is chosen.
        """
        limits = set(Gate.model_fields) - {"constant_share"}
        others: dict[str, Any] = dict.fromkeys(
            ("shop", "paths", "serving", "retention", "mlflow"), True
        )
        # What rules say has a digest of its own, wherever their file lies.
        shaping = self.model_dump_json(exclude={**others, "gate": limits, "recommend": {"rules"}})
        return hashlib.sha256(shaping.encode()).hexdigest()


def _known(*, with_models: bool) -> type[Settings]:
    if not with_models:
        return Settings
    from jobs.config.methods import knowing_methods  # noqa: PLC0415 (it loads all methods)

    return knowing_methods(Settings)


def _validated(content: dict[str, Any], with_models: bool) -> Settings:
    return _known(with_models=with_models).model_validate(content)


def load(path: Path, *, with_models: bool = True) -> Settings:
    """Read and check a configuration file and the environment's variables, which go before it.

    Without ``with_models`` the names of methods and ``[models.*]`` are not looked at, as knowing
    them takes seconds. Raises ``ConfigurationError`` naming every wrong field, the rule, and the
    value where it stands in the file.
    """
    known = _known(with_models=with_models)
    content = _read(path)
    overrides = read_environment(os.environ, known)
    given = merged(content, overrides.values)
    mistakes = []
    try:
        settings = known.model_validate(given)
    except ValidationError as error:
        mistakes = told(error, known, given, overrides.places)
    if mistakes := [*mistakes, *overrides.mistakes]:
        lines = "".join(f"\n  {mistake}" for mistake in mistakes)
        raise ConfigurationError(f"{path} has {len(mistakes)} mistake(s):{lines}") from None
    return _beside(settings, path.parent)


def _beside(settings: Settings, folder: Path) -> Settings:
    """The settings with the paths of rules and guardrails as seen from the working folder."""
    recommend, serving = settings.recommend, settings.serving
    if recommend.rules is not None:
        recommend = recommend.model_copy(update={"rules": folder / recommend.rules})
    if serving.guardrails is not None:
        serving = serving.model_copy(update={"guardrails": folder / serving.guardrails})
    return settings.model_copy(update={"recommend": recommend, "serving": serving})


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigurationError(
            f"no configuration file at {path}. Give --config FILE or set TOPSHELF_CONFIG; "
            "`topshelf config init` writes a first one."
        )
    try:
        # Editors on Windows begin a file with a mark of its encoding.
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except ValueError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
