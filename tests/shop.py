"""A small made-up shop for model tests: two tastes, repeat purchases, cold users and items."""

from datetime import date, timedelta

import numpy as np
import pandas as pd

from models.core.context import Context
from models.core.interactions import Interactions

USERS, ITEMS, DAYS = 60, 40, 120
FIRST_DAY = date(2024, 1, 1)
AS_OF = FIRST_DAY + timedelta(days=90)
COLD_USER, UNSOLD_ITEM, UNSELLABLE_ITEM = 59, 39, 0


def events() -> pd.DataFrame:
    """Even users take even items, odd users odd ones; user 59 and item 39 have no event."""
    random = np.random.default_rng(7)
    count = 1200
    user = random.integers(COLD_USER, size=count)
    popular_first = np.floor(random.beta(1, 2.5, size=count) * (ITEMS // 2 - 1))
    item = 2 * popular_first.astype(int) + user % 2
    day = random.integers(DAYS, size=count)
    frame = pd.DataFrame(
        {
            "user_id": [f"u{index:02}" for index in user],
            "item_id": [f"i{index:02}" for index in item],
            "event_date": pd.Timestamp(FIRST_DAY) + pd.to_timedelta(day, unit="D"),
            "quantity": random.integers(1, 4, size=count).astype(float),
            "value": random.uniform(0.5, 20, size=count),
        }
    )
    return frame[frame["item_id"] != f"i{UNSOLD_ITEM:02}"]


def interactions() -> Interactions:
    """The events over vocabularies that hold the cold user and the unsold item too."""
    return Interactions.from_frame(
        events(),
        user_ids=[f"u{index:02}" for index in range(USERS)],
        item_ids=[f"i{index:02}" for index in range(ITEMS)],
    )


def item_features() -> pd.DataFrame:
    """Content that tells even items from odd ones; item 0 must not be sold."""
    index = np.arange(ITEMS)
    return pd.DataFrame(
        {
            "item_id": [f"i{place:02}" for place in index],
            "title": [f"{'even' if place % 2 == 0 else 'odd'} thing {place}" for place in index],
            "department": np.where(index % 2 == 0, "EVEN", "ODD"),
            "category": [f"C{place % 4}" for place in index],
            "product_type": [f"T{place % 8}" for place in index],
            "brand": np.where(index % 3 == 0, "Private", "National"),
            "tags": [["red"] if place % 5 == 0 else [] for place in index],
            "sellable": index != UNSELLABLE_ITEM,
        }
    )


def user_attributes() -> pd.DataFrame:
    """An attribute that tells even users from odd ones, unknown for some."""
    index = np.arange(USERS)
    club = pd.Series(np.where(index % 2 == 0, "even", "odd"), dtype=object)
    return pd.DataFrame(
        {"user_id": [f"u{place:02}" for place in index], "club": club.where(index % 7 != 2)}
    )


def context() -> Context:
    """The shop as known at ``AS_OF``."""
    return Context.build(
        interactions(),
        as_of=AS_OF,
        user_attributes=user_attributes(),
        item_features=item_features(),
    )
