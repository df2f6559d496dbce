"""What it takes to show an item, stored in a release beside its lists.

A record's key is that of a list called ``details``, which no surface is, of the item. Its value is
eight hexadecimal digits as a list's are, and JSON with the item's title, category and price.
"""

import json
import math
from typing import Final

from serving.format.records import key, list_of, sealed

DETAILS: Final = "details"


def details_key(item_id: str) -> bytes:
    """The key of an item's details."""
    return key(DETAILS, item_id)


def encode_details(
    record_key: bytes, title: str | None, category: str | None, price: float | None
) -> bytes:
    """The value to store; the price is what a unit sells for, in the currency of the events.

    One that is no number is not known.
    """
    is_known = price is not None and math.isfinite(price)
    content = {"title": title, "category": category, "price": price if is_known else None}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return sealed(record_key, text.encode("utf-8", "surrogatepass"))


def is_list(record_key: bytes) -> bool:
    """Whether a record is a list, not an item's details."""
    return list_of(record_key) != DETAILS
