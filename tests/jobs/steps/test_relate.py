"""The step that relates items, from silver to ``gold.item_related``."""

from datetime import date
from pathlib import Path
from typing import Any

from jobs.steps.relate import run
from lakehouse.io.lake import Lakehouse
from lakehouse.tables import ITEM_RELATED, SILVER_INTERACTIONS, SILVER_ITEMS
from tests.jobs.steps.test_features import AFTER, CATALOGUE, NIGHT, add, purchase, settings_in
from tests.rows import stored


def bought(number: int, *items: str, **values: Any) -> list[dict[str, Any]]:
    day = values.pop("day", date(2024, 2, 15))
    return [
        purchase(f"u{number}", item, day, order_id=f"o{number}", quantity=1.0) | values
        for item in items
    ]


HISTORY = [
    *(row for number in range(6) for row in bought(number, "milk", "bread")),
    *(row for number in range(6, 18) for row in bought(number, "soap")),
    # Not known on the night: too late, taken in later, or no purchase.
    *bought(18, "milk", "soap", day=NIGHT),
    *bought(19, "milk", "soap", ingest_date=NIGHT.replace(day=2)),
    *(row for number in range(20, 29) for row in bought(number, "milk", "soap", event_type="cart")),
    *bought(30, *[f"stock{number}" for number in range(101)]),
]


def test_a_night_knows_its_baskets_and_again_gives_the_same(
    lake: Lakehouse, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path)
    add(lake, SILVER_ITEMS, CATALOGUE)
    add(lake, SILVER_INTERACTIONS, HISTORY)
    report = run(lake, settings, run_date=NIGHT)
    rows = stored(lake.root, ITEM_RELATED)
    assert [(row["item_id"], row["related_item_id"], row["reason"]) for row in rows] == [
        ("bread", "milk", "in 6 of 6 baskets"),
        ("milk", "bread", "in 6 of 6 baskets"),
    ]
    assert {row["kind"] for row in rows} == {"bought_together"}
    assert {row["run_date"] for row in rows} == {NIGHT}
    assert dict(report.rows) == {"gold.item_related": 2}
    assert dict(report.facts) == {
        "baskets": 19,
        "giant_baskets": 1,
        "bought_together_rows": 2,
        "similar_rows": 0,
    }
    assert report.warnings == ()

    # Another night keeps its own rows, and a second run changes nothing.
    run(lake, settings, run_date=AFTER)
    run(lake, settings, run_date=NIGHT)
    kept = [row for row in stored(lake.root, ITEM_RELATED) if row["run_date"] == NIGHT]
    assert kept == rows


def test_a_shop_without_purchases_has_no_shelves_and_is_told_so(
    lake: Lakehouse, tmp_path: Path
) -> None:
    add(lake, SILVER_INTERACTIONS, [row | {"event_type": "view"} for row in HISTORY[:30]])
    report = run(lake, settings_in(tmp_path), run_date=NIGHT)
    assert stored(lake.root, ITEM_RELATED) == []
    assert report.warnings == (
        "no two items are together in enough of the 0 baskets to say that they go together, so no "
        "item has a shelf of what goes with it.",
    )
