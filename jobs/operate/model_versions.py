"""What people see of the model: its versions, and what was decided about them."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jobs.config.settings import Settings
from lakehouse.lists import PERSONAL_LISTS
from models.evaluation.primary import PRIMARY_METRIC
from models.tracking import listing
from models.tracking.decisions import Recorded, recorded
from models.tracking.names import deciding
from models.tracking.versions import ListedVersion

NOBODY = "-"


def models(settings: Settings) -> RenderableType:
    """The registered versions, newest first, and every person's decision, oldest first."""
    found = listed(settings)
    return show_models(found.versions, found.decisions)


def listed(settings: Settings) -> listing.Listing:
    """The registered versions and decisions, without MLflow where its database can be read so."""
    mlflow = settings.mlflow
    found = listing.read(mlflow.tracking_uri, mlflow.model, mlflow.experiment)
    if found is None:
        from jobs.night.registry import open_registry  # noqa: PLC0415 (MLflow takes seconds)

        registry = open_registry(settings)
        found = listing.Listing(registry.listed(), recorded(registry))
    return found


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
