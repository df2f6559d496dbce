"""Silver purchases, views and catalogue → ``gold.item_related``: what goes with each item."""

from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from expectations import checks
from expectations.validation import validate
from features.item_features import catalogue_in_force
from features.item_pairs import GIANT_BASKET, basket_lines, bought_together
from features.similar_items import similar_items
from jobs.config.settings import Settings
from jobs.night.job_report import JobReport
from lakehouse.io.lake import Lakehouse
from lakehouse.tables import ITEM_RELATED, SILVER_INTERACTIONS, SILVER_ITEMS

STEP = "relate"
# More than a shelf has, as rules and what is not sold any more leave places open.
PLACES = 30


def run(lake: Lakehouse, settings: Settings, *, run_date: date) -> JobReport:
    """Relate the items that the night ``run_date`` knows, and replace its partition.

    The night knows what silver had taken in by then, and purchases and views dated before it. A
    shop without purchases, or of which no pair is sure, has no rows, and the report says so. Raises
    ``DataQualityError`` where validation refuses; the table is then as it was.
    """
    events = lake.read(SILVER_INTERACTIONS).where(
        (F.col("ingest_date") <= F.lit(run_date)) & (F.col("event_date") < F.lit(run_date))
    )
    catalogue = catalogue_in_force(
        lake.read(SILVER_ITEMS).where(F.col("ingest_date") <= F.lit(run_date))
    )
    lines, viewed = (
        basket_lines(events.where(F.col("event_type") == kind)).persist()
        for kind in ("purchase", "view")
    )
    together = bought_together(lines, viewed, catalogue, places=PLACES).persist()
    since = run_date - timedelta(days=settings.features.sellable_days)
    sold = events.where(
        (F.col("event_type") == "purchase") & (F.col("event_date") >= F.lit(since))
    ).select("item_id")
    on_sale = catalogue.join(sold.distinct(), on="item_id", how="left_semi")
    similar = similar_items(
        together.join(sold.distinct(), on="item_id", how="left_semi"), on_sale, places=PLACES
    )
    related = together.unionByName(similar).select(F.lit(run_date).alias("run_date"), "*").persist()
    try:
        baskets = _baskets(lines)
        rows = dict.fromkeys(ITEM_RELATED.column("kind").allowed or (), 0)
        rows |= {row["kind"]: row["count"] for row in related.groupBy("kind").count().collect()}
        verdict = validate(
            related,
            ITEM_RELATED,
            run_date=run_date,
            results=settings.paths.data_quality,
            checks=(
                checks.measure(
                    "items that are related to themselves",
                    related.where(F.col("item_id") == F.col("related_item_id")).count(),
                    maximum=0,
                    advice="This is a defect of Topshelf: report it.",
                ),
            ),
        )
        with lake.writing(ITEM_RELATED):
            lake.replace(ITEM_RELATED, related, {"run_date": run_date})
    finally:
        for frame in (lines, viewed, together, related):
            frame.unpersist()
    return JobReport(
        step=STEP,
        run_date=run_date,
        rows={ITEM_RELATED.full_name: sum(rows.values())},
        facts={**baskets, **{f"{kind}_rows": count for kind, count in rows.items()}},
        warnings=(*verdict.warnings, *_nothing_together(rows["bought_together"], baskets)),
    )


def _baskets(lines: DataFrame) -> dict[str, int]:
    """How many baskets there are, and how many of them are too large to be counted."""
    of_basket = lines.groupBy("basket").agg(F.max("lines").alias("lines"))
    [row] = of_basket.agg(
        F.count(F.lit(1)).alias("baskets"),
        F.count_if(F.col("lines") > GIANT_BASKET).alias("giant_baskets"),
    ).collect()
    return {"baskets": row["baskets"], "giant_baskets": row["giant_baskets"]}


def _nothing_together(rows: int, baskets: dict[str, int]) -> tuple[str, ...]:
    if rows:
        return ()
    return (
        f"no two items are together in enough of the {baskets['baskets']:,} baskets to say that "
        "they go together, so no item has a shelf of what goes with it.",
    )
