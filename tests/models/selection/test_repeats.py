"""What came due and what the next baskets held, judged on a week made by hand."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from models.core.context import Context
from models.core.interactions import Interactions
from models.lists.keyed import KeyedScores
from models.selection.repeats import judge_repeats

CUT = date(2024, 2, 1)
ROWS = [
    ("a", "tea", "2024-01-05"),
    ("a", "jam", "2024-01-09"),
    ("b", "tea", "2024-01-09"),
    ("a", "tea", "2024-02-03"),
    ("a", "salt", "2024-02-03"),
    ("b", "tea", "2024-02-09"),
]
EVENTS = Interactions.from_frame(
    pd.DataFrame(
        [
            {"user_id": user, "item_id": item, "event_date": day, "quantity": 1.0, "value": 1.0}
            for user, item, day in ROWS
        ]
    )
)
JAM, SALT, TEA = range(3)


@dataclass(frozen=True)
class Foretold:
    """Chances as they were given."""

    due: sparse.csr_array

    @property
    def again(self) -> sparse.csr_array:
        return self.due


def scores(*rows: list[float]) -> sparse.csr_array:
    return sparse.csr_array(np.array(rows))


def judged(due: sparse.csr_array, window_end: date = date(2024, 3, 1)) -> Any:
    context = Context.build(EVENTS, as_of=CUT)
    ranked = {
        "right": KeyedScores("right", EVENTS.user_ids, scores([0.0, 1, 2], [0, 0, 1])),
        "wrong": KeyedScores("wrong", EVENTS.user_ids, scores([1.0, 0, 0], [1, 0, 0])),
    }
    return judge_repeats(Foretold(due), ranked, context, EVENTS.between(CUT, window_end))


def test_methods_are_judged_by_the_next_basket_and_chances_by_the_week() -> None:
    found = judged(scores([0.25, 0, 0.75], [0, 0, 0.5]))
    right, wrong = (found.baskets.loc[name] for name in ("right", "wrong"))
    # Salt was sold by nobody before the cut, so that it cannot be listed or asked for.
    assert (right["ndcg@10"], right["recall@10"]) == (1.0, 1.0)
    assert (wrong["ndcg@10"], wrong["recall@10"]) == (0.0, 0.0)
    assert found.curve.to_dict("records") == [
        {"bin": 1, "pairs": 1, "predicted": 0.25, "happened": 0.0},
        {"bin": 2, "pairs": 1, "predicted": 0.5, "happened": 0.0},
        {"bin": 3, "pairs": 1, "predicted": 0.75, "happened": 1.0},
    ]
    assert found.error == pytest.approx((0.25 + 0.5 + 0.25) / 3)


def test_without_orders_or_chances_nothing_is_said() -> None:
    found = judged(scores([0.0, 0, 0], [0, 0, 0]), window_end=CUT)
    assert found.baskets.empty
    assert found.curve.empty
    assert np.isnan(found.error)
