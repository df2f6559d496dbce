"""What the rules over whole rows and groups count, on Spark and pandas frames alike."""

from collections.abc import Sequence

import pandas as pd
from pyspark.sql import DataFrame as SparkFrame
from pyspark.sql import functions as F

from expectations.frames import Frame


def duplicate_rows(frame: Frame, columns: Sequence[str]) -> int:
    """Rows beyond the first of each combination of values in ``columns``."""
    if isinstance(frame, pd.DataFrame):
        return int(frame.duplicated(list(columns)).sum())
    # Different hashes prove different keys, and a long is far cheaper to shuffle than the key.
    hashes = frame.select(F.xxhash64(*columns).alias("hash"))
    return _surplus(frame, columns) if _surplus(hashes, ["hash"]) else 0


def misranked_groups(frame: Frame, group_by: Sequence[str], rank: str) -> tuple[int, int]:
    """Groups whose ranks do not count from 1 without gap or tie; and all groups."""
    if isinstance(frame, pd.DataFrame):
        groups = frame.groupby(list(group_by), dropna=False)[rank].agg(
            ["size", "nunique", "min", "max"]
        )
        sizes = groups["size"]
        ranked = (
            groups["nunique"].eq(sizes)
            & groups["min"].eq(1).fillna(value=False)
            & groups["max"].eq(sizes).fillna(value=False)
        )
        return int((~ranked).sum()), len(groups)
    size = F.count("*")
    ranked_group = (F.count_distinct(rank) == size) & (F.min(rank) == 1) & (F.max(rank) == size)
    row = (
        frame.groupBy(*group_by)
        .agg(F.coalesce(ranked_group, F.lit(False)).alias("ranked"))
        .agg(F.count_if(~F.col("ranked")), F.count("*"))
        .first()
    )
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def unbalanced_rows(frame: Frame, total: str, parts: Sequence[str]) -> int:
    """Rows in which ``total`` is not the sum of ``parts``, or one of them is null."""
    if isinstance(frame, pd.DataFrame):
        added = frame[list(parts)].sum(axis="columns", skipna=False)
        return int((~frame[total].eq(added).fillna(value=False)).sum())
    balanced = F.col(total) == sum((F.col(part) for part in parts), F.lit(0))
    return frame.where(~F.coalesce(balanced, F.lit(False))).count()


def _surplus(frame: SparkFrame, columns: Sequence[str]) -> int:
    groups = frame.groupBy(*columns).count().where("count > 1")
    row = groups.agg(F.coalesce(F.sum(F.col("count") - 1), F.lit(0))).first()
    return 0 if row is None else int(row[0])
