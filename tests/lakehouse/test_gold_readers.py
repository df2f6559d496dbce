"""Every column of the gold features has a reader; one without is retired (decision 3)."""

import re
from typing import Final

import pytest

from lakehouse.tables import ITEM_FEATURES, USER_FEATURES, USER_ITEM_FEATURES, Table
from tests.project import ROOT

INPUTS: Final = "jobs/night/inputs.py"
# What a shop's people may ask of items and users.
RULES: Final = "docs/rules.md"
CONTENT: Final = "models/recommenders/content_based.py"

READERS: Final = {
    USER_ITEM_FEATURES: {
        "run_date": INPUTS,
        "as_of": INPUTS,
        "user_id": INPUTS,
        "item_id": INPUTS,
        "events_total": "models/lists/reasons.py",
        "active_days": "features/item_features.py",
        "days_since_last": INPUTS,
        "mean_gap_days": "models/lists/reasons.py",
    },
    USER_FEATURES: {
        "run_date": INPUTS,
        "as_of": INPUTS,
        "user_id": INPUTS,
        "events_total": "models/recommenders/lightfm_model.py",
        "events_7d": RULES,
        "events_30d": RULES,
        "events_90d": RULES,
        "events_365d": RULES,
        "active_days": RULES,
        "days_since_first": RULES,
        "days_since_last": "models/recommenders/lightfm_model.py",
        "mean_gap_days": RULES,
        "orders_total": RULES,
        "items_distinct": "models/recommenders/lightfm_model.py",
        "repeat_share": RULES,
        "departments_distinct": RULES,
        "value_total": RULES,
        "value_per_order": RULES,
        "unit_price": RULES,
        "price_band_mean": "models/lists/rules/moving.py",
        "discount_share": RULES,
    },
    ITEM_FEATURES: {
        "run_date": INPUTS,
        "as_of": INPUTS,
        "item_id": INPUTS,
        "events_total": RULES,
        "events_7d": RULES,
        "events_30d": RULES,
        "events_90d": RULES,
        "events_365d": RULES,
        "active_days": RULES,
        "days_since_first": INPUTS,
        "days_since_last": RULES,
        "mean_gap_days": RULES,
        "buyers_total": "models/lists/rules/moving.py",
        "repeat_buyer_share": RULES,
        "unit_price": RULES,
        "price_band": "models/lists/rules/moving.py",
        "in_catalogue": "jobs/steps/features.py",
        "sellable": "models/core/context.py",
        "title": "models/lists/reasons.py",
        "department": CONTENT,
        "category": CONTENT,
        "product_type": CONTENT,
        "brand": CONTENT,
        "manufacturer": CONTENT,
        "package_size": RULES,
        "tags": CONTENT,
    },
}


@pytest.mark.parametrize("table", READERS, ids=lambda table: table.full_name)
def test_every_column_of_the_gold_features_has_a_reader(table: Table) -> None:
    assert tuple(READERS[table]) == table.column_names
    for column, reader in READERS[table].items():
        assert re.search(rf"\b{column}\b", (ROOT / reader).read_text()), f"{reader}: {column}"
