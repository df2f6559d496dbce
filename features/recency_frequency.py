"""Recency, frequency and monetary value of any entity, for several nights in one pass.

The formulas stand here once; a pair, a user, an item or a user's category differ by their keys.
"""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.tables import FREQUENCY_WINDOWS_DAYS

FREQUENCY_COLUMNS = (
    "events_total",
    *(f"events_{days}d" for days in FREQUENCY_WINDOWS_DAYS),
    "active_days",
)
RECENCY_COLUMNS = ("days_since_first", "days_since_last", "mean_gap_days")
AMOUNT_COLUMNS = ("value_total", "discount_total", "unit_price")

# Rounded after the sum, as a floating-point sum depends on the order in which Spark merges its
# partial results; no currency has more decimals.
AMOUNT_DECIMALS = 4


def each_night(as_of_dates: Sequence[date]) -> SparkColumn:
    """One row for each of the nights."""
    return F.explode(F.array(*[F.lit(night) for night in as_of_dates]))


def recency_frequency(
    events: DataFrame, keys: Sequence[str], as_of_dates: Sequence[date]
) -> DataFrame:
    """One row per night and entity that has an event before that night.

    ``events`` holds one row per event: the ``keys`` that name the entity, ``event_date``,
    ``quantity``, ``value`` and ``discount``. A row of night ``as_of`` uses the events dated before
    it and no others. ``unit_price`` is the value of one unit over the events whose value is known;
    sums of values of which none is known are null.
    """
    # Partitioned by the entity, both aggregations below run without another exchange.
    daily = (
        events.repartition(*keys)
        .groupBy(*keys, "event_date")
        .agg(
            F.count(F.lit(1)).alias("events"),
            F.sum("value").alias("value"),
            F.sum("discount").alias("discount"),
            F.sum(F.when(F.col("value").isNotNull(), F.col("quantity"))).alias("priced_quantity"),
        )
    )
    nightly = (
        daily.withColumn("as_of", each_night(as_of_dates))
        .where(F.col("event_date") < F.col("as_of"))
        .withColumn("age", F.date_diff("as_of", "event_date"))
    )
    summed = nightly.groupBy("as_of", *keys).agg(
        F.sum("events").alias("events_total"),
        *[_windowed(days).alias(f"events_{days}d") for days in FREQUENCY_WINDOWS_DAYS],
        F.count(F.lit(1)).alias("active_days"),
        F.max("age").alias("days_since_first"),
        F.min("age").alias("days_since_last"),
        *[
            F.round(F.sum(name), AMOUNT_DECIMALS).alias(f"{name}_total")
            for name in ("value", "discount", "priced_quantity")
        ],
    )
    return summed.withColumns(
        {
            "mean_gap_days": F.try_divide(
                F.col("days_since_first") - F.col("days_since_last"), F.col("active_days") - 1
            ),
            "unit_price": F.try_divide("value_total", "priced_quantity_total"),
        }
    ).select("as_of", *keys, *FREQUENCY_COLUMNS, *RECENCY_COLUMNS, *AMOUNT_COLUMNS)


def _windowed(days: int) -> SparkColumn:
    return F.sum(F.when(F.col("age") <= days, F.col("events")).otherwise(F.lit(0)))
