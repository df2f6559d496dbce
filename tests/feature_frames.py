"""Events and expected values that the tests of the feature transforms share."""

from collections.abc import Iterable
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from lakehouse.tables import SILVER_INTERACTIONS
from tests.rows import frame


def events_frame(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    """The rows as ``silver.interactions``: one unit each, without value, discount and order."""
    return frame(spark, SILVER_INTERACTIONS, rows)


def decayed(half_life: int, *ages: int) -> float:
    """The decayed count of events of these ages in days, each weight a multiple of 2^-32."""
    parts: list[int] = [round(0.5 ** (age / half_life) * 2**32) for age in ages]
    return sum(parts) / 2**32


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
