"""People move the champion: promote a version, or take one back.

The alias ``champion`` says which version the next challenger has to measure itself against, and
which of several versions of one night ``recommend`` makes the lists of. A decision changes no list
and no release by itself.
"""

from collections.abc import Callable

from jobs.config.settings import Settings
from jobs.night.registry import models_lock, open_registry
from lakehouse.errors import ConfigurationError, DataError
from lakehouse.locks import process_lock
from models.tracking.decisions import Decision, record
from models.tracking.registry import CHAMPION, Registry
from models.tracking.versions import Action, ModelVersion

NOBODY = "-"


def promote(settings: Settings, version: str, *, who: str, why: str) -> str:
    """Make ``version`` champion, whatever the gate said; return sentences on what follows.

    Raises ``DataError`` for an unknown version and ``ConfigurationError`` without name or reason.
    """
    _require(who, why)
    registry = open_registry(settings)
    with process_lock(models_lock(settings)):
        chosen, before = registry.version(version), registry.champion()
        decide = _recorder(registry, before, who, why)
        decide("promoted", chosen)
        registry.make_champion(chosen)
    return (
        f"{chosen.label} is champion now; before: {_label(before)}. "
        f"To serve its lists: {_publishing(chosen)}"
    )


def demote(settings: Settings, *, who: str, why: str, to: str | None = None) -> str:
    """Take the champion back and bring ``to``, or the champion before it, in its place.

    The demoted version gets no lists any more until a person promotes it. Raises ``DataError``
    where there is no champion, or none before it, and ``ConfigurationError`` without name or reason
    or where ``to`` is the champion itself.
    """
    _require(who, why)
    registry = open_registry(settings)
    with process_lock(models_lock(settings)):
        champion = registry.champion()
        if champion is None:
            raise DataError("there is no champion to demote. `topshelf models` lists all versions.")
        back = _earlier(registry, champion) if to is None else registry.version(to)
        if back.number == champion.number:
            raise ConfigurationError(f"--to {back.label} is the champion itself; name another one.")
        decide = _recorder(registry, champion, who, why)
        if not back.passed:
            decide("promoted", back)
        decide("demoted", champion)
        registry.set_alias(CHAMPION, back)
    return (
        f"{back.label} is champion now, {champion.label} is demoted. What is being served has not "
        "changed: `topshelf rollback` brings back the release before, or publish "
        f"{back.label} again: {_publishing(back)}"
    )


def _require(who: str, why: str) -> None:
    if not who.strip() or not why.strip():
        raise ConfigurationError("--who and --why must say something: they are kept for others.")


def _recorder(
    registry: Registry, champion: ModelVersion | None, who: str, why: str
) -> Callable[[Action, ModelVersion], None]:
    def decide(action: Action, version: ModelVersion) -> None:
        record(registry, Decision(action, version.label, _label(champion), who, why), version)

    return decide


def _earlier(registry: Registry, champion: ModelVersion) -> ModelVersion:
    """The newest former champion that may still serve, by who took over from whom."""
    tried = {champion.number}
    number = champion.took_over_from
    while number is not None and number not in tried:
        tried.add(number)
        version = registry.version(str(number))
        if version.passed:
            return version
        number = version.took_over_from
    raise DataError(
        f"{champion.label} took over from no version that may serve. Give --to VERSION; "
        "`topshelf models` lists them."
    )


def _label(version: ModelVersion | None) -> str:
    return NOBODY if version is None else version.label


def _publishing(version: ModelVersion) -> str:
    night = f"--run-date {version.provenance.run_date}"
    return f"`topshelf recommend {night}`, then `topshelf publish {night}`."
