"""People move the champion: promote a version, take one back, and see what was decided.

The alias ``champion`` says which version the next challenger has to measure itself against, and
which of several versions of one night ``recommend`` makes the lists of. A decision changes no list
and no release by itself.
"""

from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jobs.config.settings import Settings
from jobs.night.registry import models_lock, open_registry
from lakehouse.errors import ConfigurationError, DataError
from lakehouse.lists import PERSONAL_LISTS
from lakehouse.locks import process_lock
from models.evaluation.primary import PRIMARY_METRIC
from models.tracking.decisions import Decision, Recorded, record, recorded
from models.tracking.names import deciding
from models.tracking.registry import CHAMPION, Registry
from models.tracking.versions import Action, ListedVersion, ModelVersion

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


def models(settings: Settings) -> RenderableType:
    """The registered versions, newest first, and every person's decision, oldest first."""
    registry = open_registry(settings)
    return show_models(registry.listed(), recorded(registry))


def show_models(
    versions: tuple[ListedVersion, ...], decisions: tuple[Recorded, ...]
) -> RenderableType:
    """Two tables: versions, and decisions if there are any."""
    if not versions:
        return Text("no models yet: run `topshelf train --run-date D`")
    ndcg = [deciding(PRIMARY_METRIC, name) for name in PERSONAL_LISTS]
    table = Table(
        *("version", "run date", "trained (UTC)", "gate", "decision", "aliases"),
        *(f"{PRIMARY_METRIC} {name}" for name in PERSONAL_LISTS),
        box=None,
        header_style="bold",
    )
    for entry in versions:
        version = entry.version
        table.add_row(
            version.label,
            version.provenance.run_date.isoformat(),
            f"{entry.created:%Y-%m-%d %H:%M}",
            version.verdict or "not judged",
            version.decision or NOBODY,
            ", ".join(entry.aliases) or NOBODY,
            *(f"{entry.metrics[name]:.4f}" if name in entry.metrics else "-" for name in ndcg),
        )
    if not decisions:
        return table
    history = Table(
        *("when (UTC)", "version", "decision", "champion then", "who", "why"),
        box=None,
        header_style="bold",
    )
    for one in decisions:
        made = one.decision
        history.add_row(
            f"{one.when:%Y-%m-%d %H:%M}",
            made.version,
            made.action if one.complete else f"{made.action}, interrupted",
            made.champion_before,
            Text(made.who),
            Text(made.why),
        )
    return Group(table, Text(), history)


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
