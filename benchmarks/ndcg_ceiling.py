"""How much of NDCG@10 is left to chance: the ranker's figure against that of a world it describes.

Each candidate of the list `all` gets the chance of being bought that its score had in the very
window (isotonic regression), scaled until each user's expected hits are the real ones. Hits drawn
from these chances judge the same lists again. Where both figures agree, no other order of what the
ranker knows would do better: only knowing more of what people will buy would.
"""

from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Column, Table
from sklearn.isotonic import IsotonicRegression

from benchmarks.quality.complete_journey import read_shop
from benchmarks.quality.measure import cuts
from jobs.config.settings import load
from jobs.steps.demo_data import data_folder
from models.evaluation import metrics
from models.evaluation.protocol import task
from models.lists.path import Policy, lists_for
from models.ranking.two_stage import TwoStage

DEPTH: Final = 100
PLACES: Final = 10
DRAWS: Final = 50
BISECTIONS: Final = 60
SEED: Final = 42

Floats = NDArray[np.float64]


def main() -> None:
    """Print both figures for each cut of `make quality`."""
    settings = load(Path("infra/config/complete_journey.toml"))
    shop = read_shop(settings, data_folder())
    table = Table(
        Column("window", no_wrap=True),
        "NDCG@10",
        "in its world",
        Column("95 % of draws", no_wrap=True),
    )
    for cut in cuts(settings):
        known = shop.context(cut.start)
        asked = task("all", known, shop.interactions.between(cut.start, cut.end))
        lists = lists_for(TwoStage().fit(known), asked, Policy(size=DEPTH))
        own = lists.source == 0
        hits = metrics.hits_of(lists.item, asked.relevant) & own
        relevant = metrics.relevant_counts(asked.relevant)
        chance = np.zeros(hits.shape)
        chance[own] = IsotonicRegression().fit_transform(lists.score[own], hits[own])
        drawn = simulated(scaled(chance, hits.sum(axis=1)), relevant - hits.sum(axis=1))
        low, high = np.quantile(drawn, [0.025, 0.975])
        table.add_row(
            f"{cut.start} to {cut.end - timedelta(days=1)}",
            f"{metrics.ndcg(hits[:, :PLACES], relevant).mean():.4f}",
            f"{drawn.mean():.4f}",
            f"{low:.4f} to {high:.4f}",
        )
    Console().print(table)


def scaled(chance: Floats, hits: NDArray[np.int64]) -> Floats:
    """Chances (users x places) with each user's odds times a factor, so that they add to ``hits``.

    A user with as many hits as places with any chance gets near to it only.
    """
    odds = chance / np.maximum(1 - chance, 1e-9)
    low, high = np.full(len(odds), -20.0), np.full(len(odds), 20.0)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        total = _with_factor(odds, middle).sum(axis=1)
        low, high = np.where(total < hits, middle, low), np.where(total < hits, high, middle)
    return _with_factor(odds, low)


def _with_factor(odds: Floats, log_factor: Floats) -> Floats:
    raised = odds * np.exp(log_factor)[:, None]
    return raised / (1 + raised)


def simulated(chance: Floats, elsewhere: NDArray[np.int64]) -> Floats:
    """The mean NDCG of each draw; ``elsewhere`` counts users' relevant items outside the lists."""
    random = np.random.default_rng(SEED)
    means = []
    for _ in range(DRAWS):
        hits = random.random(chance.shape) < chance
        relevant = hits.sum(axis=1) + elsewhere
        judged = relevant > 0
        means.append(metrics.ndcg(hits[judged, :PLACES], relevant[judged]).mean())
    return np.array(means)


if __name__ == "__main__":
    main()
