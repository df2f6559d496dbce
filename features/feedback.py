"""What came of the places that were shown: the rows of ``gold.feedback_daily``."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.tables import FEEDBACK_TYPES

_GROUP = ("event_date", "surface", "position", "source", "reason_code", "arm", "release")
# What places an event's item in a list of a release.
_PLACE = ("release", "surface", "tier", "whose", "item_id")


def of_lists(feedback: DataFrame) -> DataFrame:
    """The feedback that names a list of ours."""
    return feedback.where(F.col("release").isNotNull() & F.col("surface").isNotNull())


def feedback_daily(feedback: DataFrame, recommendations: DataFrame) -> DataFrame:
    """Events by day, surface, position, source, reason, arm and release.

    ``feedback`` is of lists of ours; a release's name begins with its night. Source and reason are
    those of the item in the list that the event names; an event without a position has the item's
    rank. Of a context's list nobody can say which context it was, so that an item counts at its
    best rank in any.
    """
    night = F.substring("release", 1, len("YYYY-MM-DD")).try_cast("date")
    nights = feedback.select(night.alias("run_date")).distinct()
    whose = F.when(F.col("tier") == "user", F.col("user_id")).otherwise("").alias("whose")
    shown = (
        recommendations.join(F.broadcast(nights), "run_date", how="left_semi")
        .groupBy("release", F.col("list").alias("surface"), "tier", whose, "item_id")
        .agg(F.min(F.struct("rank", "source", "reason_code")).alias("place"))
    )
    counted = (
        feedback.select("*", whose)
        .join(shown, list(_PLACE), how="left")
        .select(
            "event_date",
            "surface",
            F.coalesce("position", "place.rank", F.lit(0)).alias("position"),
            *[
                F.coalesce(name, F.lit("")).alias(name.removeprefix("place."))
                for name in ("place.source", "place.reason_code", "arm")
            ],
            "release",
            "event_type",
        )
        .groupBy(*_GROUP)
        .agg(
            *[F.count_if(F.col("event_type") == kind).alias(f"{kind}s") for kind in FEEDBACK_TYPES]
        )
    )
    return counted.select(
        *_GROUP,
        *[f"{kind}s" for kind in FEEDBACK_TYPES],
        F.try_divide("clicks", "impressions").alias("ctr"),
        F.try_divide("purchases", "impressions").alias("conversion"),
    )
