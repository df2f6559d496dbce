"""Several methods side by side on a night's windows, tracked in MLflow; nothing is registered."""

import logging
import math
from collections.abc import Mapping, Sequence
from datetime import date

import pandas as pd
from rich.table import Table

from jobs.config.settings import Settings
from jobs.night.inputs import read_nights
from jobs.night.recipes import policy, recipe
from jobs.night.resources import Cost, measured
from jobs.research.tracked_runs import tracked_run
from lakehouse.lists import PERSONAL_LISTS
from models.evaluation.bootstrap import Difference
from models.evaluation.primary import PRIMARY_METRIC
from models.evaluation.protocol import Evaluation
from models.selection.backtest import backtest, best_simple, gain, ranking
from models.selection.recipe import Recipe
from models.selection.split import Split
from models.selection.trial import Outcome
from models.tracking.names import metric_name
from models.tracking.registry import TrackedRun

logger = logging.getLogger(__name__)

RUNS = "comparisons"
COMMAND = "topshelf compare"
UNKNOWN_GAIN = Difference(math.nan, math.nan, math.nan)


def run(settings: Settings, *, run_date: date, methods: Sequence[str]) -> Table:
    """Train ``methods`` as ``topshelf train`` does; the table of how they did on the test window.

    Each is a run of its own below the run ``compare RUN_DATE``, in an experiment apart from the
    nights'. Raises ``DataError`` where the lake holds too little and ``InfrastructureError`` where
    MLflow fails.
    """
    with tracked_run(settings, RUNS, run_date, command=COMMAND) as parent:
        source = parent.source
        nights = read_nights(settings, source.table_versions, run_date=run_date)
        split = Split.of(nights, PERSONAL_LISTS, policy=policy(settings, run_date))
        outcomes: dict[str, Outcome] = {}
        costs: dict[str, Cost] = {}
        for name in methods:
            tried = recipe(name, settings)
            with parent.registry.run(name, source, command=COMMAND, nested=True) as log:
                with measured() as costs[name]:
                    outcomes[name] = backtest(tried, split, competes=True)
                _log(log, tried, outcomes[name], costs[name])
            logger.info("%s done (%.0f s)", name, costs[name].seconds)
        figures = comparison(outcomes, costs, settings.train.seed)
        parent.log.tags({f"best.{name}": ranking(outcomes, name)[0] for name in PERSONAL_LISTS})
        parent.log.table("comparison.json", figures)
    return table(figures, run_date)


def comparison(
    outcomes: Mapping[str, Outcome], costs: Mapping[str, Cost], seed: int
) -> pd.DataFrame:
    """One row per method, the best on ``all`` first, with the measures that the table shows.

    The gain is over the best simple method of the list, NaN where the method is that one itself
    or there is none.
    """
    rows = []
    for name in ranking(outcomes, "all"):
        row: dict[str, object] = {"method": name}
        for list_name in PERSONAL_LISTS:
            metrics = outcomes[name].test[list_name].metrics
            rival = best_simple(outcomes, list_name)
            found = UNKNOWN_GAIN
            if rival is not None and rival != name:
                found = gain(outcomes[name], outcomes[rival], list_name, seed)
            row |= {
                f"ndcg_{list_name}": metrics[PRIMARY_METRIC],
                f"gain_{list_name}": found.mean,
                f"low_{list_name}": found.low,
                f"high_{list_name}": found.high,
                f"rival_{list_name}": rival,
                f"coverage_{list_name}": metrics["coverage@10"],
            }
        row |= {"seconds": costs[name].seconds, "peak_mib": costs[name].peak_mib or math.nan}
        rows.append(row)
    return pd.DataFrame(rows)


def table(figures: pd.DataFrame, run_date: date) -> Table:
    """``comparison`` for the terminal."""
    first = figures.iloc[0]
    rivals = ", ".join(f"{name}: {first[f'rival_{name}'] or 'none'}" for name in PERSONAL_LISTS)
    shown = Table(
        title=f"Methods on the test window of {run_date}",
        caption=f"Gain over the best simple method ({rivals}), 95% paired bootstrap. Peak: highest "
        "resident memory of the whole process meanwhile, the night's data included.",
    )
    shown.add_column("method")
    for list_name in PERSONAL_LISTS:
        for measure in ("NDCG@10", "gain", "coverage@10"):
            shown.add_column(f"{list_name}\n{measure}", justify="right")
    shown.add_column("seconds", justify="right")
    shown.add_column("peak MiB", justify="right")
    for row in figures.to_dict("records"):
        cells = [str(row["method"])]
        for name in PERSONAL_LISTS:
            cells += [
                f"{row[f'ndcg_{name}']:.4f}",
                _gain(Difference(row[f"gain_{name}"], row[f"low_{name}"], row[f"high_{name}"])),
                f"{row[f'coverage_{name}']:.4f}",
            ]
        peak = "-" if math.isnan(row["peak_mib"]) else f"{row['peak_mib']:.0f}"
        shown.add_row(*cells, f"{row['seconds']:.1f}", peak)
    return shown


def _gain(gain: Difference) -> str:
    if math.isnan(gain.mean):
        return "-"
    return f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"


def _log(log: TrackedRun, tried: Recipe, outcome: Outcome, cost: Cost) -> None:
    log.tags({"method": tried.build().name})
    log.parameters({name: str(value) for name, value in tried.parameters.items()})
    for window, evaluations in (("validation", outcome.validation), ("test", outcome.test)):
        for list_name, evaluation in evaluations.items():
            log.metrics(_metrics(f"{window}_{list_name}", evaluation))
    log.metrics({"seconds": cost.seconds})
    if cost.peak_mib is not None:
        log.metrics({"peak_mib": cost.peak_mib})


def _metrics(prefix: str, evaluation: Evaluation) -> dict[str, float]:
    return {f"{prefix}/{metric_name(name)}": value for name, value in evaluation.metrics.items()}
