"""LightFM from scratch each night against going on from the night before, on Complete Journey.

Of four nights a week apart: the passes that the validation window chose, the seconds of the fits
before both windows, and NDCG@10 of `discover` on the 30 days after, which end before December, the
month for reporting. In between, warm starts go on from every `--every`-th day's night.
"""

import argparse
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Column, Table

from benchmarks.quality.complete_journey import ShopData, read_shop
from jobs.config.settings import Settings, load
from jobs.night.recipes import recipe
from jobs.steps.demo_data import data_folder
from models.core.capabilities import LearnsInPasses
from models.evaluation.bootstrap import paired_bootstrap
from models.evaluation.primary import PRIMARY_METRIC
from models.evaluation.protocol import task
from models.lists.path import DEFAULT_POLICY, evaluate
from models.selection.split import Nights
from models.selection.trial import NO_STATES, States, refit, tune

METHOD: Final = "hybrid_lightfm"
FIRST_NIGHT, LAST_NIGHT = date(2017, 10, 11), date(2017, 11, 1)
WEEK = 7
TEST_DAYS = timedelta(days=30)
STARTS = ("cold", "warm")


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """One night's fits: passes, seconds, users' NDCG@10, and what the next night may start from."""

    passes: int
    seconds: float
    ndcg: NDArray[np.float64]
    states: States


def main() -> None:
    """Print a row per night compared, and what warm starts gain over all their users."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, choices=(1, WEEK), default=WEEK, help="days")
    every = parser.parse_args().every
    settings = load(Path("infra/config/complete_journey.toml"))
    shop = read_shop(settings, data_folder())
    night_column = Column("night", no_wrap=True)
    table = Table(
        night_column, *(f"{s} {x}" for x in ("passes", "seconds", PRIMARY_METRIC) for s in STARTS)
    )
    compared = []
    states = NO_STATES
    for days in range(0, (LAST_NIGHT - FIRST_NIGHT).days + 1, every):
        night = nights(settings, shop, FIRST_NIGHT + timedelta(days=days))
        warm = fitted(settings, night, states)
        states = warm.states
        if days % WEEK == 0:
            fits = (fitted(settings, night, NO_STATES) if days else warm, warm)
            compared.append(fits)
            table.add_row(
                str(night.test.as_of),
                *(str(fit.passes) for fit in fits),
                *(f"{fit.seconds:.1f}" for fit in fits),
                *(f"{fit.ndcg.mean():.4f}" for fit in fits),
            )
    Console().print(table)
    cold, warm_ndcg = (
        np.concatenate([fit.ndcg for fit in side]) for side in zip(*compared[1:], strict=True)
    )
    mean, low, high = paired_bootstrap(warm_ndcg, cold, seed=settings.train.seed)
    print(f"warm - cold after the first night: {mean:+.4f} ({low:+.4f} to {high:+.4f})")


def nights(settings: Settings, shop: ShopData, day: date) -> Nights:
    """What was known on ``day``, before its validation window and after its test window."""
    return Nights(
        interactions=shop.interactions,
        validation=shop.context(day - timedelta(days=settings.train.validation_days)),
        test=shop.context(day),
        today=shop.context(day + TEST_DAYS),
    )


def fitted(settings: Settings, night: Nights, earlier: States) -> Fit:
    """Fit before the validation window, which chooses the passes, and before the test window."""
    started = time.perf_counter()
    tuned = tune(recipe(METHOD, settings), night, DEFAULT_POLICY, earlier=earlier)
    judged = refit(tuned, night.test, earlier)
    seconds = time.perf_counter() - started
    window = night.interactions.between(night.test.as_of, night.today.as_of)
    found = evaluate(judged, task("discover", night.test, window))
    fits = [model for model in (tuned, judged) if isinstance(model, LearnsInPasses)]
    return Fit(
        passes=fits[0].best_epoch,
        seconds=seconds,
        ndcg=found.per_user[PRIMARY_METRIC],
        states={METHOD: [fit.state for fit in fits if fit.state is not None]},
    )


if __name__ == "__main__":
    main()
