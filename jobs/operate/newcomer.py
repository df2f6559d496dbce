"""A list for somebody whom no night knows yet, from a few items of theirs."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jobs.config.settings import Settings
from jobs.night.inputs import read_gold
from jobs.night.registry import open_registry
from jobs.operate.lookup import plain
from lakehouse.errors import ConfigurationError, DataError
from lakehouse.tables import ITEM_FEATURES
from models.lists.published import PUBLISHED_FOLDER, Published

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


def recommend(settings: Settings, history: Sequence[str]) -> RenderableType:
    """What the champion would list for a newcomer who took the items of ``history``.

    White space around an id does not count. Nothing is written. Raises ``ConfigurationError`` where
    ``history`` names no item, ``DataError`` where no version serves or none of the items is known,
    and ``InfrastructureError`` where MLflow fails.
    """
    items = list(dict.fromkeys(item.strip() for item in history if item.strip()))
    if not items:
        raise ConfigurationError(
            "--history and --history-file name no item; give item ids, such as --history 123."
        )
    registry = open_registry(settings)
    champion = registry.champion()
    if champion is None:
        raise DataError(
            "no model serves yet: run `topshelf train` and `topshelf gate` for a night first."
        )
    source = champion.provenance
    published = Published.load(registry.folder(champion) / PUBLISHED_FOLDER)
    rows = published.rows_for(items, settings.recommend.size)
    gold = read_gold(
        settings.paths.lake,
        ITEM_FEATURES,
        source.table_versions,
        source.run_date,
        source.run_date,
        columns=("item_id", "title"),
    )
    titles = gold.set_index("item_id")["title"].dropna().to_dict()
    catalogue = set(published.item_ids)
    known = [item for item in items if item in catalogue]
    table = Table("#", "product", "score", "from", box=None, header_style="bold")
    for row in rows.itertuples(index=False):
        name = _named(str(row.item_id), titles)
        table.add_row(str(row.rank), plain(name), f"{row.score:.4g}", plain(str(row.source)))
    head = f"after {', '.join(_named(item, titles) for item in known)}"
    footer = f"model {champion.label}; {len(items) - len(known)} of the items given are unknown"
    return Group(plain(head), table, Text(footer, style="dim"))


def _named(item_id: str, titles: Mapping[Any, Any]) -> str:
    return f"{titles[item_id]} ({item_id})" if item_id in titles else item_id
