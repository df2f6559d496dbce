"""What unknown people may be asked for: contexts that have lists of their own."""

from collections.abc import Iterable, Iterator
from typing import Final

from lakehouse.nearest import instead_of

# Columns of events, and what their time says.
EVENT_CONTEXTS: Final = ("store_id", "device")
TIME_CONTEXTS: Final = ("weekday", "hour_slot")


def mistakes(contexts: Iterable[str], attributes: Iterable[str]) -> Iterator[str]:
    """What is wrong with the names under ``[recommend] contexts``."""
    known = (*EVENT_CONTEXTS, *TIME_CONTEXTS, *attributes)
    for name in contexts:
        if name not in known:
            yield (
                f"recommend.contexts names {name!r}, which is neither of events nor an attribute "
                f"of users; {instead_of(name, known)}"
            )
