"""The benchmark of completed baskets: what is hidden, what the peers list, what is printed."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from benchmarks.cart_completion import (
    METHODS,
    OURS,
    PLACES,
    Cases,
    measure,
    page,
)
from benchmarks.quality.complete_journey import ShopData
from models.core.interactions import UNKNOWN, Interactions

CUT, END = date(2024, 3, 1), date(2024, 4, 1)
BEFORE, AFTER, LATER = date(2024, 2, 1), date(2024, 3, 5), date(2024, 5, 1)
ORDERS = [
    ("ann", BEFORE, "ab"),
    ("bob", BEFORE, "abc"),
    ("cat", BEFORE, "ac"),
    ("dan", BEFORE, "d"),
    # Only c is new to ann; she is shown a alone.
    ("ann", AFTER, "ac"),
    # Nothing new, nothing else in it, nothing known, nobody known, or too late.
    ("bob", AFTER, "ab"),
    ("cat", AFTER, "d"),
    ("dan", AFTER, "dz"),
    ("eve", AFTER, "ab"),
    ("cat", LATER, "ab"),
]


@pytest.fixture(scope="module")
def year() -> ShopData:
    events = pd.DataFrame(
        [
            {"user_id": user, "item_id": item, "event_date": day, "order_id": f"{number:02}"}
            for number, (user, day, items) in enumerate(ORDERS)
            for item in items
        ]
    ).assign(quantity=1.0, value=1.0)
    items = pd.DataFrame({"item_id": list("abcdz"), "category": ["X", "Y", "X", "X", "Y"]})
    return ShopData(Interactions.from_frame(events), items, pd.DataFrame({"user_id": []}))


def test_a_basket_hides_something_new_to_its_user(year: ShopData) -> None:
    cases = Cases.of(year.interactions, CUT, END)
    assert cases.shown.toarray().tolist() == [[1, 0, 0, 0, 0]]
    assert cases.hidden.tolist() == [2]
    assert cases.known.tolist() == [True, True, True, True, False]
    assert len(cases.lines) == 8
    assert cases.baskets.toarray().tolist() == [
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 0, 1, 0, 0],
        [0, 0, 0, 1, 0],
    ]


@pytest.mark.parametrize(
    ("method", "items"),
    [
        # With a are b and c, in two baskets each; c and d are of its category.
        ("co_count", [1, 2]),
        ("lift", []),
        ("item_knn", [1, 2]),
        ("popularity in the category", [2, 3]),
    ],
)
def test_peers_list_what_they_say(year: ShopData, method: str, items: list[int]) -> None:
    cases = Cases.of(year.interactions, CUT, END)
    found = METHODS[method](cases, year)
    assert found.tolist() == [items + [UNKNOWN] * (PLACES - len(items))]
    hit = 2 in items
    measured = measure(found, cases)
    assert measured["hit@10"].tolist() == [float(hit)]
    assert measured["ndcg@10"] == pytest.approx([1 / np.log2(items.index(2) + 2) if hit else 0.0])


def test_the_page_says_what_is_gained() -> None:
    cost = {"seconds": 1.5, "cpu_seconds": 2.5, "peak_mib": 1500}
    measures = {"ndcg@10": 0.03, "hit@10": 0.05, "items": 1200}
    gain = {"ndcg@10": [0.01, 0.005, 0.015], "hit@10": [0.02, -0.01, 0.03]}
    methods = {OURS: measures | cost, "co_count": measures | cost | {"gain": gain}}
    text = page({"complete_journey": {"2017-12-01": {"baskets": 8000, "methods": methods}}})
    assert "### 2017-12-01, 8,000 baskets" in text
    assert (
        "| `co_count` | 0.0300 | 0.0500 | 1,200 | +0.0100 [+0.0050, +0.0150] "
        "| +0.0200 [-0.0100, +0.0300] | 1.5 | 2.5 | 1,500 |" in text
    )
    assert "| `bought_together` | 0.0300 | 0.0500 | 1,200 |  |  | 1.5 | 2.5 | 1,500 |" in text
