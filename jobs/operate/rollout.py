"""People let a candidate serve more users, all of them, or nobody any more."""

from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jobs.config.guardrails import load_guardrails
from jobs.config.settings import Settings
from jobs.operate.lookup import plain
from lakehouse.errors import ConfigurationError
from serving.format.releases import Pointer
from serving.rollout import Signed
from serving.rollout import abort as withdraw
from serving.rollout import finish as complete
from serving.rollout import set_share as serve
from serving.stores.opening import open_store


def signed(who: str, why: str, when: datetime) -> Signed:
    """Who decides, why and when; raises ``ConfigurationError`` where name or reason is missing."""
    if not (who.strip() and why.strip()):
        raise ConfigurationError("--who and --why must say something: they are kept for others.")
    return Signed(who, why, f"{when:%Y-%m-%d %H:%M:%S}")


def set_share(settings: Settings, share: float, release: str | None, by: Signed) -> str:
    """Let the candidate, or ``release``, serve so many per cent of the users; say who serves whom.

    Raises what ``serving.rollout.set_share`` raises.
    """
    limits = load_guardrails(settings.serving.guardrails)
    with open_store(settings.serving.store, settings.shop.name) as store:
        return who_serves(serve(store, share, limits, release, by=by))


def finish(settings: Settings, by: Signed) -> str:
    """Let the candidate serve everybody. Raises what ``serving.rollout.finish`` raises."""
    limits = load_guardrails(settings.serving.guardrails)
    with open_store(settings.serving.store, settings.shop.name) as store:
        return who_serves(complete(store, limits, by=by))


def abort(settings: Settings, by: Signed) -> str:
    """Withdraw the candidate. Raises what ``serving.rollout.abort`` raises."""
    with open_store(settings.serving.store, settings.shop.name) as store:
        return who_serves(withdraw(store, by=by))


def status(settings: Settings) -> RenderableType:
    """Who serves whom now, and what people have decided lately."""
    with open_store(settings.serving.store, settings.shop.name) as store:
        pointer = store.pointer()
    sentence = Text(f"topshelf rollout: {who_serves(pointer)}")
    if not pointer.decisions:
        return sentence
    table = Table("when (UTC)", "release", "per cent", "who", "why", box=None, header_style="bold")
    for one in reversed(pointer.decisions):
        table.add_row(one.when, one.release, f"{one.share:g}", plain(one.who), plain(one.why))
    return Group(sentence, table)


def who_serves(pointer: Pointer) -> str:
    """A sentence on which release serves whom."""
    if pointer.current is None:
        return "nothing serves yet."
    if pointer.candidate is None:
        return f"{pointer.current} serves everybody; no rollout is on."
    share = f"{pointer.share:g} % of the users"
    return f"{pointer.candidate} serves {share}, {pointer.current} the others."
