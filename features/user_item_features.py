"""What a user did with an item: the rows of ``gold.user_item_features``."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame

from features.recency_frequency import recency_frequency


def user_item_features(events: DataFrame, as_of_dates: Sequence[date]) -> DataFrame:
    """One row per night, user and item with an event before that night; see the table."""
    return recency_frequency(events, ("user_id", "item_id"), as_of_dates).select(
        "as_of",
        "user_id",
        "item_id",
        "events_total",
        "active_days",
        "days_since_last",
        "mean_gap_days",
    )
