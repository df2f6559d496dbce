"""Small nights for training: settings, a lake made without Spark, an MLflow database."""

import functools
import shutil
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from jobs.config.settings import Settings, load
from jobs.night.inputs import newest_versions, read_nights
from jobs.night.job_report import JobReport
from jobs.night.outcomes import keep
from jobs.night.registry import open_registry
from jobs.steps.gate import CHECKED_STEPS
from lakehouse.io import arrow
from lakehouse.tables import (
    ITEM_FEATURES,
    SILVER_INTERACTIONS,
    USER_FEATURES,
    USER_ITEM_FEATURES,
    Table,
)
from lakehouse.windows import Windows
from models.core.assortment import Assortment
from models.core.base import BaseRecommender
from models.core.parameters import POPULARITY_HALF_LIFE_DAYS
from models.lists.published import PUBLISHED_FOLDER, Published
from models.recommenders.ease import Ease
from models.selection.choice import Terms
from models.selection.evidence import EVIDENCE_FOLDER, Evidence
from models.selection.recipe import Recipe
from models.tracking import database as tracking_database
from models.tracking.versions import ModelVersion, Provenance
from tests.rows import row

NIGHT = date(2024, 3, 1)
TRAIN = {"test_days": 7, "validation_days": 7}
SMALL = {"components": 4, "max_epochs": 2, "patience": 1}
MODELS = {"lightfm": SMALL, "hybrid_lightfm": SMALL}

# As the settings have them where nothing is said.
TERMS = Terms(seed=42, constant_share=0.95)
NEWCOMERS = Recipe("ease", {})
POPULARITY = Recipe("popularity", {"popularity_half_life_days": 30.0})
COUNTS = Recipe("decayed_counts", {"half_life_days": 120.0})
DEFAULT_RECIPES = {recipe.kind: recipe for recipe in (POPULARITY, COUNTS)}


class Event(NamedTuple):
    """A purchase so many days before ``NIGHT``."""

    user: str
    item: str
    days_ago: int
    store: str | None = None


def settings_in(
    folder: Path,
    *,
    train: Mapping[str, Any] | None = None,
    models: Mapping[str, Mapping[str, Any]] | None = None,
    gate: Mapping[str, Any] | None = None,
    size: int = 3,
) -> Settings:
    """Settings whose every path lies in ``folder``, with an MLflow database ready to use."""
    database = folder / "mlflow.db"
    if not database.exists():
        database.write_bytes(_empty_database())
    sections = {
        "train": TRAIN | dict(train or {}),
        "gate": gate or {},
        **{f"models.{name}": fields for name, fields in (MODELS | dict(models or {})).items()},
    }
    lines = [
        line
        for section, fields in sections.items()
        for line in (f"[{section}]", *(f"{name} = {value}" for name, value in fields.items()))
    ]
    config = folder / "config.toml"
    config.write_text(
        f"""
        [shop]
        name = "corner"
        [paths]
        lake = "{folder}/lake"
        runs = "{folder}/runs"
        data_quality = "{folder}/data_quality"
        [serving]
        store = "lmdb:{folder}/store"
        [mlflow]
        tracking_uri = "sqlite:///{database}"
        artifacts = "{folder}/artifacts"
        experiment = "nightly"
        model = "topshelf"
        [recommend]
        size = {size}
        [[sources]]
        name = "till"
        target = "events"
        path = "x.csv"
        format = "csv"
        time_zone = "UTC"
        columns = {{ user_id = "u", item_id = "i", event_time = "t" }}
        constants = {{ event_type = "purchase" }}
        """
        + "\n".join(lines)
    )
    return load(config)


def write_lake(
    settings: Settings,
    events: Iterable[Event],
    items: Mapping[str, Mapping[str, Any]],
    *,
    night: date = NIGHT,
) -> None:
    """Silver and gold of one night, as if checked.

    ``items`` gives columns of ``gold.item_features`` by item.
    """
    events = list(events)
    windows = Windows(night, settings.train.test_days, settings.train.validation_days)
    rows: dict[Table, list[dict[str, Any]]] = defaultdict(list)
    rows[SILVER_INTERACTIONS] = [
        row(
            SILVER_INTERACTIONS,
            event_id=str(number),
            user_id=event.user,
            item_id=event.item,
            store_id=event.store,
            source="till",
            event_ts=datetime.combine(_day(event), datetime.min.time(), UTC),
            event_date=_day(event),
            ingest_date=NIGHT,
        )
        for number, event in enumerate(events)
    ]
    for as_of in windows.as_of_dates:
        known = [event for event in events if _day(event) < as_of]
        when = {"run_date": night, "as_of": as_of}
        for item, values in items.items():
            rows[ITEM_FEATURES].append(row(ITEM_FEATURES, **when, item_id=item, **values))
        for user in sorted({event.user for event in known}):
            rows[USER_FEATURES].append(row(USER_FEATURES, **when, user_id=user))
        pairs = defaultdict(list)
        for event in known:
            pairs[event.user, event.item].append((as_of - _day(event)).days)
        for (user, item), ages in pairs.items():
            rows[USER_ITEM_FEATURES].append(
                row(
                    USER_ITEM_FEATURES,
                    **when,
                    user_id=user,
                    item_id=item,
                    events_total=len(ages),
                    days_since_last=min(ages),
                )
            )
    for table in (SILVER_INTERACTIONS, USER_ITEM_FEATURES, USER_FEATURES, ITEM_FEATURES):
        built = pa.Table.from_pylist(rows[table], schema=arrow.arrow_schema(table))
        partition = {"ingest_date": NIGHT} if table is SILVER_INTERACTIONS else {"run_date": night}
        arrow.replace(settings.paths.lake, table, built, partition)
    for step in CHECKED_STEPS:
        keep(JobReport(step, night), lake=settings.paths.lake, runs=settings.paths.runs)


