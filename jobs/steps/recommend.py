"""The night's model → ``gold.recommendations``: every user's lists, with reasons, validated.

The features are read at the Delta versions that the model was trained on, so that a release is of
one piece whatever has been written since.
"""

from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from expectations import checks
from expectations.validation import validate
from jobs.config.rules import rule_book
from jobs.config.settings import Settings
from jobs.night.inputs import read_gold, read_related, read_shelf
from jobs.night.job_report import JobReport, JsonValue
from jobs.night.lists import served_lists
from jobs.night.recipes import served_policy
from jobs.night.registry import open_registry
from jobs.night.release import lists_digest, release_id
from lakehouse.io import arrow
from lakehouse.lists import BOUGHT_TOGETHER, FALLBACK, PERSONAL, PERSONAL_LISTS
from lakehouse.tables import ITEM_FEATURES, RECOMMENDATIONS, USER_FEATURES, USER_ITEM_FEATURES
from models.core.interactions import UNKNOWN, index_of
from models.lists.path import Policy
from models.lists.published import PUBLISHED_FOLDER, Published
from models.lists.reasons import HISTORY_COLUMNS, explained
from models.lists.rules.night import night_rules, rule_warnings
from models.lists.rules.shelf import Shelf
from models.tracking.versions import ModelVersion

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
    lake = settings.paths.lake
    pairs, users, items = (
        read_gold(lake, table, source.table_versions, run_date, run_date, columns=columns)
        for table, columns in (
            (USER_ITEM_FEATURES, HISTORY_COLUMNS),
            (USER_FEATURES, ("user_id",)),
            (ITEM_FEATURES, None),
        )
    )
    lists_by = served_policy(settings, run_date)
    shelf = read_shelf(settings, source, published) if lists_by.book.rules else None
    configuration = lists_digest(settings, lists_by.book)
    release = release_id(run_date, version.label, source.table_versions, configuration, source.seed)

    blocks = served_lists(
        settings, source, published, users["user_id"], items, policy=lists_by, shelf=shelf
    )
    together = read_related(settings, source.table_versions, run_date, BOUGHT_TOGETHER.ranked_by)
    frame = pd.concat(
        [
            explained(block, pairs, items, together, settings.features.event_types)
            for block in blocks
        ],
        ignore_index=True,
    ).assign(run_date=run_date, model_version=version.label, release=release)[
        list(RECOMMENDATIONS.column_names)
    ]
    verdict = validate(
        frame,
        RECOMMENDATIONS,
        run_date=run_date,
        results=settings.paths.data_quality,
        checks=rules(frame, published, users["user_id"], items, policy=lists_by, shelf=shelf),
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
            "size": lists_by.shown,
            "methods": {name: published.by_list[name].name for name in PERSONAL_LISTS},
            "sources": _shares(frame[~frame["spare"].astype(bool)]),
        },
        warnings=(
            *verdict.warnings,
            *rule_warnings(rule_book(settings), run_date, shelf),
            *_other_configuration(version, settings.digest()),
        ),
    )


def _other_configuration(version: ModelVersion, configuration: str) -> tuple[str, ...]:
    if version.provenance.configuration == configuration:
        return ()
    return (
        f"{version.label} was trained under another configuration, so `topshelf reproduce` will "
        "not give these lists. Train again to have both of one piece.",
    )


def rules(
    frame: pd.DataFrame,
    published: Published,
    user_ids: "pd.Series[str]",
    items: pd.DataFrame,
    *,
    policy: Policy,
    shelf: Shelf | None,
) -> list[checks.Check]:
    """What the table's declaration cannot say of the lists."""
    sellable = set(items.loc[items["sellable"], "item_id"])
    everybody = pd.MultiIndex.from_product([PERSONAL_LISTS, user_ids], names=["list", "user_id"])
    lengths = frame.groupby(["list", "user_id"]).size().reindex(everybody, fill_value=0).to_numpy()
    users = index_of(published.user_ids, user_ids)
    possible = np.concatenate(
        [
            published.possible(surface, users, night_rules(policy.book, surface.name, shelf))
            for surface in PERSONAL
        ]
    )
    of_nobody = night_rules(policy.book, FALLBACK.name, shelf)
    [anybody] = published.possible(FALLBACK, np.array([UNKNOWN], dtype=np.int32), of_nobody)
    sizes = np.repeat([policy.on(surface).shown for surface in PERSONAL], len(users))
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
            int((lengths < np.minimum(possible, sizes)).sum()),
            maximum=0,
            advice=AGAIN,
        ),
        checks.measure(
            "rows of the list for unknown users",
            int(((frame["list"] == FALLBACK.name) & (frame["user_id"] == "")).sum()),
            minimum=max(min(policy.on(FALLBACK).shown, anybody), 1),
            advice="Nothing that sells may be shown: look at `topshelf rules check`, or run "
            "`topshelf train` and `topshelf gate` for this night again; nothing was published.",
        ),
        checks.share(
            "users' lists with fewer items than places",
            int((lengths < sizes).sum()),
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
