"""The night's model → ``gold.recommendations``: every user's lists, with reasons, validated.

The features are read at the Delta versions that the model was trained on, so that a release is of
one piece whatever has been written since.
"""

from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from expectations import checks
from expectations.gate import validate
from jobs.config import Settings
from jobs.job_report import JobReport, JsonValue
from jobs.night import read_contexts, read_gold
from jobs.release import release_id
from jobs.train import open_registry
from lakehouse import arrow
from lakehouse.tables import ITEM_FEATURES, RECOMMENDATIONS, USER_FEATURES, USER_ITEM_FEATURES
from models.base import FALLBACK_SOURCE
from models.context_popularity import popular_in_context
from models.exposure import expose
from models.interactions import index_of
from models.published import FALLBACK_LIST, PERSONAL_LISTS, PUBLISHED_FOLDER, Published
from models.reasons import reasons
from models.registry import ModelVersion, Provenance

EXPOSING_LIST = "discover"
AGAIN = "Run `topshelf train` and `topshelf gate` for this night again; nothing was published."


def run(settings: Settings, *, run_date: date) -> JobReport:
    """Write the lists of ``run_date``, made by its champion or newest version that passed the gate.

    A second run writes the same rows. Raises ``DataError`` where no version has passed,
    ``DataQualityError`` where the lists break a rule (the table is as before then), and
    ``InfrastructureError`` where MLflow fails.
    """
    registry = open_registry(settings)
    version = registry.passed(run_date)
    source = version.provenance
    published = Published.load(registry.folder(version) / PUBLISHED_FOLDER)
    lake, size = settings.paths.lake, settings.recommend.size
    pairs, users, items = (
        read_gold(lake, table, source.table_versions, run_date, run_date)
        for table in (USER_ITEM_FEATURES, USER_FEATURES, ITEM_FEATURES)
    )
    configuration = settings.digest()
    release = release_id(run_date, version.label, source.table_versions, configuration, source.seed)

    lists = served_lists(settings, source, published, users["user_id"], items)
    frame = explained(lists, pairs, items, settings.features.event_types).assign(
        run_date=run_date, model_version=version.label, release=release
    )[list(RECOMMENDATIONS.column_names)]
    verdict = validate(
        frame,
        RECOMMENDATIONS,
        run_date=run_date,
        results=settings.paths.data_quality,
        checks=rules(frame, published, users["user_id"], items, size),
    )
    rows = pa.Table.from_pandas(
        frame, schema=arrow.arrow_schema(RECOMMENDATIONS), preserve_index=False
    )
    with arrow.writing(lake, RECOMMENDATIONS):
        written = arrow.replace(lake, RECOMMENDATIONS, rows, {"run_date": run_date})
    return JobReport(
        step="recommend",
        run_date=run_date,
        rows={RECOMMENDATIONS.full_name: len(frame)},
        facts={
            "release": release,
            "model_version": version.label,
            "table_versions": dict(source.table_versions),
            "configuration": configuration,
            "seed": source.seed,
            "recommendations_version": written,
            "users": len(users),
            "size": size,
            "methods": {name: published.by_list[name].name for name in PERSONAL_LISTS},
            "sources": _shares(frame),
        },
        warnings=(*verdict.warnings, *_other_configuration(version, configuration)),
    )


def _other_configuration(version: ModelVersion, configuration: str) -> tuple[str, ...]:
    if version.provenance.configuration == configuration:
        return ()
    return (
        f"{version.label} was trained under another configuration, so `topshelf reproduce` will "
        "not give these lists. Train again to have both of one piece.",
    )


def fresh_items(published: Published, items: pd.DataFrame, new_item_days: int) -> NDArray[np.bool_]:
    """Which items of the vocabulary are sellable and were first taken in the last days."""
    new = items.loc[items["sellable"] & (items["days_since_first"] <= new_item_days), "item_id"]
    fresh = np.zeros(len(published.item_ids), dtype=np.bool_)
    fresh[index_of(published.item_ids, new)] = True
    return fresh


def served_lists(
    settings: Settings,
    source: Provenance,
    published: Published,
    user_ids: "pd.Series[str]",
    items: pd.DataFrame,
) -> pd.DataFrame:
    """Each list of each user, and those for unknown users.

    The latter stand under an empty user id, and by context under e.g. ``store_id=367``. In
    ``discover`` new ones of ``items`` get a share of the places (see ``models.exposure``). Columns
    ``list``, ``user_id``, ``rank``, ``item_id``, ``score`` and ``source``.
    """
    wanted = settings.recommend
    fresh = fresh_items(published, items, wanted.new_item_days)
    asked = {name: np.sort(user_ids.to_numpy(dtype=object)) for name in PERSONAL_LISTS}
    asked[FALLBACK_LIST] = np.array([""], dtype=object)
    parts = []
    for name, ids in asked.items():
        users = index_of(published.user_ids, ids)
        lists = published.lists(name, users, wanted.size)
        if name == EXPOSING_LIST and wanted.new_item_share:
            lists = expose(
                lists,
                published.lists(name, users, wanted.size, among=fresh),
                share=wanted.new_item_share,
                random=np.random.default_rng([source.seed, source.run_date.toordinal()]),
            )
        rows = published.as_rows(lists)
        parts.append(rows.assign(list=name, user_id=ids[rows["row"]]).drop(columns="row"))
    return pd.concat([*parts, *contextual_lists(settings, source, published)], ignore_index=True)


