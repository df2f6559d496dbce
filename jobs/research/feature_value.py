"""What each group of the ranker's features is worth on a night's test window, kept in MLflow."""

from datetime import date

import pandas as pd
from rich.table import Table

from jobs.config.methods import all_methods
from jobs.config.settings import Settings
from jobs.night.inputs import read_nights
from jobs.night.recipes import recipe
from jobs.research.tracked_runs import tracked_run
from lakehouse.errors import ConfigurationError
from lakehouse.lists import PERSONAL_LISTS
from models.core.capabilities import LearnsFromFeatures
from models.evaluation.protocol import task
from models.selection.feature_value import feature_value
from models.tracking.plots import feature_values

RUNS = "feature_value"
COMMAND = "topshelf feature-value"


def run(settings: Settings, *, run_date: date) -> Table:
    """Train the ranker without each group of features, and shuffle each; nothing is registered.

    Raises ``DataError`` where the lake holds too little and ``InfrastructureError`` where MLflow
    fails.
    """
    with tracked_run(settings, RUNS, run_date, command=COMMAND) as run:
        nights = read_nights(settings, run.source.table_versions, run_date=run_date)
        window = nights.interactions.between(nights.test.as_of, nights.today.as_of)
        tasks = {name: task(name, nights.test, window) for name in PERSONAL_LISTS}
        values = feature_value(_ranker(settings), nights.test, tasks, seed=settings.train.seed)
        run.log.table("feature_value.json", values)
        run.log.figure("feature_value.png", feature_values(values, f"Night of {run_date}"))
    return table(values, run_date)


def _ranker(settings: Settings) -> LearnsFromFeatures:
    """The method that learns from features, as configured."""
    for name, kind in all_methods().items():
        if issubclass(kind, LearnsFromFeatures):
            return kind(**recipe(name, settings).parameters)
    raise ConfigurationError("no method learns from features")


def table(values: pd.DataFrame, run_date: date) -> Table:
    """``feature_value`` for the terminal."""
    shown = Table(
        "list",
        "features",
        title=f"NDCG@10 lost on the test window of {run_date}",
        caption="95% paired bootstrap; shuffled: dealt out anew among candidates, off: retrained "
        "without.",
    )
    for name in ("gain share", "shuffled", "off"):
        shown.add_column(name, justify="right")
    for row in values.to_dict("records"):
        losses = [
            f"{row[what]:+.4f} [{row[f'{what}_low']:+.4f}, {row[f'{what}_high']:+.4f}]"
            for what in ("shuffled", "off")
        ]
        group = f"{row['group']} ({row['features']})"
        shown.add_row(str(row["list"]), group, f"{row['gain_share']:.3f}", *losses)
    return shown
