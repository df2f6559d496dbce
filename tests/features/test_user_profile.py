from datetime import date
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from features.user_features import user_features
from features.user_item_features import user_item_features
from lakehouse.tables import ITEM_FEATURES, USER_FEATURES
from tests.feature_frames import events_frame, rounded
from tests.rows import frame, rows_of

NIGHT = date(2024, 3, 1)


def items_frame(spark: SparkSession, **items: tuple[str | None, int | None]) -> DataFrame:
    """``gold.item_features`` of ``NIGHT`` with a department and a price band for each item."""
    return frame(
        spark,
        ITEM_FEATURES,
        [
            {"as_of": NIGHT, "item_id": item, "department": department, "price_band": band}
            for item, (department, band) in items.items()
        ],
    )


def profiles(events: DataFrame, items: DataFrame) -> DataFrame:
    return user_features(events, user_item_features(events, [NIGHT]), items, [NIGHT])


def one_event(user: str, **values: Any) -> dict[str, Any]:
    """The expected row of a user with one event, on the eve of ``NIGHT``."""
    row = {
        "as_of": NIGHT,
        "user_id": user,
        "events_total": 1,
        "events_7d": 1,
        "events_30d": 1,
        "events_90d": 1,
        "events_365d": 1,
        "active_days": 1,
        "days_since_first": 1,
        "days_since_last": 1,
        "mean_gap_days": None,
        "orders_total": 1,
        "items_distinct": 1,
        "repeat_share": 0.0,
        "departments_distinct": 0,
        "value_total": None,
        "value_per_order": None,
        "unit_price": None,
        "price_band_mean": None,
        "discount_share": None,
    }
    return row | values


def test_profiles(spark: SparkSession) -> None:
    eve = date(2024, 2, 29)
    first = {"user_id": "a", "event_date": date(2024, 2, 20), "order_id": "o1"}
    events = events_frame(
        spark,
        {**first, "item_id": "milk", "value": 2.0, "discount": 0.0},
        {**first, "item_id": "bread", "quantity": 2.0, "value": 4.0, "discount": 2.0},
        {
            "user_id": "a",
            "item_id": "milk",
            "event_date": date(2024, 2, 25),
            "order_id": "o2",
            "value": 2.0,
            "discount": 0.0,
        },
        {"user_id": "a", "item_id": "stray", "event_date": eve},
        {"user_id": "one department", "item_id": "milk", "event_date": eve},
        {"user_id": "no department", "item_id": "stray", "event_date": eve},
        {"user_id": "not described", "item_id": "lost", "event_date": eve},
        {"user_id": "nothing paid", "item_id": "stray", "event_date": eve, "value": 0.0},
        {"user_id": "not yet here", "item_id": "milk", "event_date": NIGHT},
    )
    items = items_frame(spark, milk=("DAIRY", 2), bread=("BAKERY", 4), stray=(None, None))
    assert rounded(rows_of(profiles(events, items))) == rounded(
        [
            {
                "as_of": NIGHT,
                "user_id": "a",
                "events_total": 4,
                "events_7d": 2,
                "events_30d": 4,
                "events_90d": 4,
                "events_365d": 4,
                "active_days": 3,
                "days_since_first": 10,
                "days_since_last": 1,
                "mean_gap_days": 4.5,
                "orders_total": 3,  # o1, o2 and the day without an order
                "items_distinct": 3,
                "repeat_share": 0.25,
                "departments_distinct": 2,
                "value_total": 8.0,
                "value_per_order": 8 / 3,
                "unit_price": 2.0,
                "price_band_mean": (2 * 2 + 4) / 3,
                "discount_share": 0.2,
            },
            one_event("one department", departments_distinct=1, price_band_mean=2.0),
            one_event("no department"),
            one_event("not described"),
            one_event("nothing paid", value_total=0.0, value_per_order=0.0, unit_price=0.0),
        ]
    )


def test_an_order_counts_once_from_its_first_day(spark: SparkSession) -> None:
    before, after = date(2024, 2, 28), date(2024, 3, 2)
    events = events_frame(
        spark,
        {"user_id": "a", "order_id": "o1", "event_date": before},
        {"user_id": "a", "order_id": "o1", "event_date": after},
        {"user_id": "a", "order_id": "o2", "event_date": after},
    )
    nights = [NIGHT, date(2024, 3, 10)]
    built = user_features(
        events, user_item_features(events, nights), items_frame(spark, x=(None, None)), nights
    )
    counted = built.select("as_of", "orders_total").collect()
    assert dict(map(tuple, counted)) == {nights[0]: 1, nights[1]: 2}


def test_profiles_are_the_declared_columns(spark: SparkSession) -> None:
    built = profiles(events_frame(spark), items_frame(spark))
    assert ("run_date", *built.columns) == USER_FEATURES.column_names
    assert built.collect() == []
