"""What goes with what, on baskets made by hand."""

import math
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from features.item_pairs import GIANT_BASKET, PRIOR_BASKETS, basket_lines, bought_together
from features.similar_items import similar_items
from lakehouse.tables import ITEM_RELATED, SILVER_ITEMS
from tests.feature_frames import events_frame
from tests.rows import frame, rows_of

DAY = date(2024, 2, 1)
TYPES = {"bread": "BREAD", "butter": "BUTTER", "cola": "SODA", "fizz": "SODA", "soap": "SOAP"}


def baskets(
    spark: SparkSession, *contents: Iterable[str], days: Iterable[int] | None = None
) -> DataFrame:
    """Each basket is another user's, unless ``days`` makes all of them one user's."""
    return events_frame(
        spark,
        *[
            {
                "user_id": f"u{number}" if days is None else "u",
                "order_id": f"o{number}",
                "item_id": item,
                "event_date": DAY + timedelta(days=0 if days is None else list(days)[number]),
            }
            for number, items in enumerate(contents)
            for item in items
        ],
    )


def catalogue(spark: SparkSession) -> DataFrame:
    rows = [
        {"item_id": item, "product_type": kind, "title": kind.title(), "category": "FOOD"}
        for item, kind in TYPES.items()
    ]
    return frame(spark, SILVER_ITEMS, rows)


def related(
    spark: SparkSession, events: DataFrame, views: DataFrame | None = None, places: int = 9
) -> list[dict[str, Any]]:
    viewed = events.limit(0) if views is None else views
    return rows_of(
        bought_together(basket_lines(events), basket_lines(viewed), catalogue(spark), places=places)
    )


def pairs(rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(row["item_id"], row["related_item_id"]) for row in rows}


def test_lines_are_each_item_once_a_basket(spark: SparkSession) -> None:
    ax = {"user_id": "a", "item_id": "x", "event_date": DAY}
    events = events_frame(
        spark,
        {**ax, "order_id": "1"},
        {**ax, "order_id": "1"},
        {**ax, "order_id": "1", "item_id": "y"},
        {**ax, "event_date": DAY + timedelta(days=1)},
        {"user_id": "b", "item_id": "x", "event_date": DAY},
    )
    lines = rows_of(basket_lines(events))
    assert [(row["item_id"], row["is_first"], row["lines"]) for row in lines] == [
        ("x", False, 1),
        ("x", True, 1),
        ("x", True, 2),
        ("y", True, 2),
    ]
    assert [row["basket"] for row in lines] == [
        "d\0a\x002024-02-02",
        "d\0b\x002024-02-01",
        "o1",
        "o1",
    ]


def test_a_pair_has_counts_a_score_and_a_reason_each_way(spark: SparkSession) -> None:
    events = baskets(spark, *[["bread", "butter"]] * 6, ["bread"], ["bread"], *[["soap"]] * 12)

    def entropy(*counts: int) -> float:
        return sum(count * math.log(count) for count in counts if count)

    # Of 20 baskets 8 have bread, 6 butter, 6 both.
    ratio = 2 * (entropy(6, 2, 0, 12) + entropy(20) - entropy(8, 12, 6, 14))
    rows = related(spark, events)
    assert [row.pop("score") for row in rows] == pytest.approx(
        [ratio / math.sqrt(8 + PRIOR_BASKETS), ratio / math.sqrt(6 + PRIOR_BASKETS)]
    )
    assert [row.pop("lift") for row in rows] == pytest.approx([6 * 20 / (8 * 6)] * 2)
    same = {"kind": "bought_together", "rank": 1, "support": 6}
    assert rows == [
        {
            **same,
            "item_id": "bread",
            "related_item_id": "butter",
            "baskets": 8,
            "reason": "in 6 of 8 baskets",
        },
        {
            **same,
            "item_id": "butter",
            "related_item_id": "bread",
            "baskets": 6,
            "reason": "in 6 of 6 baskets",
        },
    ]
    assert set(rows[0]) | {"score", "lift", "run_date"} == set(ITEM_RELATED.column_names)


def test_no_shelf_is_made_of_noise(spark: SparkSession) -> None:
    others = [["soap"]] * 12
    # One basket with both, however rare they are, may be chance.
    assert related(spark, baskets(spark, ["bread", "butter"], *others)) == []
    # Together as often as chance makes them: both are in half of the baskets, in a quarter both.
    by_chance = [["bread", "butter"], ["bread"], ["butter"], ["soap"]] * 5
    assert related(spark, baskets(spark, *by_chance)) == []
    # Two items only, always together: nothing says that one goes with the other.
    assert related(spark, baskets(spark, *[["bread", "butter"]] * 9)) == []
    # One user's habit: only the first time counts.
    habit = [["bread", "butter"]] * 9 + [["soap"]] * 9
    assert related(spark, baskets(spark, *habit, days=range(18))) == []


