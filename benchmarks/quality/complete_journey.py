"""Complete Journey as delivered, in the form in which models see a night; without the lake.

Evaluations of several dates read the year once, and need no night's tables for each date.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from jobs.config.settings import Settings
from lakehouse.errors import ConfigurationError
from lakehouse.ingest.sources import SourceMapping
from models.core.context import Context
from models.core.interactions import Interactions


@dataclass(frozen=True, slots=True, eq=False)
class ShopData:
    """All events, and what the catalogue says of items and the shop of users at any time."""

    interactions: Interactions
    items: pd.DataFrame
    users: pd.DataFrame

    def context(self, as_of: date) -> Context:
        """What was known on a day; every item sold before may be listed."""
        return Context.build(
            self.interactions,
            as_of=as_of,
            user_attributes=self.users,
            item_features=self.items,
        )


def read_shop(settings: Settings, folder: Path) -> ShopData:
    """Read ``{source}.parquet`` of each source in ``settings`` from ``folder``.

    Events are the lines with positive quantity and value. Raises ``ConfigurationError`` where a
    source or its file is missing.
    """
    events = _read(settings, folder, "events")
    events = events[(events["quantity"] > 0) & (events["value"] > 0)]
    items = _as_text(_read(settings, folder, "items"))
    users = _as_text(_read(settings, folder, "users"))
    ids = _as_text(events[["user_id", "item_id"]])
    interactions = Interactions.from_frame(
        ids.assign(
            event_date=pd.to_datetime(events["event_time"]).dt.normalize(),
            event_time=events["event_time"],
            order_id=events["order_id"],
            quantity=events["quantity"],
            value=events["value"],
            discount=events["discount"],
        ),
        item_ids={*items["item_id"], *ids["item_id"]},
    )
    return ShopData(interactions, items, users)


def _read(settings: Settings, folder: Path, target: str) -> pd.DataFrame:
    """The columns that the mapping names, under its names."""
    source = _source(settings, target)
    path = folder / f"{source.name}.parquet"
    if not path.is_file():
        raise ConfigurationError(f"source {source.name}: no file {path}")
    rows = pd.read_parquet(path, columns=sorted({*source.mapped_source_columns}))
    return pd.DataFrame(
        {name: _joined(rows[list(source.file_columns(name))]) for name in source.columns}
        | {name: rows[name] for name in source.attributes}
    )


def _joined(columns: pd.DataFrame) -> "pd.Series[Any]":
    """One column as it is; several as text, with a space between."""
    if len(columns.columns) == 1:
        return columns.iloc[:, 0]
    return columns.astype(str).agg(" ".join, axis="columns")


def _source(settings: Settings, target: str) -> SourceMapping:
    for source in settings.sources:
        if source.target == target:
            return source
    raise ConfigurationError(f'no source with target = "{target}" in the configuration')


def _as_text(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype("str")
