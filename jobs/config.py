"""One TOML file, read into typed settings; every mistake is reported at once.

``TOPSHELF_CONFIG`` names the file where ``--config`` doesn't. A field can be overridden by an
environment variable: ``TOPSHELF__TRAIN__SEED=7`` sets ``[train] seed``; secrets such as a Redis
password belong there, not in the file.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from lakehouse.errors import ConfigurationError
from lakehouse.sources import Name, SourceMapping
from lakehouse.tables import EVENT_TYPES

MethodName: TypeAlias = Literal[
    "popularity",
    "decayed_counts",
    "category_popularity",
    "user_knn",
    "item_knn",
    "ease",
    "implicit_als",
    "spark_als",
    "content_based",
    "lightfm",
    "hybrid_lightfm",
    "two_stage",
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shop(_Section):
    """Whose data these are."""

    name: Annotated[Name, StringConstraints(max_length=40)] = Field(
        description="Name of the shop, which keeps its state apart from that of other shops: it is "
        "part of the default paths, of keys in Redis and of names in MLflow, and a lake, a folder "
        "of reports and a store belong to the first shop that wrote to them."
    )


class Paths(_Section):
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


class Quality(_Section):
    """Bounds of the gates; shares are between 0 and 1."""

    volume_warn_ratio: float = Field(
        default=0.5, gt=0, le=1, description="Warn below this share of the usual night's rows."
    )
    volume_fail_ratio: float = Field(
        default=0.1, ge=0, le=1, description="Fail below this share of the usual night's rows."
    )
    volume_max_ratio: float = Field(
        default=5.0, gt=1, description="Warn above this multiple of the usual night's rows."
    )
    quarantine_warn_share: float = Field(
        default=0.05, ge=0, le=1, description="Warn above this share of rejected rows."
    )
    quarantine_fail_share: float = Field(
        default=0.5, ge=0, le=1, description="Fail above this share of rejected rows."
    )
    unknown_item_warn_share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Warn above this share of events without a known item.",
    )


class Features(_Section):
    """What counts as a sign of interest, and what may be recommended."""

    event_types: tuple[str, ...] = Field(
        default=("purchase",), description="Kinds of event that the features count."
    )
    sellable_days: int = Field(
        default=90, ge=1, description="An item sells if somebody took it within so many days."
    )
    excluded_departments: tuple[str, ...] = Field(
        default=(), description="Departments that are never recommended."
    )

    @model_validator(mode="after")
    def _known_event_types(self) -> Self:
        unknown = sorted(set(self.event_types) - set(EVENT_TYPES))
        if unknown or not self.event_types:
            raise ValueError(f"event_types holds {unknown}; known are {list(EVENT_TYPES)}")
        return self


class Train(_Section):
    """Windows and hyper-parameters of the nightly training."""

    methods: tuple[MethodName, ...] = Field(
        default=("popularity", "decayed_counts", "two_stage", "hybrid_lightfm"),
        min_length=1,
        description="Methods that a night tries for each list; the first of equals is published.",
    )
    seed: int = Field(default=42, ge=0, description="Seed of everything random.")
    threads: int = Field(
        default=1, ge=1, description="LightFM threads; more than one is not deterministic."
    )
    test_days: int = Field(default=28, ge=1, description="Length of the test window.")
    validation_days: int = Field(default=28, ge=1, description="Length of the validation window.")
    popularity_half_life_days: float = Field(default=30.0, gt=0, description="Popularity's memory.")
    counts_half_life_days: float = Field(
        default=120.0, gt=0, description="A user's counts' memory."
    )
    components: int = Field(default=64, ge=1, description="LightFM dimensions.")
    max_epochs: int = Field(default=15, ge=1, description="LightFM passes over the data at most.")
    patience: int = Field(default=2, ge=1, description="Stop after so many epochs without a gain.")
    learning_rate: float = Field(default=0.1, gt=0, description="LightFM (Adagrad) learning rate.")
    warm_start: bool = Field(
        default=False, description="LightFM goes on from the last night trained with this."
    )
    ranker_nights: int = Field(
        default=3, ge=1, description="Past nights, `test_days` apart, that the ranker learns from."
    )
    ranker_rounds: int = Field(default=100, ge=1, description="Trees of each of its boosters.")
    ranker_learning_rate: float = Field(default=0.08, gt=0, le=1, description="Their step.")
    ranker_leaves: int = Field(default=31, ge=2, description="Leaves of a tree.")
    ranker_popularity_penalty: float = Field(
        default=0.1, ge=0, description="Taken off a score for each factor e of an item's buyers."
    )

    ranker_further_sources: tuple[Literal["lightfm", "content"], ...] = Field(
        default=(), description="Methods that propose new items besides the usual ones."
    )

    @field_validator("methods")
    @classmethod
    def _each_once(cls, methods: tuple[MethodName, ...]) -> tuple[MethodName, ...]:
        if twice := sorted({name for name in methods if methods.count(name) > 1}):
            raise ValueError(f"methods names {twice} more than once")
        return methods


class Gate(_Section):
    """What a challenger may do; lists are looked at up to their tenth place."""

    tolerance: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Relative loss of NDCG@10 against the champion's recipe that is accepted.",
    )
    coverage_ratio: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Least catalogue coverage, as a share of the champion's.",
    )
    constant_share: float = Field(
        default=0.95,
        ge=0,
        le=1,
        description="Greatest share of lists whose scores are all the same.",
    )
    popular_share: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Greatest share of places that the popular items take, unless their list won.",
    )
    churn: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Greatest share of a user's items that the champion's list doesn't have.",
    )
    cold_days: int = Field(
        default=10, ge=1, description="A user is cold with at most so many days with an event."
    )
    cold_users: int = Field(
        default=30, ge=1, description="Cold users are judged where there are so many."
    )
    cold_tolerance: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Relative loss of the cold users' NDCG@10 that is accepted.",
    )


class Recommend(_Section):
    """The lists that are served."""

    size: int = Field(default=20, ge=1, description="Items per user and list.")
    new_item_days: int = Field(
        default=28, ge=1, description="An item is new within so many days of its first event."
    )
    new_item_share: float = Field(
        default=0.02, ge=0, le=0.5, description="Share of `discover` places kept for new items."
    )
    contexts: tuple[str, ...] = Field(
        default=(),
        description="What unknown users may be asked for: `store_id`, or attributes of users.",
    )


class Serving(_Section):
    """Where releases go."""

    store: str = Field(
        default="lmdb:.topshelf/{shop}/store",
        description="`lmdb:PATH` or `redis://HOST:PORT/DB`.",
    )
    keep_releases: int = Field(default=5, ge=2, description="Releases kept for rollback.")


class MLflow(_Section):
    """Tracking and registry."""

    tracking_uri: str = Field(
        default="sqlite:///.topshelf/mlflow/mlflow.db",
        description="MLflow's database, which shops may share.",
    )
    artifacts: Path = Field(
        default=Path(".topshelf/{shop}/mlflow/artifacts"), description="MLflow's files."
    )
    experiment: str = Field(
        default="{shop}_nightly",
        description="Experiment of the nightly runs; those of other commands add a word to it.",
    )
    model: str = Field(default="{shop}", description="Name of the registered model.")


NAMED_AFTER_SHOP: dict[str, type[_Section]] = {"paths": Paths, "serving": Serving, "mlflow": MLflow}


def _defaults_of_shop(section: type[_Section], shop: str) -> dict[str, object]:
    """The section's defaults that hold ``{shop}``, with the name in its place."""
    defaults = {name: field.default for name, field in section.model_fields.items()}
    return {
        name: str(default).replace("{shop}", shop)
        for name, default in defaults.items()
        if "{shop}" in str(default)
    }