def test_giant_baskets_do_not_count(spark: SparkSession) -> None:
    stock = [f"stock{number}" for number in range(GIANT_BASKET - 1)]
    whole = [["bread", "butter", *stock]] * 3 + [["soap"]] * 12
    assert related(spark, baskets(spark, *whole)) == []
    # One item less, and they do.
    fewer = [["bread", "butter", *stock[:-1]]] * 3 + [["soap"]] * 12
    assert ("bread", "butter") in pairs(related(spark, baskets(spark, *fewer), places=200))


def test_what_is_taken_instead_does_not_go_together(spark: SparkSession) -> None:
    others = [["soap"]] * 40
    # Both are sodas; of the 14 baskets with soda 6 have both, where chance makes 100 / 14.
    either = [["cola", "fizz"]] * 6 + [["cola"]] * 4 + [["fizz"]] * 4
    assert related(spark, baskets(spark, *either, *others)) == []
    # The same of two types goes together.
    across = [["bread" if item == "fizz" else item for item in basket] for basket in either]
    assert pairs(related(spark, baskets(spark, *across, *others))) == {
        ("bread", "cola"),
        ("cola", "bread"),
    }
    # Rather looked at together than bought together: 6 of 10 purchases, 5 of 5 sessions.
    views = baskets(spark, *[["bread", "cola"]] * 5)
    assert related(spark, baskets(spark, *across, *others), views) == []


def test_the_best_come_first_and_only_so_many(spark: SparkSession) -> None:
    events = baskets(spark, *[["bread", "butter"]] * 6, *[["bread", "cola"]] * 4, *[["soap"]] * 30)
    of_bread = [row for row in related(spark, events) if row["item_id"] == "bread"]
    assert [(row["rank"], row["related_item_id"]) for row in of_bread] == [
        (1, "butter"),
        (2, "cola"),
    ]
    best = [row for row in related(spark, events, places=1) if row["item_id"] == "bread"]
    assert [row["related_item_id"] for row in best] == ["butter"]


def test_similar_by_description_and_by_company(spark: SparkSession) -> None:
    sort: dict[str, Any] = {
        "department": None,
        "category": None,
        "brand": None,
        "manufacturer": None,
    }
    items: list[dict[str, Any]] = [
        {"item_id": "cola", "title": "Red cola", "product_type": "SODA"},
        {"item_id": "fizz", "title": "Red fizz", "product_type": "SODA"},
        {"item_id": "soap", "title": "Hand soap", "product_type": "SOAP"},
        {"item_id": "gel", "title": None, "product_type": None},
        {"item_id": "lone", "title": "Lone", "product_type": None},
    ]
    described = frame(spark, SILVER_ITEMS, [sort | item for item in items])
    company = {"kind": "bought_together", "rank": 1, "score": 3.0}
    together = frame(
        spark,
        ITEM_RELATED,
        [
            {**company, "item_id": "soap", "related_item_id": "towel"},
            {**company, "item_id": "gel", "related_item_id": "towel"},
            {**company, "item_id": "gel", "related_item_id": "brush", "score": 4.0},
        ],
    )
    rows = rows_of(similar_items(together, described, places=5))
    # "red" and the type are of 2 of 5 items, "cola" and "fizz" of one.
    shared, own = math.log1p(5 / 2) ** 2, math.log1p(5) ** 2
    by_content = 2 * shared / (2 * shared + own)
    found = {(row["item_id"], row["related_item_id"]): row for row in rows}
    assert {pair: row["score"] for pair, row in found.items()} == pytest.approx(
        {
            ("cola", "fizz"): by_content / 2,
            ("fizz", "cola"): by_content / 2,
            ("soap", "gel"): 3 / 5 / 2,
            ("gel", "soap"): 3 / 5 / 2,
        }
    )
    assert found["cola", "fizz"]["reason"] == "alike by its description"
    assert found["soap", "gel"]["reason"] == "bought with the same items"
    assert {row["kind"] for row in rows} == {"similar"}
    assert {(row["rank"], row["support"], row["baskets"], row["lift"]) for row in rows} == {
        (1, None, None, None)
    }
