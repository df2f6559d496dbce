"""Demand, price and content of items: the rows of ``gold.item_features``."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from features.recency_frequency import (
    FREQUENCY_COLUMNS,
    RECENCY_COLUMNS,
    each_night,
    recency_frequency,
)
from lakehouse.tables import ITEM_CONTENT_COLUMNS, PRICE_BANDS


def catalogue_in_force(items: DataFrame) -> DataFrame:
    """Content and tags of each item: its newest row among those of ``silver.items`` given."""
    content = ("item_id", *ITEM_CONTENT_COLUMNS, "tags")
    return (
        items.groupBy("item_id")
        .agg(F.max_by(F.struct(*content), "ingest_date").alias("newest"))
        .select("newest.*")
    )


def item_features(
    events: DataFrame,
    pairs: DataFrame,
    catalogue: DataFrame,
    as_of_dates: Sequence[date],
    *,
    sellable_days: int,
    excluded_departments: Sequence[str],
) -> DataFrame:
    """One row per night and item that the catalogue holds or that was taken before that night.

    ``pairs`` are the rows of ``user_item_features`` for the same nights, ``catalogue`` those of
    ``catalogue_in_force``. An item is sellable where the catalogue holds it, somebody took it in
    the last ``sellable_days`` days, and its department is not excluded.
    """
    described = catalogue.withColumns(
        {"as_of": each_night(as_of_dates), "in_catalogue": F.lit(True)}
    )
    demand = recency_frequency(events, ("item_id",), as_of_dates)
    buyers = pairs.groupBy("as_of", "item_id").agg(
        F.count(F.lit(1)).alias("buyers_total"),
        F.count_if(F.col("active_days") > 1).alias("repeat_buyers"),
    )
    items = (
        described.join(demand, on=["as_of", "item_id"], how="full")
        .join(buyers, on=["as_of", "item_id"], how="left")
        .fillna(0, subset=[*FREQUENCY_COLUMNS, "buyers_total"])
        .fillna(False, subset=["in_catalogue"])
    )
    sold_lately = F.coalesce(F.col("days_since_last") <= sellable_days, F.lit(False))
    excluded = F.coalesce(F.col("department").isin(list(excluded_departments)), F.lit(False))
    return items.withColumns(
        {
            "repeat_buyer_share": F.try_divide("repeat_buyers", "buyers_total"),
            "price_band": _price_band(),
            "sellable": F.col("in_catalogue") & sold_lately & ~excluded,
            "tags": F.coalesce("tags", F.array().cast("array<string>")),
        }
    ).select(
        "as_of",
        "item_id",
        *FREQUENCY_COLUMNS,
        *RECENCY_COLUMNS,
        "buyers_total",
        "repeat_buyer_share",
        "unit_price",
        "price_band",
        "in_catalogue",
        "sellable",
        *ITEM_CONTENT_COLUMNS,
        "tags",
    )


def _price_band() -> SparkColumn:
    """The band of the price's mid-rank among the priced items of the category.

    The mid-rank is the share of cheaper items plus half the share of equally priced ones. So equal
    prices share a band, and an item with nothing to compare it with is in the middle one.
    """
    category = Window.partitionBy("as_of", "category").orderBy(F.col("unit_price").asc_nulls_last())
    cheaper = F.rank().over(category) - 1
    not_dearer = F.count("unit_price").over(
        category.rangeBetween(Window.unboundedPreceding, Window.currentRow)
    )
    priced = F.count("unit_price").over(
        category.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    )
    band = F.floor((cheaper + not_dearer) * F.lit(PRICE_BANDS) / (2 * priced)) + 1
    return F.when(F.col("unit_price").isNotNull(), band.cast("int"))
