import pandas as pd
import pytest

from models.lists.reasons import DUE, explained, rhythm


@pytest.mark.parametrize(
    ("purchases", "gap", "since", "sentence"),
    [
        (1, float("nan"), 8, "You bought it once, 8 days ago"),
        (2, 9.0, 8, "You bought it twice, last 8 days ago"),
        (3, 9.2, 8, "You buy it every 9 days, last 8 days ago: due tomorrow"),
        (3, 9.2, 9, "You buy it every 9 days, last 9 days ago: due today"),
        (3, 9.2, 10, "You buy it every 9 days, last 10 days ago: due since yesterday"),
        (5, 7.0, 1, "You buy it every 7 days, last 1 day ago: due in 6 days"),
        (5, 7.0, 21, "You buy it every 7 days, last 21 days ago: due since 14 days"),
        (5, 7.0, 22, "You buy it every 7 days, last 22 days ago"),
        (9, 0.4, 1, "You buy it every day, last 1 day ago: due today"),
    ],
)
def test_a_rhythm_in_words(purchases: int, gap: float, since: int, sentence: str) -> None:
    assert rhythm(purchases, gap, since) == sentence


@pytest.mark.parametrize(
    ("event_types", "words"),
    [
        (("purchase",), "You buy it every 9 days, last 8 days ago: due tomorrow"),
        (("view",), "You looked at it 5 times, last 8 days ago"),
        (("purchase", "view"), "You chose it 5 times, last 8 days ago"),
    ],
)
def test_what_may_be_bought_again_has_its_rhythm_as_reason(
    event_types: tuple[str, ...], words: str
) -> None:
    row = {"list": "buy_again", "user_id": "ann", "tier": "user", "item_id": "tea", "about": None}
    pair = {"user_id": "ann", "item_id": "tea", "events_total": 5, "active_days": 3}
    told = explained(
        pd.DataFrame([row | {"source": "buy_again"}]),
        pd.DataFrame([pair | {"days_since_last": 8, "mean_gap_days": 9.2}]),
        pd.DataFrame([{"item_id": "tea", "title": "Tea", "category": "T", "department": "D"}]),
        pd.DataFrame(columns=["item_id", "related_item_id", "support", "baskets"]),
        event_types,
    )
    assert told[["reason_code", "reason"]].to_dict("records") == [
        {"reason_code": DUE, "reason": words}
    ]
