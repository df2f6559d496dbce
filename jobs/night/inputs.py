"""What a night's models learn from, read from the lake at pinned Delta versions, without a JVM."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from math import ceil
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import sparse

from jobs.config.contexts import EVENT_CONTEXTS, TIME_CONTEXTS
from jobs.config.settings import Settings
from jobs.night.event_times import time_contexts
from lakehouse.errors import DataError
from lakehouse.io import arrow
from lakehouse.steps import MODEL_INPUTS
from lakehouse.tables import (
    ITEM_FEATURES,
    ITEM_RELATED,
    SILVER_FEEDBACK,
    SILVER_INTERACTIONS,
    SILVER_USERS,
    USER_FEATURES,
    USER_ITEM_FEATURES,
    Table,
)
from lakehouse.windows import Windows
from models.core.context import Context, align
from models.core.interactions import UNKNOWN, Interactions, index_of
from models.core.reactions import NOTICED, Reactions
from models.lists.published import Published
from models.lists.rules.shelf import Shelf
from models.selection.split import Nights
from models.tracking.versions import Provenance

EVENT_COLUMNS: Final = (
    "user_id",
    "item_id",
    "order_id",
    "event_date",
    "event_ts",
    "quantity",
    "value",
    "discount",
)

# A source may have no users, none has feedback before its API serves, and a lake of an earlier
# release has nothing related yet.
OPTIONAL_INPUTS: Final = (SILVER_USERS, SILVER_FEEDBACK, ITEM_RELATED)
# An impression so many half-lives ago counts next to nothing, and is not read.
HALF_LIVES: Final = 6

TableVersions = Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Night:
    """All events before the run date, and a context for each of the nights asked for."""

    interactions: Interactions
    contexts: Mapping[date, Context]


def newest_versions(lake: Path) -> dict[str, int]:
    """The Delta version of each input table; of ``OPTIONAL_INPUTS`` those that exist.

    Raises ``DataError`` where one that every shop has does not exist.
    """
    return {
        table.full_name: arrow.version(lake, table)
        for table in MODEL_INPUTS
        if table not in OPTIONAL_INPUTS or arrow.exists(lake, table)
    }


def read_night(
    settings: Settings, versions: TableVersions, *, run_date: date, as_of: tuple[date, ...]
) -> Night:
    """Read the tables at ``versions``.

    The vocabularies are the same in all contexts: users with events, items with events or in the
    catalogue. Raises ``DataError`` where the night has no events.
    """
    lake = settings.paths.lake
    events = _events(settings, versions, run_date, EVENT_COLUMNS)
    events["event_time"] = events.pop("event_ts").dt.tz_convert(None)
    items = {day: read_gold(lake, ITEM_FEATURES, versions, run_date, day) for day in as_of}
    item_ids = set(events["item_id"].cat.categories).union(*(f["item_id"] for f in items.values()))
    interactions = Interactions.from_frame(events, item_ids=item_ids)
    attributes = _user_attributes(lake, versions, run_date)
    contexts = {
        day: Context.build(
            interactions,
            as_of=day,
            user_features=read_gold(lake, USER_FEATURES, versions, run_date, day),
            user_attributes=attributes,
            item_features=items[day],
            excluded_departments=settings.features.excluded_departments,
            reactions=_reactions(settings, versions, run_date, interactions, day),
        )
        for day in as_of
    }
    return Night(interactions, contexts)


def read_gold(
    lake: Path,
    table: Table,
    versions: TableVersions,
    run_date: date,
    as_of: date,
    *,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """One night's rows of a gold feature table: all ``columns`` but those that name the night."""
    every = [name for name in table.column_names if name not in ("run_date", "as_of")]
    rows = arrow.read(
        lake,
        table,
        columns=every if columns is None else columns,
        filters=[("run_date", "==", run_date), ("as_of", "==", as_of)],
        version=versions[table.full_name],
    )
    frame: pd.DataFrame = rows.to_pandas()
    return frame


def read_related(
    settings: Settings, versions: TableVersions, run_date: date, kind: str
) -> pd.DataFrame:
    """What is related to each item: ``item_id``, ``related_item_id`` and the evidence.

    Empty where the night's versions have no such table.
    """
    columns = ["item_id", "related_item_id", "score", "support", "baskets"]
    if ITEM_RELATED.full_name not in versions:
        return pd.DataFrame(columns=columns)
    rows: pd.DataFrame = arrow.read(
        settings.paths.lake,
        ITEM_RELATED,
        columns=columns,
        filters=[("run_date", "==", run_date), ("kind", "==", kind)],
        version=versions[ITEM_RELATED.full_name],
    ).to_pandas()
    return rows


def read_shelf(settings: Settings, source: Provenance, published: Published) -> Shelf:
    """What rules look at, as of the night of ``source``, in the vocabulary of ``published``."""
    lake, versions, night = settings.paths.lake, source.table_versions, source.run_date
    items, users, pairs = (
        read_gold(lake, table, versions, night, night)
        for table in (ITEM_FEATURES, USER_FEATURES, USER_ITEM_FEATURES)
    )
    known = [
        align(frame, published.user_ids, "user_id")
        for frame in (_user_attributes(lake, versions, night), users)
        if frame is not None
    ]
    user = index_of(published.user_ids, pairs["user_id"])
    item = index_of(published.item_ids, pairs["item_id"])
    both = (user != UNKNOWN) & (item != UNKNOWN)
    features = align(items, published.item_ids, "item_id")
    return Shelf.build(
        published.item_ids,
        features["days_since_first"].to_numpy(dtype=float, na_value=np.nan),
        features,
        pd.concat(known, axis=1),
        sparse.csr_array(
            (pairs["days_since_last"].to_numpy()[both].astype(np.int32), (user[both], item[both])),
            shape=(len(published.user_ids), len(published.item_ids)),
        ),
    )


