"""What readers get from one release, against another."""

from collections.abc import Callable
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from jobs.config.settings import Settings
from jobs.operate.lookup import plain
from lakehouse.errors import ConfigurationError, DataError
from lakehouse.tables import USER_FEATURES
from serving.comparing import compare_releases
from serving.format.comparison import Comparison, Mover
from serving.format.guardrails import Guardrails
from serving.format.releases import Manifest, last_two
from serving.stores.opening import open_store
from serving.stores.store import require_stored

NOTHING: Final = "-"


def diff(settings: Settings, before: str | None, after: str | None) -> RenderableType:
    """Tables of how ``after`` differs from ``before``, which are both given or neither.

    By default the current release against the previous one, or a rollout's candidate against the
    current one. Raises ``ConfigurationError`` where there is no such release.
    """
    with open_store(settings.serving.store, settings.shop.name) as store:
        if before is None or after is None:
            found = last_two(store.pointer())
            if found is None:
                raise ConfigurationError(
                    "there are no two releases that served. Name two of `topshelf releases`: "
                    "`topshelf diff BEFORE AFTER`."
                )
            before, after = found
        for release in (before, after):
            require_stored(store, release)
        segment_of = activity(settings, store.manifests()[after])
        return show(before, after, compare_releases(store, before, after, segment_of))


def activity(settings: Settings, manifest: Manifest) -> Callable[[str], str | None]:
    """The quarter of a user by active days on the release's night, where the lake has it."""
    if not settings.paths.lake.exists():
        return lambda _user: None
    from jobs.night.inputs import read_gold  # noqa: PLC0415 (not there where releases are only read)
    from models.evaluation.segments import quarters  # noqa: PLC0415

    night = manifest.run_date
    try:
        users = read_gold(
            settings.paths.lake,
            USER_FEATURES,
            manifest.table_versions,
            night,
            night,
            columns=("user_id", "active_days"),
        )
    except DataError:
        return lambda _user: None
    labels = quarters(users["active_days"].to_numpy())
    return dict(zip(users["user_id"], labels, strict=True)).get


def show(before: str, after: str, found: Comparison) -> RenderableType:
    """The comparison as tables: by list, by segment, and the items that moved most."""
    parts: list[RenderableType] = [plain(f"{before} → {after}"), _lists(found), Text()]
    figures = (f"{name} {getattr(found, name):.4g}" for name in Guardrails.model_fields)
    parts += [Text(f"as guardrails see it: {', '.join(figures)}", style="dim")]
    if found.segments:
        parts += [Text(), _segments(found)]
    if found.movers:
        parts += [Text(), _movers(found.movers)]
    return Group(*parts)


def _lists(found: Comparison) -> Table:
    names = ("before", "after", "new", "gone", "identical", "changed", "churn")
    table = _table("list", *names, "items in", "items out")
    for one in found.lists:
        counts = (
            one.before,
            one.after,
            one.after - one.both,
            one.before - one.both,
            one.identical,
            one.changed,
        )
        churn = NOTHING if one.churn is None else f"{one.churn:.1%}"
        moved = (f"{one.items_in:,}", f"{one.items_out:,}")
        table.add_row(one.list_name, *(f"{count:,}" for count in counts), churn, *moved)
    return table


def _segments(found: Comparison) -> Table:
    table = _table("users by active days", "lists", "churn")
    for one in found.segments:
        table.add_row(one.segment, f"{one.lists:,}", f"{one.churn:.1%}")
    return table


def _movers(movers: tuple[Mover, ...]) -> Table:
    table = _table("moved most", "lists before", "after", "change")
    for one in movers:
        product = one.item_id if one.title is None else f"{one.title} ({one.item_id})"
        change = f"{one.after - one.before:+,}"
        table.add_row(plain(product), f"{one.before:,}", f"{one.after:,}", change)
    return table


def _table(first: str, *numbers: str) -> Table:
    columns = (Column(name, justify="right") for name in numbers)
    return Table(first, *columns, box=None, header_style="bold")
