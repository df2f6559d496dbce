"""People let a candidate serve more users, all of them, or nobody any more."""

from jobs.config.guardrails import load_guardrails
from jobs.config.settings import Settings
from serving.format.releases import Pointer
from serving.rollout import abort as withdraw
from serving.rollout import finish as complete
from serving.rollout import set_share as serve
from serving.stores.opening import open_store


def set_share(settings: Settings, share: float, release: str | None) -> str:
    """Let the candidate, or ``release``, serve so many per cent of the users; say who serves whom.

    Raises what ``serving.rollout.set_share`` raises.
    """
    limits = load_guardrails(settings.serving.guardrails)
    with open_store(settings.serving.store, settings.shop.name) as store:
        return who_serves(serve(store, share, limits, release))


def finish(settings: Settings) -> str:
    """Let the candidate serve everybody. Raises what ``serving.rollout.finish`` raises."""
    limits = load_guardrails(settings.serving.guardrails)
    with open_store(settings.serving.store, settings.shop.name) as store:
        return who_serves(complete(store, limits))


def abort(settings: Settings) -> str:
    """Withdraw the candidate. Raises what ``serving.rollout.abort`` raises."""
    with open_store(settings.serving.store, settings.shop.name) as store:
        return who_serves(withdraw(store))


def status(settings: Settings) -> str:
    """Who serves whom now."""
    with open_store(settings.serving.store, settings.shop.name) as store:
        return who_serves(store.pointer())


def who_serves(pointer: Pointer) -> str:
    """A sentence on which release serves whom."""
    if pointer.current is None:
        return "nothing serves yet."
    if pointer.candidate is None:
        return f"{pointer.current} serves everybody; no rollout is on."
    share = f"{pointer.share:g} % of the users"
    return f"{pointer.candidate} serves {share}, {pointer.current} the others."
