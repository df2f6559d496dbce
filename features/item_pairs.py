"""What goes with what: pairs of items of the same baskets, counted and weighed by evidence.

A pair has a direction: of the baskets with an item, in how many was the other one, and in how many
of these did the user take that one for the first time. The latter is what a basket may lack; habits
that merely lie side by side would drown it.
"""

from typing import Final

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

# The pairs of a larger basket say little and are many: they grow with the square of its size.
GIANT_BASKET: Final = 50
# Fewer baskets with both are no evidence, whatever else is said of them; nor are fewer first ones.
LEAST_SUPPORT: Final = 2
# Chance alone is as telling once in a thousand pairs (chi-squared, one degree of freedom).
LEAST_LOG_LIKELIHOOD_RATIO: Final = 10.83
# Baskets that an item is held to have been in besides: few prove nothing.
PRIOR_BASKETS: Final = 10
BOUGHT_TOGETHER: Final = "bought_together"


def basket_lines(events: DataFrame) -> DataFrame:
    """Each item once a basket: ``basket``, ``item_id``, ``is_first`` and ``lines`` of the basket.

    ``events`` have ``user_id``, ``item_id``, ``event_date`` and ``order_id``; those without an
    order are one basket a user and day. ``is_first`` says that the user had not taken the item on
    an earlier day.
    """
    of_day = F.concat_ws("\0", F.lit("d"), "user_id", F.col("event_date").cast("string"))
    pair = Window.partitionBy("user_id", "item_id")
    basket = Window.partitionBy("user_id", "basket")
    return (
        # Everything below is within a user: sent once to where the user's other events are.
        events.repartition("user_id")
        .select(
            "user_id",
            F.coalesce(F.concat(F.lit("o"), "order_id"), of_day).alias("basket"),
            "item_id",
            (F.col("event_date") == F.min("event_date").over(pair)).alias("is_first"),
        )
        .groupBy("user_id", "basket", "item_id")
        .agg(F.max("is_first").alias("is_first"))
        .select("basket", "item_id", "is_first", F.count(F.lit(1)).over(basket).alias("lines"))
    )


def bought_together(
    lines: DataFrame, viewed: DataFrame, catalogue: DataFrame, *, places: int
) -> DataFrame:
    """The ``places`` items that go best with each item; columns of the table but the run date.

    ``lines`` and ``viewed`` are those of ``basket_lines`` for purchases and for views, of which
    those with more than ``GIANT_BASKET`` items don't count. ``catalogue`` has ``item_id``,
    ``product_type`` and ``category``.

    The score is the log-likelihood ratio (Dunning 1993) of the other item's first purchases in the
    item's baskets, over the root of these baskets, so that the lists of rare and of common items
    mix: ``ratio / sqrt(baskets + prior)``. Left out are pairs of little support, those that chance
    explains or that are together less than by chance, and what is taken instead of each other.
    """
    kept = lines.where(F.col("lines") <= GIANT_BASKET)
    kinds = _kinds(catalogue)
    items = _items(kept, kinds)
    own, other = (
        items.select(*[F.col(name).alias(f"{side}_{name}") for name in items.columns])
        for side in ("own", "other")
    )
    total = kept.agg(F.count_distinct("basket").alias("all_baskets"))
    both, baskets = F.col("both"), F.col("own_baskets")
    pairs = (
        _directed(_pair_counts(kept, items))
        .join(F.broadcast(own), on="own_number", how="inner")
        .join(F.broadcast(other), on="other_number", how="inner")
        .join(F.broadcast(_visits(kept, kinds)), on="own_group", how="left")
        .join(_viewed_together(viewed, items), on=["own_number", "other_number"], how="left")
        .crossJoin(F.broadcast(total))
        .where(F.col("firsts") >= LEAST_SUPPORT)
        .where(F.col("firsts") * F.col("all_baskets") > baskets * F.col("other_firsts"))
        .where(~_is_substitute())
        .withColumn("ratio", _log_likelihood_ratio())
        .where(F.col("ratio") >= LEAST_LOG_LIKELIHOOD_RATIO)
        .withColumn("score", F.col("ratio") / F.sqrt(baskets + PRIOR_BASKETS))
    )
    best = Window.partitionBy("own_item_id").orderBy(F.desc("score"), "other_item_id")
    in_words = (F.lit("in "), both.cast("string"), F.lit(" of "), baskets.cast("string"))
    return (
        pairs.withColumn("rank", F.row_number().over(best))
        .where(F.col("rank") <= places)
        .select(
            F.col("own_item_id").alias("item_id"),
            F.lit(BOUGHT_TOGETHER).alias("kind"),
            "rank",
            F.col("other_item_id").alias("related_item_id"),
            "score",
            both.alias("support"),
            baskets.alias("baskets"),
            (both * F.col("all_baskets") / (baskets * F.col("other_baskets"))).alias("lift"),
            F.concat(*in_words, F.lit(" baskets")).alias("reason"),
        )
    )


