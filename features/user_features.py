"""Activity, diversity and price level of users: the rows of ``gold.user_features``."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from features.recency_frequency import (
    FREQUENCY_COLUMNS,
    RECENCY_COLUMNS,
    each_night,
    recency_frequency,
)


def user_features(
    events: DataFrame, pairs: DataFrame, items: DataFrame, as_of_dates: Sequence[date]
) -> DataFrame:
    """One row per night and user with an event before that night.

    ``pairs`` and ``items`` are the rows of ``user_item_features`` and ``item_features`` for the
    same nights. ``events`` holds ``order_id`` besides the columns of ``recency_frequency``.
    """
    activity = recency_frequency(events, ("user_id",), as_of_dates)
    return (
        activity.join(_orders(events, as_of_dates), on=["as_of", "user_id"], how="inner")
        .join(_tastes(pairs, items), on=["as_of", "user_id"], how="inner")
        .withColumns(
            {
                "repeat_share": 1 - F.col("items_distinct") / F.col("events_total"),
                "value_per_order": F.col("value_total") / F.col("orders_total"),
                "discount_share": F.try_divide(
                    "discount_total", F.col("value_total") + F.col("discount_total")
                ),
            }
        )
        .select(
            "as_of",
            "user_id",
            *FREQUENCY_COLUMNS,
            *RECENCY_COLUMNS,
            "orders_total",
            "items_distinct",
            "repeat_share",
            "departments_distinct",
            "value_total",
            "value_per_order",
            "unit_price",
            "price_band_mean",
            "discount_share",
        )
    )


def _orders(events: DataFrame, as_of_dates: Sequence[date]) -> DataFrame:
    """Orders of each user; events without an order count as one order a day."""
    order = F.coalesce("order_id", F.col("event_date").cast("string"))
    return (
        events.groupBy("user_id", order.alias("order_id"))
        .agg(F.min("event_date").alias("ordered_on"))
        .withColumn("as_of", each_night(as_of_dates))
        .where(F.col("ordered_on") < F.col("as_of"))
        .groupBy("as_of", "user_id")
        .agg(F.count(F.lit(1)).alias("orders_total"))
    )


def _tastes(pairs: DataFrame, items: DataFrame) -> DataFrame:
    """How each user's events spread over items, departments and price bands."""
    bands = F.col("price_band") * F.col("events_total")
    banded = F.when(F.col("price_band").isNotNull(), F.col("events_total"))
    in_department = (
        pairs.select("as_of", "user_id", "item_id", "events_total")
        .join(
            # A merge join would sort all pairs; measured, the hash join takes a quarter less.
            items.select("as_of", "item_id", "department", "price_band").hint("shuffle_hash"),
            on=["as_of", "item_id"],
            how="left",
        )
        .groupBy("as_of", "user_id", "department")
        .agg(
            F.count(F.lit(1)).alias("items"),
            F.sum(bands).alias("bands"),
            F.sum(banded).alias("banded"),
        )
    )
    return in_department.groupBy("as_of", "user_id").agg(
        F.sum("items").alias("items_distinct"),
        F.count("department").alias("departments_distinct"),
        F.try_divide(F.sum("bands"), F.sum("banded")).alias("price_band_mean"),
    )
