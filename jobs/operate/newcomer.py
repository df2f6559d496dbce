"""A list for somebody whom no night knows yet: from items of theirs, categories, a context."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jobs.config.settings import Settings
from jobs.night.inputs import read_gold, read_shelf
from jobs.night.lists import KeyedNight
from jobs.night.recipes import policy
from jobs.night.registry import open_registry
from jobs.operate.lookup import name_of_context, plain
from lakehouse.errors import ConfigurationError, DataError
from lakehouse.lists import ALL, POPULAR
from lakehouse.nearest import instead_of
from lakehouse.tables import ITEM_FEATURES
from models.core.interactions import UNKNOWN, index_of
from models.lists.newcomer import Known, newcomer_rows
from models.lists.published import PUBLISHED_FOLDER, Published
from models.lists.reasons import reason_codes, reasons
from models.lists.rules.night import night_rules
from models.tracking.versions import Provenance

STDIN: Final = Path("-")


def read_history(path: Path) -> list[str]:
    """The item ids of a file in UTF-8, one a line; ``-`` is standard input.

    Raises ``ConfigurationError`` where the file cannot be read.
    """
    try:
        content = sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
        return content.decode("utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(
            f"--history-file {path} cannot be read: {reason}. Give a file with an item id a line."
        ) from error


def recommend(
    settings: Settings,
    history: Sequence[str] = (),
    *,
    categories: Sequence[str] = (),
    context: str | None = None,
) -> RenderableType:
    """What the champion would list for a newcomer.

    They took the items of ``history``, chose ``categories``, and are in a ``context`` of
    ``[recommend] contexts``, as far as any of that is known. White space around an id does not
    count. Nothing is written. Raises ``ConfigurationError`` where nothing is known, or a category
    or context that there is not, ``DataError`` where no version serves, or none of the items is
    known and nothing else is, and ``InfrastructureError`` where MLflow fails.
    """
    items = list(dict.fromkeys(item.strip() for item in history if item.strip()))
    if not (items or categories or context):
        raise ConfigurationError(
            "--history and --history-file name no item; give item ids, such as --history 123, "
            "--category or --context."
        )
    if context is not None:
        _check_context(settings, context)
    registry = open_registry(settings)
    champion = registry.champion()
    if champion is None:
        raise DataError(
            "no model serves yet: run `topshelf train` and `topshelf gate` for a night first."
        )
    source = champion.provenance
    published = Published.load(registry.folder(champion) / PUBLISHED_FOLDER)
    gold = read_gold(
        settings.paths.lake,
        ITEM_FEATURES,
        source.table_versions,
        source.run_date,
        source.run_date,
        columns=("item_id", "title", "category", "department"),
    )
    taken = index_of(published.item_ids, items)
    taken = np.unique(taken[taken != UNKNOWN])
    if not len(taken) and not (categories or context):
        raise DataError(
            f"the model knows none of the {len(items)} items given, such as {items[0]!r}. "
            "Give ids as they stand in the catalogue (silver.items), each by its own --history."
        )
    sales = None if context is None else _sales(settings, source, published, gold, context)
    chosen = list(dict.fromkeys(categories))
    known = Known(taken, _masks(published, gold, chosen), sales)
    lists_by = policy(settings, source.run_date)
    shelf = read_shelf(settings, source, published) if lists_by.book.rules else None
    rules = night_rules(lists_by.book, ALL.name, shelf)
    rows = newcomer_rows(published, known, lists_by, rules)
    took = published.item_ids[taken].tolist()
    titles = gold.set_index("item_id")["title"].dropna().to_dict()
    explained = _explained(rows, gold, took, chosen, settings.features.event_types)
    return _shown(
        explained,
        [_named(item, titles) for item in items if item in set(took)],
        chosen,
        context,
        f"model {champion.label}; {len(items) - len(taken)} of the items given are unknown"
        + ("" if context is None or sales is not None else f"; nothing is known of {context}"),
    )


def _check_context(settings: Settings, context: str) -> None:
    name = name_of_context(context)
    if name not in settings.recommend.contexts:
        raise ConfigurationError(
            f"--context {context!r}: [recommend] contexts has no {name!r}; it has "
            f"{', '.join(settings.recommend.contexts) or 'none'}."
        )


def _sales(
    settings: Settings,
    source: Provenance,
    published: Published,
    gold: pd.DataFrame,
    context: str,
) -> NDArray[np.float64] | None:
    """What sells in the context; ``None`` where too few people are known there."""
    ranked = KeyedNight.read(settings, source, published, gold).sales(POPULAR)
    [row] = index_of(ranked.user_ids, [context])
    return None if row == UNKNOWN else ranked.scores[[row]].toarray()[0]


def _masks(
    published: Published, gold: pd.DataFrame, categories: Sequence[str]
) -> list[NDArray[np.bool_]]:
    """The items of each category; raises ``ConfigurationError`` for one that there is not."""
    of_item = gold.set_index("item_id")["category"].reindex(published.item_ids)
    there = sorted(of_item.dropna().unique())
    for name in categories:
        if name not in there:
            raise ConfigurationError(
                f"--category {name!r}: the catalogue has no such category; "
                f"{instead_of(name, there)}"
            )
    return [of_item.eq(name).to_numpy(dtype=bool, na_value=False) for name in categories]


def _explained(
    rows: pd.DataFrame,
    gold: pd.DataFrame,
    taken: list[str],
    categories: Sequence[str],
    event_types: Sequence[str],
) -> pd.DataFrame:
    """The rows with titles, reason codes and reasons: a category may be chosen or taken from."""
    of_item = gold.set_index("item_id")
    group = of_item["category"].fillna(of_item["department"])
    known = {*categories, *group.reindex(taken).dropna()}
    told = rows.assign(
        list=ALL.name,
        title=rows["item_id"].map(of_item["title"]),
        group=rows["item_id"].map(group),
        events_total=np.nan,
        days_since_last=np.nan,
    )
    told["group_known"] = told["group"].isin(known)
    told["reason_code"] = reason_codes(told)
    return told.assign(reason=reasons(told, event_types))


def _shown(
    rows: pd.DataFrame,
    taken: Sequence[str],
    categories: Sequence[str],
    context: str | None,
    footer: str,
) -> RenderableType:
    known = (
        f"after {', '.join(taken)}" if taken else "",
        f"chose {', '.join(categories)}" if categories else "",
        f"in {context}" if context else "",
    )
    table = Table("#", "product", "why", "tier", "score", "from", box=None, header_style="bold")
    for row in rows.to_dict("records"):
        item, title = str(row["item_id"]), row["title"]
        table.add_row(
            str(row["rank"]),
            plain(item if pd.isna(title) else f"{title} ({item})"),
            plain(row["reason"]),
            row["tier"],
            f"{row['score']:.4g}",
            plain(row["source"]),
        )
    return Group(plain("; ".join(filter(None, known))), table, Text(footer, style="dim"))


def _named(item_id: str, titles: Mapping[Any, Any]) -> str:
    return f"{titles[item_id]} ({item_id})" if item_id in titles else item_id