def contextual_lists(
    settings: Settings, source: Provenance, published: Published
) -> list[pd.DataFrame]:
    """Fallback lists by context, e.g. under the user id ``store_id=367``; columns as there."""
    columns = settings.recommend.contexts
    if not columns:
        return []
    events = read_contexts(settings, source.table_versions, source.run_date, columns)
    listable = set(published.item_ids[published.sellable])
    events = events[events["item_id"].isin(listable)]
    half_life = settings.train.popularity_half_life_days
    return [
        popular_in_context(
            events,
            column,
            as_of=source.run_date,
            half_life_days=half_life,
            size=settings.recommend.size,
        )
        .rename(columns={"context": "user_id"})
        .assign(list=FALLBACK_LIST, source=FALLBACK_SOURCE)
        for column in columns
    ]


def explained(
    lists: pd.DataFrame, pairs: pd.DataFrame, items: pd.DataFrame, event_types: tuple[str, ...]
) -> pd.DataFrame:
    """``lists`` with the items' ``title`` and a ``reason`` by what the user took before."""
    groups = items.set_index("item_id")["category"].fillna(items.set_index("item_id")["department"])
    history = pairs[["user_id", "item_id", "events_total", "days_since_last"]]
    known = history.assign(group=history["item_id"].map(groups))[["user_id", "group"]]
    known = known.dropna().drop_duplicates().assign(group_known=True)
    rows = (
        lists.assign(group=lists["item_id"].map(groups))
        .merge(items[["item_id", "title"]], how="left", on="item_id", validate="many_to_one")
        .merge(history, how="left", on=["user_id", "item_id"], validate="many_to_one")
        .merge(known, how="left", on=["user_id", "group"], validate="many_to_one")
    )
    rows["group_known"] = rows["group_known"].eq(True)
    return rows.assign(reason=reasons(rows, event_types))


def rules(
    frame: pd.DataFrame,
    published: Published,
    user_ids: "pd.Series[str]",
    items: pd.DataFrame,
    size: int,
) -> list[checks.Check]:
    """What the table's declaration cannot say of the lists."""
    sellable = set(items.loc[items["sellable"], "item_id"])
    everybody = pd.MultiIndex.from_product([PERSONAL_LISTS, user_ids], names=["list", "user_id"])
    lengths = frame.groupby(["list", "user_id"]).size().reindex(everybody, fill_value=0).to_numpy()
    users = index_of(published.user_ids, user_ids)
    possible = np.concatenate([published.possible(name, users) for name in PERSONAL_LISTS])
    return [
        checks.row_count(minimum=1, advice="The night has no users or no sellable items."),
        checks.unique(("list", "user_id", "item_id"), advice=AGAIN),
        checks.complete_ranks(("list", "user_id"), "rank", advice=AGAIN),
        checks.measure(
            "rows of items that are not known or not sellable",
            int((~frame["item_id"].isin(sellable)).sum()),
            maximum=0,
            advice=AGAIN,
        ),
        checks.measure(
            "users' lists shorter than what is left to recommend",
            int((lengths < np.minimum(possible, size)).sum()),
            maximum=0,
            advice=AGAIN,
        ),
        checks.measure(
            "rows of the list for unknown users",
            int(((frame["list"] == FALLBACK_LIST) & (frame["user_id"] == "")).sum()),
            minimum=min(size, len(sellable)),
            advice=AGAIN,
        ),
        checks.share(
            f"users' lists with fewer than {size} items",
            int((lengths < size).sum()),
            len(lengths),
            maximum=0.01,
            advice="The catalogue has too few items that sell; lower `[recommend] size`.",
            severity="warn",
        ),
    ]


def _shares(frame: pd.DataFrame) -> dict[str, JsonValue]:
    """The share of places that each method filled, by list."""
    counts = frame.groupby("list")["source"].value_counts(normalize=True)
    return {
        str(name): {
            str(source): round(float(share), 4) for source, share in part.droplevel(0).items()
        }
        for name, part in counts.groupby(level=0)
    }
