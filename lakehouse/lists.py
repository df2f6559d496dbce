"""The surfaces, declared once: what kinds of lists are served, to whom, and what shapes them.

Tables, methods, evaluation, the command line and the look-up take them from here.
"""

from dataclasses import dataclass
from typing import Final, Literal

KeyedBy = Literal["user", "nobody"]


@dataclass(frozen=True, slots=True)
class Surface:
    """One kind of list.

    ``keyed_by`` says whose it is: each user has one, or there is one for everybody. With
    ``filter_seen`` a list leaves out what its user has taken before; with ``explores`` new items
    get a share of its places (``[recommend] new_item_share``).
    """

    name: str
    keyed_by: KeyedBy
    filter_seen: bool = False
    explores: bool = False


ALL: Final = Surface("all", keyed_by="user")
DISCOVER: Final = Surface("discover", keyed_by="user", filter_seen=True, explores=True)
FALLBACK: Final = Surface("fallback", keyed_by="nobody")

SURFACES: Final = (ALL, DISCOVER, FALLBACK)
LISTS: Final = tuple(surface.name for surface in SURFACES)
# Those that methods compete for.
PERSONAL: Final = tuple(surface for surface in SURFACES if surface.keyed_by == "user")
PERSONAL_LISTS: Final = tuple(surface.name for surface in PERSONAL)


def surface(name: str) -> Surface:
    """The surface of that name; raises ``KeyError`` where there is none."""
    return {surface.name: surface for surface in SURFACES}[name]