def _kinds(catalogue: DataFrame) -> DataFrame:
    """The finest group that the catalogue gives an item."""
    return catalogue.select("item_id", F.coalesce("product_type", "category").alias("group"))


def _items(kept: DataFrame, kinds: DataFrame) -> DataFrame:
    """What is in enough baskets to have a pair: numbered, so that pairs are counted as numbers."""
    return (
        kept.groupBy("item_id")
        .agg(
            F.count(F.lit(1)).alias("baskets"),
            F.sum(F.col("is_first").cast("long")).alias("firsts"),
        )
        .where(F.col("baskets") >= LEAST_SUPPORT)
        .join(kinds, on="item_id", how="left")
        .select(
            F.row_number().over(Window.orderBy("item_id")).alias("number"),
            "item_id",
            "group",
            "baskets",
            "firsts",
        )
    )


def _pair_counts(kept: DataFrame, items: DataFrame) -> DataFrame:
    """Baskets with ``low`` and ``high``, and in how many of them each was a first purchase."""
    numbered = kept.join(F.broadcast(items.select("item_id", "number")), on="item_id", how="inner")
    low = numbered.select("basket", F.col("number").alias("low"), F.col("is_first").alias("low_is"))
    high = numbered.select(
        F.col("basket").alias("in_basket"),
        F.col("number").alias("high"),
        F.col("is_first").alias("high_is"),
    )
    together = (F.col("basket") == F.col("in_basket")) & (F.col("low") < F.col("high"))
    return (
        low.join(high, on=together, how="inner")
        .groupBy("low", "high")
        .agg(
            F.count(F.lit(1)).alias("both"),
            F.sum(F.col("low_is").cast("long")).alias("low_firsts"),
            F.sum(F.col("high_is").cast("long")).alias("high_firsts"),
        )
        .where(F.col("both") >= LEAST_SUPPORT)
    )


def _directed(pairs: DataFrame) -> DataFrame:
    """Each pair both ways."""
    ways = [
        F.struct(
            F.col(own).alias("own_number"),
            F.col(other).alias("other_number"),
            "both",
            F.col(f"{other}_firsts").alias("firsts"),
        )
        for own, other in (("low", "high"), ("high", "low"))
    ]
    # Two frames, one below the other, would be counted twice.
    return pairs.select(F.explode(F.array(*ways)).alias("way")).select("way.*")


def _visits(kept: DataFrame, kinds: DataFrame) -> DataFrame:
    """The baskets that have something of each group."""
    return (
        kept.join(F.broadcast(kinds), on="item_id", how="inner")
        .where(F.col("group").isNotNull())
        .groupBy(F.col("group").alias("own_group"))
        .agg(F.count_distinct("basket").alias("visits"))
    )


def _viewed_together(viewed: DataFrame, items: DataFrame) -> DataFrame:
    """Of the sessions that looked at an item, the share that looked at the other one as well."""
    kept = viewed.where(F.col("lines") <= GIANT_BASKET)
    sessions = (
        kept.join(F.broadcast(items.select("item_id", "number")), on="item_id", how="inner")
        .groupBy(F.col("number").alias("own_number"))
        .agg(F.count(F.lit(1)).alias("sessions"))
    )
    return (
        _directed(_pair_counts(kept, items))
        .join(sessions, on="own_number", how="inner")
        .select(
            "own_number", "other_number", (F.col("both") / F.col("sessions")).alias("viewed_share")
        )
    )


def _is_substitute() -> Column:
    """Taken instead of each other, by baskets or by views.

    Of one group, and less often together than by chance in the baskets that have any of it; or
    rather looked at together than bought together.
    """
    by_chance = F.col("own_baskets") * F.col("other_baskets") / F.col("visits")
    of_a_group = F.col("own_group") == F.col("other_group")
    rather_viewed = F.col("both") / F.col("own_baskets") < F.col("viewed_share")
    return F.coalesce(of_a_group & (F.col("both") < by_chance), F.lit(False)) | F.coalesce(
        rather_viewed, F.lit(False)
    )


def _log_likelihood_ratio() -> Column:
    """Twice what the log-likelihood gains by not taking both items as independent.

    The other item counts where it is a first purchase.
    """
    both, own, other = F.col("firsts"), F.col("own_baskets"), F.col("other_firsts")
    total = F.col("all_baskets")
    cells = (both, own - both, other - both, total - own - other + both)
    margins = (own, total - own, other, total - other)
    gained = sum((_entropy(cell) for cell in cells), _entropy(total))
    return 2 * (gained - sum((_entropy(margin) for margin in margins), F.lit(0.0)))


def _entropy(count: Column) -> Column:
    return F.when(count > 0, count * F.log(count.cast("double"))).otherwise(0.0)