class Settings(BaseSettings):
    """Everything a run depends on besides its run date and the data."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="TOPSHELF__", env_nested_delimiter="__"
    )

    shop: Shop
    paths: Paths = Field(default_factory=Paths)
    sources: tuple[SourceMapping, ...] = Field(min_length=1)
    quality: Quality = Field(default_factory=Quality)
    features: Features = Field(default_factory=Features)
    train: Train = Field(default_factory=Train)
    gate: Gate = Field(default_factory=Gate)
    recommend: Recommend = Field(default_factory=Recommend)
    serving: Serving = Field(default_factory=Serving)
    mlflow: MLflow = Field(default_factory=MLflow)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then what ``load`` read from the file."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings

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
        if not any(source.target == "events" for source in self.sources):
            raise ValueError('sources: none has target = "events", so there is nothing to learn')
        return self

    @property
    def state_folders(self) -> tuple[Path, ...]:
        """The folders that hold one shop's state alone."""
        return self.paths.lake, self.paths.runs, self.paths.data_quality

    def digest(self) -> str:
        """SHA-256 of the settings that shape the data: not of names, paths, stores and the gate."""
        shaping = self.model_dump_json(exclude={"shop", "paths", "serving", "mlflow", "gate"})
        return hashlib.sha256(shaping.encode()).hexdigest()


def load(path: Path) -> Settings:
    """Read and check a configuration file.

    Raises ``ConfigurationError`` naming every wrong field, its value and the rule.
    """
    if not path.is_file():
        raise ConfigurationError(
            f"no configuration file at {path}. Give --config FILE or set TOPSHELF_CONFIG; "
            "infra/config/ holds examples."
        )
    try:
        content = TomlConfigSettingsSource(Settings, toml_file=path).toml_data
    except ValueError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    try:
        return Settings(**cast("dict[str, object]", content))  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "\n".join(
            f"  {'.'.join(str(part) for part in problem['loc']) or 'file'}: {problem['msg']}"
            f" (value: {problem['input']!r})"[:300]
            for problem in error.errors()
        )
        raise ConfigurationError(
            f"{path} has {error.error_count()} mistake(s):\n{problems}"
        ) from error
