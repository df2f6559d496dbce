"""What is popular in a context of somebody unknown: their shop, or a segment of people."""

from datetime import date
from typing import Final

import numpy as np
import pandas as pd

MINIMUM_USERS: Final = 20


def popular_in_context(
    events: pd.DataFrame, column: str, *, as_of: date, half_life_days: float, size: int
) -> pd.DataFrame:
    """The ``size`` items of the most decayed events in each value of the context ``column``.

    ``events`` (``user_id``, ``item_id``, ``event_date``, ``column``) lie before ``as_of``; one
    counts ``0.5 ** (age in days / half_life_days)``. Values of fewer than ``MINIMUM_USERS`` users
    have no list: they would say little, and that of few people. Returns ``context`` (as
    ``column=value``), ``rank`` from 1, ``item_id`` and ``score``, sorted by the first two; ties go
    to the lower ``item_id``.
    """
    known = events.dropna(subset=[column])
    users = known.groupby(column)["user_id"].nunique()
    known = known[known[column].isin(users.index[users >= MINIMUM_USERS])]
    age = (pd.Timestamp(as_of) - pd.to_datetime(known["event_date"])).dt.days
    scores = (
        known.assign(score=0.5 ** (age / half_life_days))
        .groupby([column, "item_id"], as_index=False)[["score"]]
        .sum()
    )
    scores = scores.sort_values([column, "score", "item_id"], ascending=[True, False, True])
    rank = (scores.groupby(column).cumcount() + 1).astype(np.int32)
    ranked = scores.assign(context=f"{column}=" + scores[column].astype(str), rank=rank)
    first = ranked.loc[rank <= size, ["context", "rank", "item_id", "score"]]
    result: pd.DataFrame = first.sort_values(["context", "rank"]).reset_index(drop=True)
    return result
