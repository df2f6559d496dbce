"""Events and expected values that the tests of the feature transforms share."""

from collections.abc import Iterable
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from lakehouse.tables import SILVER_INTERACTIONS
from tests.rows import frame


def events_frame(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    """The rows as ``silver.interactions``: one unit each, without value, discount and order."""
    return frame(spark, SILVER_INTERACTIONS, rows)


def rounded(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in a fixed order, floats to nine decimals."""
    plain = [
        {
            name: round(value, 9) if isinstance(value, float) else value
            for name, value in row.items()
        }
        for row in rows
    ]
    return sorted(plain, key=lambda row: repr(sorted(row.items())))