class Night(NamedTuple):
    """A prepared night that ``restore`` brings back after each test, cheaper than made anew."""

    settings: Settings
    folder: Path
    copy: Path

    @classmethod
    def copied(cls, settings: Settings, copy: Path) -> "Night":
        """Keep a copy of everything in the folder of ``settings_in``."""
        folder = settings.paths.lake.parent
        shutil.copytree(folder, copy)
        return cls(settings, folder, copy)

    def restore(self) -> None:
        """Bring lake, registry and artifacts back."""
        # MLflow keeps its connections open, so the database has to stay the same file.
        with (
            sqlite3.connect(self.copy / "mlflow.db") as before,
            sqlite3.connect(self.folder / "mlflow.db") as now,
        ):
            before.backup(now)
        for part in ("lake", "artifacts"):
            shutil.rmtree(self.folder / part)
            shutil.copytree(self.copy / part, self.folder / part)


def shop() -> tuple[list[Event], dict[str, dict[str, Any]]]:
    """Twelve regulars: each buys milk, bread and three things of their own again and again.

    Now and then they try something new, so that every list has something to be judged by.
    """
    events = []
    for number in range(12):
        user = f"user-{number:02}"
        events += [Event(user, "milk", days) for days in (2, 5, 10, 25)]
        events += [Event(user, "bread", days) for days in (3, 12, 30)]
        for own in range(3):
            item = f"own-{number:02}-{own}"
            events += [Event(user, item, days) for days in (own + 1, own + 9, own + 20, own + 33)]
        events += [Event(user, f"new-{(number + days) % 4}", days) for days in (4, 11, 18)]
    items = sorted({event.item for event in events})
    return events, {item: {"sellable": True, "category": item.split("-")[0]} for item in items}


def busy_shop() -> tuple[list[Event], dict[str, dict[str, Any]]]:
    """The same with guests who take whatever is new, so that LightFM knows its buyers."""
    events, items = shop()
    guests = (f"guest-{number}" for number in range(6))
    events += [Event(guest, f"new-{new}", 20 + new) for guest in guests for new in range(4)]
    return events, items


def _day(event: Event) -> date:
    return NIGHT - timedelta(days=event.days_ago)


@functools.cache
def _empty_database() -> bytes:
    """An MLflow database with its tables: making one takes seconds, copying it none."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "mlflow.db"
        tracking_database.prepare(f"sqlite:///{database}", Path(folder) / "artifacts")
        return database.read_bytes()


def plant(
    settings: Settings,
    recipes: Mapping[str, Recipe],
    *,
    night: date = NIGHT,
    ndcg: Mapping[str, float] | None = None,
    damage: Callable[[BaseRecommender], None] | None = None,
    sells_everything: bool = False,
) -> ModelVersion:
    """Register a version that fills each list by the recipe given, as training would.

    ``ndcg`` gives the NDCG@10 that each kind of method is said to have for the list ``all``, the
    same for twelve users, 0.5 if not given; for ``discover`` all have 0.5. ``damage`` may spoil a
    fitted model; a version that ``sells_everything`` lists what may not be sold.
    """
    versions = newest_versions(settings.paths.lake)
    context = read_nights(settings, versions, run_date=night).today
    models = {name: recipe.build().fit(context) for name, recipe in recipes.items()}
    if damage is not None:
        for model in models.values():
            damage(model)
    assortment = Assortment.of(context, POPULARITY_HALF_LIFE_DAYS)
    if sells_everything:
        assortment = replace(assortment, sellable=np.ones_like(assortment.sellable))
    by_kind = {recipe.kind: recipe for recipe in recipes.values()}
    known = DEFAULT_RECIPES | by_kind
    said = dict(ndcg or {}) | {kind: 0.5 for kind in by_kind if kind not in (ndcg or {})}
    evidence = Evidence(
        recipes={kind: known[kind] for kind in said},
        choice={name: recipe.kind for name, recipe in recipes.items()},
        ndcg={
            name: {
                kind: np.full(12, value if name == "all" else 0.5) for kind, value in said.items()
            }
            for name in recipes
        },
        active_days={name: np.full(12, 20) for name in recipes},
    )
    source = Provenance(night, versions, settings.digest(), settings.train.seed)
    with tempfile.TemporaryDirectory() as folder:
        Published(models, Ease().fit(context), assortment).save(Path(folder) / PUBLISHED_FOLDER)
        evidence.save(Path(folder) / EVIDENCE_FOLDER)
        with open_registry(settings).run(f"nightly {night}", source) as run:
            return run.register(Path(folder), source)
