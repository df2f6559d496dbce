"""Alternating least squares by Spark, whose work spreads over a cluster.

A model of its own kind among those of ``models``, which know nothing of Spark: it is loaded from
here by its kind (``models.lists.catalogue.ELSEWHERE``). What it learns is plain arrays, so that
ranking needs no Spark.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame, SparkSession

from lakehouse.io.session import spark_session
from models.core.context import Context
from models.core.factors import Factors, Floats, spread

# Spark takes a weight of 0 for a pair that was not seen.
LEAST_WEIGHT = 1e-6


@dataclass(kw_only=True, eq=False)
class SparkAls(Factors):
    """Weighted matrix factorisation (Hu, Koren & Volinsky 2008) by ``pyspark.ml``.

    Confidence is that of ``ImplicitAls``: ``1 + alpha * log(1 + decayed events)``. Unlike there,
    ``regularisation`` counts once for each of a user's or item's pairs. The pairs and the vectors
    pass through this process; the factorisation does not. The result depends on ``blocks``.
    """

    kind: ClassVar[str] = "spark_als"

    factors: int = 64
    alpha: float = 10.0
    regularisation: float = 0.05
    iterations: int = 10
    half_life_days: float = 120.0
    blocks: int = 2
    seed: int = 42

    def _learn(self, context: Context) -> None:
        events = context.interactions
        pairs = events.matrix(events.decay(context.as_of, self.half_life_days)).tocoo()
        rows = pa.table(
            {
                "user": pairs.row.astype(np.int32),
                "item": pairs.col.astype(np.int32),
                "weight": np.maximum(np.log1p(pairs.data), LEAST_WEIGHT).astype(np.float32),
            }
        )
        als = ALS(
            rank=self.factors,
            maxIter=self.iterations,
            regParam=self.regularisation,
            alpha=self.alpha,
            implicitPrefs=True,
            numUserBlocks=self.blocks,
            numItemBlocks=self.blocks,
            userCol="user",
            itemCol="item",
            ratingCol="weight",
            seed=self.seed,
        )
        with _session() as spark:
            model = als.fit(spark.createDataFrame(rows))
            self._user_vectors = _collected(model.userFactors, events.users)
            self._item_vectors = _collected(model.itemFactors, events.items)


@contextmanager
def _session() -> Iterator[SparkSession]:
    """The session of this process if it has one, else a new one for a while."""
    active = SparkSession.getActiveSession()
    if active is not None:
        yield active
        return
    with spark_session("topshelf spark_als") as spark:
        yield spark


def _collected(factors: DataFrame, rows: int) -> Floats:
    found = factors.toArrow()
    places = found["id"].to_numpy()
    vectors = found["features"].combine_chunks().flatten().to_numpy()
    return spread(vectors.reshape(len(places), -1), places, rows)
