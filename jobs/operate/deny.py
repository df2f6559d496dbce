"""People hide items from every list at once, and let them be shown again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jobs.config.settings import Settings
from jobs.operate.lookup import plain
from lakehouse.errors import ConfigurationError
from serving.format.denials import Act, Action, DenyList
from serving.format.records import mentions
from serving.stores.opening import open_store
from serving.stores.store import Store

SHOWN_ACTS: Final = 20


def deny(
    settings: Settings, items: Sequence[str], *, who: str, why: str, when: datetime
) -> tuple[str, ...]:
    """Hide items from all releases; return a sentence for each on how many lists it is hidden from.

    One that no list has gets a warning instead: most likely the id is wrong. Raises
    ``ConfigurationError`` without items, name or reason.
    """
    acts = _acts("denied", items, who, why, when)
    with open_store(settings.serving.store, settings.shop.name) as store:
        store.deny(lambda known: known.after(acts))
        return tuple(map(_hidden, items, _counts(store, items)))


def allow(
    settings: Settings, items: Sequence[str], *, who: str, why: str, when: datetime
) -> tuple[str, ...]:
    """Let denied items be shown again; return a sentence for each. Raises what ``deny`` raises."""
    acts = _acts("allowed", items, who, why, when)
    with open_store(settings.serving.store, settings.shop.name) as store:
        before = store.denials().items
        store.deny(lambda known: known.after(acts))
    return tuple(
        f"{item} may be shown again." if item in before else f"warning: {item} was not denied."
        for item in items
    )


def denied(settings: Settings) -> RenderableType:
    """What is denied now, by whom and why, and the newest acts that are over."""
    with open_store(settings.serving.store, settings.shop.name) as store:
        return show_denied(store.denials())


def show_denied(known: DenyList) -> RenderableType:
    """Two tables: acts in force and, if there are any, those that are over."""
    in_force = known.in_force
    over = [act for act in known.acts if act.item_id not in in_force]
    parts: list[RenderableType] = [
        _table(list(in_force.values())) if in_force else Text("nothing is denied")
    ]
    if over:
        parts += [Text(), Text("before:", style="dim"), _table(over[-SHOWN_ACTS:])]
    return Group(*parts)


def _table(acts: Sequence[Act]) -> Table:
    columns = ("item", "act", "when (UTC)", "who", "why")
    table = Table(*columns, box=None, header_style="bold")
    for act in acts:
        table.add_row(
            plain(act.item_id), act.action, plain(act.when), plain(act.who), plain(act.why)
        )
    return table


def _acts(
    action: Action, items: Sequence[str], who: str, why: str, when: datetime
) -> tuple[Act, ...]:
    if not all(text.strip() for text in (*items, who, why)):
        raise ConfigurationError(
            "--item, --who and --why must say something: they are kept for others."
        )
    moment = f"{when:%Y-%m-%d %H:%M:%S}"
    return tuple(Act(action, item, who, why, moment) for item in dict.fromkeys(items))


def _counts(store: Store, items: Sequence[str]) -> list[int]:
    """The number of lists of the current release that each item is in; 0 before any release."""
    current = store.pointer().current
    counts = [0] * len(items)
    if current is not None:
        for _, value in store.records(current):
            for number, item in enumerate(items):
                counts[number] += mentions(value, item)
    return counts


def _hidden(item: str, lists: int) -> str:
    if lists:
        return f"{item} is hidden now, from {lists:,} lists of the current release."
    return (
        f"warning: no list of the current release has {item}; it is denied all the same. Check the "
        "id, and `topshelf allow` it if it is wrong."
    )
