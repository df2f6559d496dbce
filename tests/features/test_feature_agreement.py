"""The ranker's measures in memory are Spark's, by which the gold tables are built."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession

from features.recency_frequency import recency_frequency
from lakehouse.tables import SILVER_INTERACTIONS
from models.core.totals import totals
from tests.rows import frame

AS_OF = date(2024, 6, 1)
SHARED = {
    "events_7d": "days_in_7",
    "events_30d": "days_in_30",
    "events_90d": "days_in_90",
    "active_days": "active_days",
    "days_since_first": "since_first",
    "days_since_last": "since_last",
    "mean_gap_days": "mean_gap",
}


def test_spark_and_memory_agree_on_recency_and_frequency(spark: SparkSession) -> None:
    random = np.random.default_rng(3)
    picked = random.choice(4 * 3 * 200, size=300, replace=False)
    user, item, age = picked % 4, picked // 4 % 3, picked // 12 + 1
    events = frame(
        spark,
        SILVER_INTERACTIONS,
        [
            {
                "user_id": str(u),
                "item_id": str(i),
                "event_date": AS_OF - timedelta(days=int(days)),
            }
            for u, i, days in zip(user, item, age, strict=True)
        ],
    )
    gold = recency_frequency(events, ("user_id", "item_id"), [AS_OF]).toPandas()
    gold = gold.sort_values(["user_id", "item_id"], ignore_index=True)

    ours = totals(user * 3 + item, age.astype(np.int32), half_lives=(30, 120), windows=(7, 30, 90))

    keys = gold["user_id"].astype(int) * 3 + gold["item_id"].astype(int)
    np.testing.assert_array_equal(ours.keys, keys)
    pd.testing.assert_frame_equal(
        gold[list(SHARED)].astype("float32").rename(columns=SHARED),
        pd.DataFrame({name: ours.measures[name] for name in SHARED.values()}),
        rtol=1e-6,
    )
