"""The surfaces, declared once: what kinds of lists are served, to whom, and what shapes them.

Tables, methods, evaluation, the command line and the look-up take them from here.
"""

from dataclasses import dataclass
from typing import Final, Literal

KeyedBy = Literal["user", "item", "context", "nobody"]
Ranking = Literal["methods", "sales", "trends", "new"]
# The key of a list that is for everybody.
EVERYBODY: Final = ""


@dataclass(frozen=True, slots=True)
class Surface:
    """One kind of list.

    ``keyed_by`` says whose it is: each user has one, or each item; each context has one
    (``store_id=367``, ``category=BEER``) and everybody together; or there is one for everybody.
    ``ranked_by`` says what orders the items: methods that compete, what sells, what rises, or new
    items by sales.

    With ``filter_seen`` a list leaves out what its user has taken before; with ``explores`` new
    items get a share of its places (``[recommend] new_item_share``); with ``fills_up`` what sells
    fills the places that the ranking leaves. Who has no list of it gets one of ``fallbacks``, the
    first that there is, by their context and then as everybody.
    """

    name: str
    keyed_by: KeyedBy
    ranked_by: Ranking
    doc: str
    filter_seen: bool = False
    explores: bool = False
    fills_up: bool = True
    fallbacks: tuple[str, ...] = ()


ALL: Final = Surface(
    "all",
    keyed_by="user",
    ranked_by="methods",
    doc="whatever the user may want next",
    fallbacks=("popular", "fallback"),
)
DISCOVER: Final = Surface(
    "discover",
    keyed_by="user",
    ranked_by="methods",
    doc="what is new to the user",
    filter_seen=True,
    explores=True,
    fallbacks=("popular", "fallback"),
)
POPULAR: Final = Surface(
    "popular",
    keyed_by="context",
    ranked_by="sales",
    doc="what sells, by context",
    fallbacks=("fallback",),
)
TRENDING: Final = Surface(
    "trending",
    keyed_by="context",
    ranked_by="trends",
    doc="what sells more than usual, by context and category",
    fills_up=False,
    fallbacks=("popular", "fallback"),
)
NEW: Final = Surface(
    "new", keyed_by="nobody", ranked_by="new", doc="new items", fallbacks=("fallback",)
)
FALLBACK: Final = Surface(
    "fallback", keyed_by="nobody", ranked_by="sales", doc="what sells, for whoever has no other"
)

SURFACES: Final = (ALL, DISCOVER, POPULAR, TRENDING, NEW, FALLBACK)
LISTS: Final = tuple(surface.name for surface in SURFACES)
# Those that methods compete for.
PERSONAL: Final = tuple(surface for surface in SURFACES if surface.keyed_by == "user")
PERSONAL_LISTS: Final = tuple(surface.name for surface in PERSONAL)


def surface(name: str) -> Surface:
    """The surface of that name; raises ``KeyError`` where there is none."""
    return {surface.name: surface for surface in SURFACES}[name]
