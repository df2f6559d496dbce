from datetime import date, timedelta

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from features.recency_frequency import recency_frequency
from features.user_item_features import user_item_features
from lakehouse.tables import FREQUENCY_WINDOWS_DAYS, USER_ITEM_FEATURES
from tests.feature_frames import events_frame, rounded
from tests.rows import rows_of

MARCH, LATER = date(2024, 3, 1), date(2024, 3, 31)
PAIR = ("user_id", "item_id")


def test_pairs_on_two_nights(spark: SparkSession) -> None:
    ax = {"user_id": "a", "item_id": "x"}
    events = events_frame(
        spark,
        {**ax, "event_date": date(2024, 2, 23), "quantity": 2.0, "value": 3.0, "discount": 0.5},
        {**ax, "event_date": date(2024, 2, 23)},
        {**ax, "event_date": date(2024, 1, 31), "value": 1.5},
        {**ax, "event_date": MARCH, "value": 2.0},
        {"user_id": "b", "item_id": "x", "event_date": date(2024, 3, 30)},
    )
    assert rounded(rows_of(recency_frequency(events, PAIR, [MARCH, LATER]))) == rounded(
        [
            {
                "as_of": MARCH,
                "user_id": "a",
                "item_id": "x",
                "events_total": 3,
                "events_7d": 2,
                "events_30d": 3,
                "events_90d": 3,
                "events_365d": 3,
                "active_days": 2,
                "days_since_first": 30,
                "days_since_last": 7,
                "mean_gap_days": 23.0,
                "value_total": 4.5,
                "discount_total": 0.5,
                "unit_price": 1.5,
            },
            {
                "as_of": LATER,
                "user_id": "a",
                "item_id": "x",
                "events_total": 4,
                "events_7d": 0,
                "events_30d": 1,
                "events_90d": 4,
                "events_365d": 4,
                "active_days": 3,
                "days_since_first": 60,
                "days_since_last": 30,
                "mean_gap_days": 15.0,
                "value_total": 6.5,
                "discount_total": 0.5,
                "unit_price": 1.625,
            },
            {
                "as_of": LATER,
                "user_id": "b",
                "item_id": "x",
                "events_total": 1,
                "events_7d": 1,
                "events_30d": 1,
                "events_90d": 1,
                "events_365d": 1,
                "active_days": 1,
                "days_since_first": 1,
                "days_since_last": 1,
                "mean_gap_days": None,
                "value_total": None,
                "discount_total": None,
                "unit_price": None,
            },
        ]
    )


def test_the_keys_name_the_entity(spark: SparkSession) -> None:
    day = {"event_date": date(2024, 2, 28)}
    events = events_frame(
        spark,
        {"user_id": "a", "item_id": "x", "store_id": "s1", **day},
        {"user_id": "b", "item_id": "x", "store_id": "s1", **day},
        {"user_id": "b", "item_id": "y", "store_id": None, **day},
    )
    found = recency_frequency(events, ("store_id",), [MARCH])
    assert rows_of(found.select("store_id", "events_total", "active_days")) == [
        {"store_id": "s1", "events_total": 2, "active_days": 1},
        {"store_id": None, "events_total": 1, "active_days": 1},
    ]


def test_a_window_ends_with_its_last_day(spark: SparkSession) -> None:
    ages = [days + beyond for days in FREQUENCY_WINDOWS_DAYS for beyond in (0, 1)]
    events = events_frame(
        spark, *[{"item_id": f"{age}", "event_date": MARCH - timedelta(days=age)} for age in ages]
    )
    for row in recency_frequency(events, ("item_id",), [MARCH]).collect():
        counted = [days for days in FREQUENCY_WINDOWS_DAYS if row[f"events_{days}d"]]
        assert counted == [days for days in FREQUENCY_WINDOWS_DAYS if days >= int(row["item_id"])]


def test_pair_features_are_the_declared_columns(spark: SparkSession) -> None:
    built = user_item_features(events_frame(spark, {"event_date": date(2024, 2, 1)}), [MARCH])
    assert ("run_date", *built.columns) == USER_ITEM_FEATURES.column_names
    assert rows_of(built) == [
        {
            "as_of": MARCH,
            "user_id": "x",
            "item_id": "x",
            "events_total": 1,
            "active_days": 1,
            "days_since_last": 29,
            "mean_gap_days": None,
        }
    ]


def test_the_order_of_the_events_changes_no_bit(spark: SparkSession) -> None:
    random = np.random.default_rng(5)
    rows = [
        {
            "item_id": "xyz"[random.integers(3)],
            "event_date": MARCH - timedelta(days=int(random.integers(1, 900))),
            "quantity": int(random.integers(1, 10)) / 10,
            "value": int(random.integers(1, 10_000)) / 100,
            "discount": int(random.integers(300)) / 1000,
        }
        for _ in range(2000)
    ]
    one_way = recency_frequency(events_frame(spark, *rows).coalesce(1), ("item_id",), [MARCH])
    another = recency_frequency(events_frame(spark, *rows[::-1]), ("item_id",), [MARCH])
    assert rows_of(one_way) == rows_of(another)


days_before = st.integers(min_value=-20, max_value=500)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), days_before), min_size=1),
    st.lists(st.integers(min_value=-10, max_value=60), min_size=1, max_size=3, unique=True),
)
def test_windows_nest_and_nights_stand_alone(
    spark: SparkSession, taken: list[tuple[str, str, int]], nights_before: list[int]
) -> None:
    nights = [MARCH - timedelta(days=days) for days in nights_before]
    events = events_frame(
        spark,
        *[
            {"user_id": user, "item_id": item, "event_date": MARCH - timedelta(days=days)}
            for user, item, days in taken
        ],
    )
    rows = rows_of(recency_frequency(events, PAIR, nights))

    ages: dict[tuple[date, str, str], list[int]] = {}
    for night, before in zip(nights, nights_before, strict=True):
        for user, item, days in taken:
            if days > before:
                ages.setdefault((night, user, item), []).append(days - before)
    assert {(row["as_of"], row["user_id"], row["item_id"]) for row in rows} == set(ages)
    for row in rows:
        of_pair = ages[row["as_of"], row["user_id"], row["item_id"]]
        assert row["events_total"] == len(of_pair)
        assert (row["days_since_last"], row["days_since_first"]) == (min(of_pair), max(of_pair))
        counts = [row[f"events_{days}d"] for days in FREQUENCY_WINDOWS_DAYS]
        assert counts == sorted(counts)
        assert counts[-1] <= row["events_total"]
