"""What is like an item: by what the catalogue says of it, and by what it is bought with.

Both are cosines: of the words and attributes that describe two items, rare ones weighing more, and
of the scores of what goes with them. An item counts as like another by the mean of both.
"""

from typing import Final

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

SIMILAR: Final = "similar"
ATTRIBUTES: Final = ("department", "category", "product_type", "brand", "manufacturer")
# A word or neighbour of more items tells little, and its pairs grow with the square of them.
MOST_SHARERS: Final = 100
# Less alike is not alike.
LEAST_SIMILARITY: Final = 0.1
# Sums are rounded, as their last bits depend on the order in which Spark merges partial results.
DECIMALS: Final = 9


def similar_items(together: DataFrame, catalogue: DataFrame, *, places: int) -> DataFrame:
    """The ``places`` items most like each item; columns of the table but the run date.

    ``together`` are rows of ``bought_together``, ``catalogue`` those of the items to compare, with
    their ``title``, ``tags`` and ``ATTRIBUTES``.
    """
    content = _cosines(described(catalogue)).withColumnRenamed("cosine", "by_content")
    neighbours = together.select(
        "item_id", F.col("related_item_id").alias("feature"), F.col("score").alias("weight")
    )
    context = _cosines(neighbours).withColumnRenamed("cosine", "by_context")
    both = content.join(context, on=["item_id", "related_item_id"], how="full").fillna(
        0.0, subset=["by_content", "by_context"]
    )
    score = (F.col("by_content") + F.col("by_context")) / 2
    best = Window.partitionBy("item_id").orderBy(F.desc("score"), "related_item_id")
    reason = (
        F.when(F.col("by_context") == 0, "alike by its description")
        .when(F.col("by_content") == 0, "bought with the same items")
        .otherwise("alike by its description, and bought with the same items")
    )
    return (
        both.withColumn("score", score)
        .where(F.col("score") >= LEAST_SIMILARITY)
        .withColumn("rank", F.row_number().over(best))
        .where(F.col("rank") <= places)
        .select(
            "item_id",
            F.lit(SIMILAR).alias("kind"),
            "rank",
            "related_item_id",
            "score",
            F.lit(None).cast("long").alias("support"),
            F.lit(None).cast("long").alias("baskets"),
            F.lit(None).cast("double").alias("lift"),
            reason.alias("reason"),
        )
    )


def described(catalogue: DataFrame) -> DataFrame:
    """``item_id``, ``feature`` and ``weight`` of each word and attribute; rarer ones weigh more."""
    words = F.split(F.lower(F.coalesce("title", F.lit(""))), r"[^\p{L}\p{N}]+")
    named = [F.concat(F.lit(f"{name}="), F.col(name)) for name in ATTRIBUTES]
    features = (
        catalogue.select(
            "item_id", F.explode(F.array_distinct(F.concat(words, F.array(*named), "tags")))
        )
        .where(F.length("col") > 1)
        .withColumnRenamed("col", "feature")
    )
    counted = features.groupBy("feature").agg(F.count(F.lit(1)).alias("items"))
    total = catalogue.agg(F.count(F.lit(1)).alias("all_items"))
    return (
        features.join(counted, on="feature", how="inner")
        .crossJoin(F.broadcast(total))
        .select("item_id", "feature", F.log1p(F.col("all_items") / F.col("items")).alias("weight"))
    )


def _cosines(weights: DataFrame) -> DataFrame:
    """The cosine of each pair of items that shares a feature which few have, both ways."""
    item, feature = Window.partitionBy("item_id"), Window.partitionBy("feature")
    length = F.sqrt(F.round(F.sum(F.pow("weight", F.lit(2))).over(item), DECIMALS))
    unit = (
        weights.withColumns(
            {
                "weight": F.col("weight") / length,
                "sharers": F.count(F.lit(1)).over(feature),
            }
        )
        .where(F.col("sharers") <= MOST_SHARERS)
        .select("item_id", "feature", "weight")
    )
    other = unit.select(
        F.col("feature").alias("other_feature"),
        F.col("item_id").alias("related_item_id"),
        F.col("weight").alias("other_weight"),
    )
    shared = (F.col("feature") == F.col("other_feature")) & (
        F.col("item_id") != F.col("related_item_id")
    )
    return (
        unit.join(other, on=shared, how="inner")
        .groupBy("item_id", "related_item_id")
        .agg(F.round(F.sum(F.col("weight") * F.col("other_weight")), DECIMALS).alias("cosine"))
    )
