"""Methods judged on several past dates of a shop, tracked in MLflow; nothing is registered.

At each cut a night is run as it would have been then (``models.selection.backtest``). Events are
cut at its date; the catalogue and users' attributes are those of the run date.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import pandas as pd
from rich.console import Group
from rich.table import Table
from rich.text import Text

from jobs.config.settings import Settings
from jobs.night.inputs import read_night
from jobs.night.recipes import policy, recipe, terms
from jobs.night.resources import Cost, measured
from jobs.research.compare import comparison
from jobs.research.tracked_runs import tracked_run
from lakehouse.errors import ConfigurationError
from lakehouse.lists import PERSONAL_LISTS
from models.selection.backtest import backtest
from models.selection.split import Cut, Split
from models.selection.trial import Outcome, choices

logger = logging.getLogger(__name__)

RUNS = "backtests"
COMMAND = "topshelf backtest"


def cuts_of(settings: Settings, run_date: date, starts: Sequence[date]) -> tuple[Cut, ...]:
    """A cut for each start in order of time, with the windows of ``[train]`` around it.

    Raises ``ConfigurationError`` where a date comes twice or a test window ends after ``run_date``.
    """
    train = settings.train
    test, validation = timedelta(days=train.test_days), timedelta(days=train.validation_days)
    last = run_date - test
    if late := [start for start in starts if start > last]:
        raise ConfigurationError(
            f"--cuts {late[0]}: its test window of {train.test_days} days would end after the run "
            f"date; give dates up to {last}."
        )
    if len(set(starts)) < len(starts):
        raise ConfigurationError("--cuts has a date twice.")
    return tuple(Cut(start - validation, start, start + test) for start in sorted(starts))


def run(
    settings: Settings, *, run_date: date, cuts: Sequence[Cut], methods: Sequence[str]
) -> Group:
    """Judge ``methods`` at each cut; a table per list.

    Raises ``DataError`` where a window has nothing to learn from or be judged by, and
    ``InfrastructureError`` where MLflow fails.
    """
    with tracked_run(settings, RUNS, run_date, command=COMMAND) as parent:
        versions = parent.source.table_versions
        night = read_night(settings, versions, run_date=run_date, as_of=(run_date,))
        today = night.contexts[run_date]
        figures: dict[date, pd.DataFrame] = {}
        chosen: dict[date, Mapping[str, str]] = {}
        for cut in cuts:
            split = Split.at(
                cut,
                night.interactions,
                today.earlier,
                PERSONAL_LISTS,
                policy=policy(settings, run_date),
            )
            outcomes: dict[str, Outcome] = {}
            costs: dict[str, Cost] = {}
            for name in methods:
                with measured() as costs[name]:
                    outcomes[name] = backtest(recipe(name, settings), split, competes=True)
                logger.info("%s %s done (%.0f s)", cut.start, name, costs[name].seconds)
            chosen[cut.start] = choices(outcomes, methods, terms(settings))
            figures[cut.start] = comparison(outcomes, costs, settings.train.seed)
        parent.log.table("backtest.json", pd.concat(figures, names=["cut"]).reset_index("cut"))
    return Group(*(table(figures, chosen, name) for name in PERSONAL_LISTS))


def table(
    figures: Mapping[date, pd.DataFrame], chosen: Mapping[date, Mapping[str, str]], list_name: str
) -> Group:
    """NDCG@10 of a list by method and cut, the best on average first.

    Each cut's choice, made on the window before it, stands below with its gain over the best simple
    method.
    """
    ndcg = pd.DataFrame(
        {cut: rows.set_index("method")[f"ndcg_{list_name}"] for cut, rows in figures.items()}
    )
    mean = ndcg.mean(axis=1).sort_values(ascending=False, kind="stable")
    shown = Table(title=f"NDCG@10 of the list {list_name}", title_justify="left")
    for heading in ("method", *map(str, ndcg.columns), "mean"):
        shown.add_column(heading, justify="left" if heading == "method" else "right")
    for method in mean.index:
        cells = (*ndcg.loc[method], mean[method])
        shown.add_row(str(method), *(f"{cell:.4f}" for cell in cells))
    return Group(
        shown,
        *(_choice(cut, rows, chosen[cut][list_name], list_name) for cut, rows in figures.items()),
    )


def _choice(cut: date, rows: pd.DataFrame, method: str, list_name: str) -> Text:
    row = rows.set_index("method").loc[method]
    said = f"{cut}: {method} would have been published"
    rival = row[f"rival_{list_name}"]
    if rival is None or rival == method:
        return Text(f"{said}.")
    mean, low, high = (row[f"{part}_{list_name}"] for part in ("gain", "low", "high"))
    return Text(f"{said}, {mean:+.4f} [{low:+.4f}, {high:+.4f}] against {rival}.")
