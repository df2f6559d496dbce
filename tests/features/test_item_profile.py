from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from features.item_features import catalogue_in_force, item_features
from features.user_item_features import user_item_features
from lakehouse.tables import ITEM_FEATURES, SILVER_ITEMS
from tests.feature_frames import events_frame, rounded
from tests.rows import frame, rows_of

NIGHT = date(2024, 3, 1)
SELLABLE_DAYS = 90
EXCLUDED = "FUEL"


def profiles(
    events: DataFrame, items: DataFrame, *, nights: Sequence[date] = (NIGHT,)
) -> DataFrame:
    return item_features(
        events,
        user_item_features(events, nights),
        catalogue_in_force(items),
        nights,
        sellable_days=SELLABLE_DAYS,
        excluded_departments=[EXCLUDED],
    )


def sale(item: str, *, days_ago: int = 1, **values: Any) -> dict[str, Any]:
    return {"item_id": item, "event_date": NIGHT - timedelta(days=days_ago), **values}


def test_the_newest_catalogue_row_is_in_force(spark: SparkSession) -> None:
    old, new = date(2024, 1, 1), date(2024, 2, 1)
    items = frame(
        spark,
        SILVER_ITEMS,
        [
            {"item_id": "x", "title": "renamed", "brand": "b", "ingest_date": old},
            {"item_id": "x", "title": "new name", "tags": ["t"], "ingest_date": new},
            {"item_id": "y", "title": "gone from the newest file", "ingest_date": old},
        ],
    )
    content = {
        "department": None,
        "category": None,
        "product_type": None,
        "brand": None,
        "manufacturer": None,
        "package_size": None,
    }
    assert rounded(rows_of(catalogue_in_force(items))) == rounded(
        [
            {"item_id": "x", "title": "new name", **content, "tags": ["t"]},
            {"item_id": "y", "title": "gone from the newest file", **content, "tags": []},
        ]
    )


def test_profiles(spark: SparkSession) -> None:
    events = events_frame(
        spark,
        sale("sold", days_ago=1, user_id="a", value=3.0),
        sale("sold", days_ago=1, user_id="a", value=3.0),
        sale("sold", days_ago=31, user_id="b", value=1.5, quantity=3.0),
        sale("sold", days_ago=61, user_id="b"),
        sale("sold", days_ago=0, user_id="c"),
        sale("unknown", days_ago=100, user_id="a"),
        sale("unknown and new", days_ago=0, user_id="a"),
    )
    content = {
        "title": "Sold",
        "department": "D",
        "category": "C",
        "product_type": "P",
        "brand": "B",
        "manufacturer": "M",
        "package_size": "1 L",
        "tags": ["t", "u"],
    }
    items = frame(spark, SILVER_ITEMS, [{"item_id": "sold", **content}, {"item_id": "unsold"}])
    nothing = dict.fromkeys(content) | {"tags": []}
    no_event = {
        "events_total": 0,
        "events_7d": 0,
        "events_30d": 0,
        "events_90d": 0,
        "events_365d": 0,
        "active_days": 0,
        "days_since_first": None,
        "days_since_last": None,
        "mean_gap_days": None,
        "buyers_total": 0,
        "repeat_buyer_share": None,
        "unit_price": None,
        "price_band": None,
    }
    assert rounded(rows_of(profiles(events, items))) == rounded(
        [
            {
                "as_of": NIGHT,
                "item_id": "sold",
                "events_total": 4,
                "events_7d": 2,
                "events_30d": 2,
                "events_90d": 4,
                "events_365d": 4,
                "active_days": 3,
                "days_since_first": 61,
                "days_since_last": 1,
                "mean_gap_days": 30.0,
                "buyers_total": 2,
                "repeat_buyer_share": 0.5,  # b on two days; a twice on one day
                "unit_price": 1.5,
                "price_band": 3,
                "in_catalogue": True,
                "sellable": True,
                **content,
            },
            {
                "as_of": NIGHT,
                "item_id": "unsold",
                **no_event,
                "in_catalogue": True,
                "sellable": False,
                **nothing,
            },
            {
                "as_of": NIGHT,
                "item_id": "unknown",
                **no_event,
                "events_total": 1,
                "events_365d": 1,
                "active_days": 1,
                "days_since_first": 100,
                "days_since_last": 100,
                "buyers_total": 1,
                "repeat_buyer_share": 0.0,
                "in_catalogue": False,
                "sellable": False,
                **nothing,
            },
        ]
    )


def test_price_bands_rank_within_the_category(spark: SparkSession) -> None:
    prices = {
        "five": {"v1": 1.0, "v2": 2.0, "v3": 3.0, "v4": 4.0, "v5": 50.0},
        "ties": {"t1": 2.0, "t2": 2.0, "t3": 2.0, "dear": 9.0},
        "alone": {"alone": 0.01},
        None: {"loose cheap": 1.0, "loose dear": 2.0},
    }
    unpriced = ("five", "no price")
    items = [(category, item) for category, priced in prices.items() for item in priced]
    events = events_frame(
        spark,
        *[sale(item, value=price) for priced in prices.values() for item, price in priced.items()],
        sale(unpriced[1]),
    )
    catalogue = frame(
        spark,
        SILVER_ITEMS,
        [{"item_id": item, "category": category} for category, item in (*items, unpriced)],
    )
    built = profiles(events, catalogue).select("item_id", "price_band").collect()
    assert dict(map(tuple, built)) == {
        "v1": 1,
        "v2": 2,
        "v3": 3,
        "v4": 4,
        "v5": 5,
        "t1": 2,
        "t2": 2,
        "t3": 2,
        "dear": 5,
        "alone": 3,
        "loose cheap": 2,
        "loose dear": 4,
        "no price": None,
    }


def test_what_may_be_recommended(spark: SparkSession) -> None:
    events = events_frame(
        spark,
        sale("on the last day", days_ago=SELLABLE_DAYS),
        sale("a day too long ago", days_ago=SELLABLE_DAYS + 1),
        sale("excluded"),
        sale("unknown"),
    )
    items = frame(
        spark,
        SILVER_ITEMS,
        [
            {"item_id": "on the last day"},
            {"item_id": "a day too long ago"},
            {"item_id": "excluded", "department": EXCLUDED},
            {"item_id": "unsold"},
        ],
    )
    built = profiles(events, items).select("item_id", "sellable").collect()
    assert dict(map(tuple, built)) == {
        "on the last day": True,
        "a day too long ago": False,
        "excluded": False,
        "unsold": False,
        "unknown": False,
    }


def test_each_night_has_its_own_demand(spark: SparkSession) -> None:
    earlier = NIGHT - timedelta(days=SELLABLE_DAYS)
    events = events_frame(spark, sale("x", days_ago=SELLABLE_DAYS + 1), sale("x", value=2.0))
    built = profiles(
        events, frame(spark, SILVER_ITEMS, [{"item_id": "x"}]), nights=[earlier, NIGHT]
    )
    columns = ["as_of", "events_total", "sellable", "unit_price"]
    assert sorted(map(tuple, built.select(*columns).collect())) == [
        (earlier, 1, True, None),
        (NIGHT, 2, True, 2.0),
    ]


def test_profiles_are_the_declared_columns(spark: SparkSession) -> None:
    built = profiles(events_frame(spark), frame(spark, SILVER_ITEMS, []))
    assert ("run_date", *built.columns) == ITEM_FEATURES.column_names
    assert rows_of(built) == []
