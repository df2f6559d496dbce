"""The measures of lists, declared once: evaluation, MLflow's first columns and reports use them.

A measure is a function of ``models.evaluation.metrics`` and a row here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.core.interactions import Indices
from models.evaluation import metrics
from models.evaluation.metrics import Counts, Floats, Hits


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Lists with what became of them, and what there is to hold them against.

    ``item`` is users x places, ``hits`` says where an item counts, ``relevant`` (users x items)
    stores each one that counts with its revenue, ``counts`` how many a user has. ``buyers`` counts
    each item's users before, of ``population``; ``content`` describes items; ``candidates`` is how
    many could be listed.
    """

    item: Indices
    hits: Hits
    relevant: sparse.csr_array
    counts: Counts
    buyers: NDArray[np.int64]
    population: int
    content: sparse.csr_array
    candidates: int


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure: ``of`` gives a number per user, or one for all lists together.

    ``decides`` puts it among MLflow's first columns, ``reported`` into the reports' tables.
    """

    name: str
    of: Callable[[Judged], Floats | float]
    decides: bool = False
    reported: bool = False
    applies: Callable[[Judged], bool] = lambda _judged: True


MEASURES: Final = (
    Measure("ndcg", lambda j: metrics.ndcg(j.hits, j.counts), decides=True, reported=True),
    Measure("map", lambda j: metrics.average_precision(j.hits, j.counts), reported=True),
    Measure("precision", lambda j: metrics.precision(j.hits)),
    Measure("recall", lambda j: metrics.recall(j.hits, j.counts), decides=True, reported=True),
    Measure("hit_rate", lambda j: metrics.hit_rate(j.hits), reported=True),
    Measure("mrr", lambda j: metrics.reciprocal_rank(j.hits)),
    Measure(
        "coverage",
        lambda j: metrics.coverage(j.item, j.candidates),
        decides=True,
        reported=True,
    ),
    Measure(
        "novelty",
        lambda j: metrics.novelty(j.item, j.buyers, j.population),
        decides=True,
        reported=True,
    ),
    Measure("average_popularity", lambda j: metrics.average_popularity(j.item, j.buyers)),
    Measure(
        "revenue_recall",
        lambda j: metrics.revenue_recall(j.item, j.hits, j.relevant),
        applies=lambda j: bool(j.relevant.data.any()),
    ),
    Measure(
        "diversity",
        lambda j: metrics.intra_list_diversity(j.item, j.content),
        applies=lambda j: bool(j.content.nnz),
    ),
    Measure("gini", lambda j: metrics.gini(j.item, j.candidates)),
)
