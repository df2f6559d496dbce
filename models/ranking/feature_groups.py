"""The ranker's features by what they tell of, so that the value of each kind can be measured."""

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, get_args

Group: TypeAlias = Literal[
    "sources",
    "pair recency and frequency",
    "pair rhythm",
    "amounts and prices",
    "promotions",
    "product type",
    "category",
    "user",
    "item",
]
GROUPS: Final[tuple[Group, ...]] = get_args(Group)
RHYTHM: Final = frozenset(
    {
        "mean_gap",
        "last_gap",
        "overdue",
        "overdue_by_item",
        "trips_since_last",
        "share_of_trips",
        "overdue_in_trips",
    }
)
AMOUNTS: Final = frozenset({"mean_units", "value_total", "unit_price", "item_unit_price"})
PROMOTIONS: Final = ("discount_share", "price_change")
PREFIXES: Final[tuple[tuple[str, Group], ...]] = (
    ("product_type_", "product type"),
    ("share_of_product_type_", "product type"),
    ("category_", "category"),
    ("share_of_category_", "category"),
    ("user_", "user"),
    ("item_", "item"),
    ("decayed_", "pair recency and frequency"),
)
SOURCE_SUFFIXES: Final = ("_score", "_relative")


def group_of(feature: str) -> Group:
    """The group of a feature by its name, one of ``GROUPS``."""
    if feature in RHYTHM:
        return "pair rhythm"
    if feature in AMOUNTS:
        return "amounts and prices"
    if any(name in feature for name in PROMOTIONS):
        return "promotions"
    for prefix, group in PREFIXES:
        if feature.startswith(prefix):
            return group
    return "sources" if feature.endswith(SOURCE_SUFFIXES) else "pair recency and frequency"


def members(group: str, features: Iterable[str]) -> list[str]:
    """Those of ``features`` that belong to ``group``."""
    return [feature for feature in features if group_of(feature) == group]