def read_contexts(
    settings: Settings, versions: TableVersions, run_date: date, contexts: Sequence[str]
) -> pd.DataFrame:
    """The events before the run date with a column per context, missing where unknown.

    ``store_id`` and ``device`` are the event's; ``weekday`` (``mon``) and ``hour_slot``
    (``06-12``) are those of its time, in the zone of its source; any other is an attribute of its
    user.
    """
    own = [name for name in contexts if name in EVENT_CONTEXTS]
    times = [name for name in contexts if name in TIME_CONTEXTS]
    columns = ["user_id", "item_id", "event_date", *own]
    events = _events(
        settings, versions, run_date, [*columns, "event_ts", "source"] if times else columns
    )
    if times:
        zones = {source.name: source.time_zone for source in settings.sources}
        told = time_contexts(events["event_ts"], events["source"], zones)
        events = events.assign(**{name: told[name] for name in times})
    wanted = [name for name in contexts if name not in (*own, *times)]
    if not wanted:
        return events
    attributes = _user_attributes(settings.paths.lake, versions, run_date)
    if attributes is None:
        attributes = pd.DataFrame(columns=["user_id"])
    return events.astype({"user_id": object}).merge(
        attributes.reindex(columns=["user_id", *wanted]),
        how="left",
        on="user_id",
        validate="many_to_one",
    )


def _events(
    settings: Settings, versions: TableVersions, run_date: date, columns: Sequence[str]
) -> pd.DataFrame:
    rows = arrow.read(
        settings.paths.lake,
        SILVER_INTERACTIONS,
        columns=list(columns),
        filters=[
            ("ingest_date", "<=", run_date),
            ("event_date", "<", run_date),
            ("event_type", "in", list(settings.features.event_types)),
        ],
        version=versions[SILVER_INTERACTIONS.full_name],
    )
    if not rows.num_rows:
        raise DataError(
            f"{SILVER_INTERACTIONS.full_name} has no events of the kinds "
            f"{list(settings.features.event_types)} before {run_date}. Check the run date, "
            "`[features] event_types`, and that the nights before it were ingested and cleaned."
        )
    return _with_ids_once(rows, {"user_id", "item_id", "source"} & set(columns))


def _with_ids_once(rows: pa.Table, names: Iterable[str]) -> pd.DataFrame:
    """Rows as a frame; each different value of the columns is decoded once, not once per event."""
    for name in names:
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, name, rows[name].dictionary_encode())
    frame: pd.DataFrame = rows.to_pandas()
    return frame


def _reactions(
    settings: Settings,
    versions: TableVersions,
    run_date: date,
    interactions: Interactions,
    as_of: date,
) -> Reactions | None:
    """What users made of what they were shown before ``as_of``; ``None`` without any feedback."""
    if SILVER_FEEDBACK.full_name not in versions:
        return None
    half_life = settings.recommend.ignored_half_life_days
    read = partial(
        arrow.read,
        settings.paths.lake,
        SILVER_FEEDBACK,
        columns=["user_id", "item_id", "event_type", "event_ts"],
        version=versions[SILVER_FEEDBACK.full_name],
    )
    known: list[arrow.Filter] = [("ingest_date", "<=", run_date), ("event_date", "<", as_of)]
    said = read(filters=[*known, ("event_type", "in", ["dismissal", *NOTICED])])
    oldest = as_of - timedelta(days=ceil(HALF_LIVES * half_life))
    shown = read(filters=[*known, ("event_type", "==", "impression"), ("event_date", ">=", oldest)])
    if not said.num_rows and not shown.num_rows:
        return None
    return Reactions.of(
        _with_ids_once(pa.concat_tables([said, shown]), ["user_id", "item_id", "event_type"]),
        interactions.user_ids,
        interactions.item_ids,
        as_of=as_of,
        half_life_days=half_life,
        weight=settings.recommend.ignored_weight,
    )


def _user_attributes(lake: Path, versions: TableVersions, run_date: date) -> pd.DataFrame | None:
    """One text column per attribute, from each user's newest row; ``None`` without a table."""
    if SILVER_USERS.full_name not in versions:
        return None
    rows: pa.Table = arrow.read(
        lake,
        SILVER_USERS,
        columns=["user_id", "attributes", "ingest_date"],
        filters=[("ingest_date", "<=", run_date)],
        version=versions[SILVER_USERS.full_name],
    )
    newest = (
        rows.to_pandas()
        .sort_values("ingest_date", kind="stable")
        .drop_duplicates("user_id", keep="last")
    )
    attributes = pd.DataFrame([dict(pairs) for pairs in newest["attributes"]], dtype="str")
    return attributes.reindex(columns=sorted(attributes.columns)).assign(
        user_id=newest["user_id"].to_numpy()
    )


def read_nights(settings: Settings, versions: TableVersions, *, run_date: date) -> Nights:
    """What was known at the start of each window, and today, at pinned table versions."""
    windows = Windows(run_date, settings.train.test_days, settings.train.validation_days)
    night = read_night(settings, versions, run_date=run_date, as_of=windows.as_of_dates)
    return Nights(
        interactions=night.interactions,
        validation=night.contexts[windows.validation_start],
        test=night.contexts[windows.test_start],
        today=night.contexts[run_date],
    )
