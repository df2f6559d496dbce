"""How well a method that times repeat purchases does: the next baskets, and what came due."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from lakehouse.errors import DataError
from lakehouse.lists import BUY_AGAIN
from models.core.base import Ranks
from models.core.capabilities import DUE_DAYS, TimesRepeats
from models.core.context import Context
from models.core.interactions import UNKNOWN, Interactions
from models.core.topn import stored_in, top_n_sparse
from models.evaluation.calibration import calibration_curve, expected_calibration_error
from models.evaluation.next_basket import NextBaskets
from models.evaluation.primary import PLACES

BLOCK_USERS = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class RepeatEvaluation:
    """Measures on the next baskets by method, and the calibration of what was said to be due.

    ``baskets`` has a row per method and a column per measure, empty where nobody known ordered
    anything; ``curve`` is that of ``calibration_curve`` and ``error`` its expected calibration
    error, NaN where nothing was said to be due.
    """

    baskets: pd.DataFrame
    curve: pd.DataFrame
    error: float


def judge_repeats(
    method: TimesRepeats, ranked: Mapping[str, Ranks], context: Context, window: Interactions
) -> RepeatEvaluation:
    """Judge ``method`` by its chances, and all that is ``ranked`` by the next baskets.

    All were fitted on ``context``; the events of ``window`` came after.
    """
    curve = due_curve(method, context, window)
    return RepeatEvaluation(
        _next_baskets(ranked, context, window), curve, expected_calibration_error(curve)
    )


def due_curve(method: TimesRepeats, context: Context, window: Interactions) -> pd.DataFrame:
    """The chances of each user's ten own items most likely due, against what they bought."""
    best = top_n_sparse(method.due, PLACES, allowed=context.sellable)
    row, place = np.nonzero(best.item != UNKNOWN)
    week = window.between(context.as_of, context.as_of + timedelta(days=DUE_DAYS))
    bought = stored_in(week.matrix(), row, best.item[row, place])
    return calibration_curve(best.score[row, place].astype(np.float64), bought)


def _next_baskets(
    ranked: Mapping[str, Ranks], context: Context, window: Interactions
) -> pd.DataFrame:
    try:
        baskets = NextBaskets.of(context, window)
    except DataError:
        return pd.DataFrame()
    rows = {}
    for name, method in ranked.items():
        item = np.concatenate(
            [
                method.rank(
                    baskets.users[start : start + BLOCK_USERS],
                    PLACES,
                    filter_seen=BUY_AGAIN.filter_seen,
                    items_to_recommend=context.sellable,
                ).item
                for start in range(0, len(baskets.users), BLOCK_USERS)
            ]
        )
        measures = baskets.measure(item)
        # A measure is missing where nobody's basket has anything of its part.
        rows[name] = {
            measure: float(np.nanmean(values))
            for measure, values in measures.items()
            if not np.isnan(values).all()
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
