"""What the store serves, for people: a user's list, the releases, and going back to one."""

import time
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jobs.config.settings import Settings
from lakehouse.errors import ConfigurationError
from lakehouse.lists import CART, surface
from serving.lookup import Answer
from serving.lookup import lookup as serve
from serving.publishing import ListedRelease, list_releases
from serving.publishing import rollback as move_pointer
from serving.stores.opening import open_store


def lookup(
    settings: Settings,
    user: str,
    list_name: str,
    *,
    contexts: Sequence[str] = (),
    items: Sequence[str] = (),
) -> RenderableType:
    """The list as served now, with the time that the store took.

    Raises what ``serving.lookup.lookup`` raises, and ``ConfigurationError`` for a context that is
    not ``NAME=VALUE``.
    """
    for context in contexts:
        name_of_context(context)
    with open_store(settings.serving.store, settings.shop.name) as store:
        started = time.perf_counter()
        answer = serve(store, user, list_name, contexts=contexts, items=items)
        milliseconds = (time.perf_counter() - started) * 1000
    return show_answer(answer, user, milliseconds)


def complete(settings: Settings, basket: Sequence[str]) -> RenderableType:
    """What a basket lacks, from the lists of its items as they are served now.

    Each element of ``basket`` may hold several ids with commas between. Raises what ``lookup``
    raises, and ``ConfigurationError`` for a basket without items.
    """
    ids = (item.strip() for given in basket for item in given.split(","))
    items = list(dict.fromkeys(item for item in ids if item))
    if not items:
        raise ConfigurationError("--basket names no item; give item ids, such as --basket 123,456.")
    return lookup(settings, "", CART.name, items=items)


def name_of_context(context: str) -> str:
    """NAME of ``NAME=VALUE``; raises ``ConfigurationError`` for anything else."""
    name, is_given, value = context.partition("=")
    if not (name and is_given and value):
        raise ConfigurationError(f"--context {context!r} is not NAME=VALUE, such as store_id=367.")
    return name


def releases(settings: Settings) -> RenderableType:
    """The releases in the store, newest first, and which one serves."""
    with open_store(settings.serving.store, settings.shop.name) as store:
        return show_releases(list_releases(store))


def rollback(settings: Settings, to: str | None) -> str:
    """Let the previous release (or ``to``) serve; return a sentence that says what serves now."""
    with open_store(settings.serving.store, settings.shop.name) as store:
        before = store.pointer()
        after = move_pointer(store, to)
    if after == before:
        return f"{after.current} serves already."
    if after.current == before.current:
        return f"{after.current} serves everybody; the rollout of {before.candidate} is aborted."
    return f"{after.current} serves now; before: {before.current}."


def show_answer(answer: Answer, user: str, milliseconds: float) -> RenderableType:
    """A list with names and reasons, the release it comes from, and how long it took."""
    table = Table("#", "product", "why", "score", "from", box=None, header_style="bold")
    for item in answer.items:
        product = item.item_id if item.title is None else f"{item.title} ({item.item_id})"
        table.add_row(
            str(item.rank),
            plain(product),
            plain(item.reason),
            f"{item.score:.4g}",
            plain(item.source),
        )
    who = f"user {user}" if answer.personal else f"user {user} is unknown, so the popular items"
    if surface(answer.list).keyed_by != "user":
        who = (
            surface(answer.list).doc if answer.personal else "no such list, so one of its fallbacks"
        )
    if not answer.items and not surface(answer.list).fallbacks:
        who = f"{surface(answer.list).doc}: nothing is known"
    footer = (
        f"list {answer.list}, tier {answer.tier}, release {answer.release}, {milliseconds:.1f} ms"
    )
    lines: list[RenderableType] = [plain(who), table, Text(footer, style="dim")]
    if answer.notice is not None:
        lines.append(Text(f"warning: {answer.notice}", style="yellow"))
    return Group(*lines)


def show_releases(listed: tuple[ListedRelease, ...]) -> RenderableType:
    """A table of the releases, one line each."""
    if not listed:
        return Text("no releases yet: run `topshelf publish --run-date D`")
    table = Table("release", "state", "run date", "model", "lists", box=None, header_style="bold")
    for entry in listed:
        manifest = entry.manifest
        if manifest is None:
            table.add_row(plain(entry.release), f"{entry.state}, damaged")
            continue
        table.add_row(
            entry.release,
            entry.state,
            manifest.run_date.isoformat(),
            plain(manifest.model_version),
            ", ".join(f"{name} {count:,}" for name, count in manifest.lists.items()),
        )
    return table


def plain(text: str) -> Text:
    """Text from the data: never read as markup, control characters shown instead of obeyed."""
    return Text(
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    )
