"""Alternating least squares by Spark, whose work spreads over a cluster.

A method among those of ``models``, which know nothing of Spark. Spark is loaded where it fits: what
it learns is plain arrays, so that neither ranking nor the configuration needs it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from models.core.context import Context
from models.core.factors import Factors, Floats, spread
from models.core.parameters import CountsHalfLife, Real, Seed, Whole
from models.core.registration import register

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Spark takes a weight of 0 for a pair that was not seen.
LEAST_WEIGHT = 1e-6


@register("spark_als")
class SparkAls(Factors):
    """Weighted matrix factorisation (Hu, Koren & Volinsky 2008) by ``pyspark.ml``.

    Confidence is that of ``ImplicitAls``: ``1 + alpha * log(1 + decayed events)``. Unlike there,
    ``regularisation`` counts once for each of a user's or item's pairs. The pairs and the vectors
    pass through this process; the factorisation does not. The result depends on ``blocks``.
    """

    only_when_named: ClassVar[bool] = True

    class Configuration(Factors.Configuration):
        """Implicit alternating least squares by Spark, for data beyond one machine."""

        factors: Whole = Field(default=64, ge=1, le=4096, description="Dimensions of vectors.")
        alpha: Real = Field(
            default=10.0, ge=0, le=1_000_000, description="What events add to a pair's confidence."
        )
        regularisation: Real = Field(
            default=0.05, ge=0, le=1_000_000, description="Draws vectors towards 0."
        )
        iterations: Whole = Field(
            default=10, ge=1, le=10_000, description="Passes over users and items."
        )
        half_life_days: CountsHalfLife = 120.0
        blocks: Whole = Field(
            default=2, ge=1, le=100_000, description="Parts of users and items; changes the result."
        )
        seed: Seed = 42

    configuration: Configuration

    def _learn(self, context: Context) -> None:
        from pyspark.ml.recommendation import ALS  # noqa: PLC0415 (only who fits needs Spark)

        events, chosen = context.interactions, self.configuration
        pairs = events.matrix(events.decay(context.as_of, chosen.half_life_days)).tocoo()
        rows = pa.table(
            {
                "user": pairs.row.astype(np.int32),
                "item": pairs.col.astype(np.int32),
                "weight": np.maximum(np.log1p(pairs.data), LEAST_WEIGHT).astype(np.float32),
            }
        )
        als = ALS(
            rank=chosen.factors,
            maxIter=chosen.iterations,
            regParam=chosen.regularisation,
            alpha=chosen.alpha,
            implicitPrefs=True,
            numUserBlocks=chosen.blocks,
            numItemBlocks=chosen.blocks,
            userCol="user",
            itemCol="item",
            ratingCol="weight",
            seed=chosen.seed,
        )
        with _session() as spark:
            model = als.fit(spark.createDataFrame(rows))
            self._user_vectors = _collected(model.userFactors, events.users)
            self._item_vectors = _collected(model.itemFactors, events.items)


@contextmanager
def _session() -> Iterator["SparkSession"]:
    """The session of this process if it has one, else a new one for a while."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 (as above)

    from lakehouse.io.session import spark_session  # noqa: PLC0415 (it loads Spark)

    active = SparkSession.getActiveSession()
    if active is not None:
        yield active
        return
    with spark_session("topshelf spark_als") as spark:
        yield spark


def _collected(factors: "DataFrame", rows: int) -> Floats:
    found = factors.toArrow()
    places = found["id"].to_numpy()
    vectors = found["features"].combine_chunks().flatten().to_numpy()
    return spread(vectors.reshape(len(places), -1), places, rows)
