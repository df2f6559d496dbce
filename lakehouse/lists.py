"""The surfaces, declared once: what kinds of lists are served, to whom, and what shapes them.

Tables, methods, evaluation, the command line and the look-up take them from here.
"""

from dataclasses import dataclass
from typing import Final, Literal

KeyedBy = Literal["user", "item", "basket", "context", "nobody"]
# Whose a list is; those of contexts' surfaces may be everybody's.
Tier = Literal["user", "item", "context", "global"]
# The key of a list that is for everybody.
EVERYBODY: Final = ""
# Shelves about an item are short, and of the rules those apply that take items away.
SHELF_SIZE: Final = 12
SHELF_RULES: Final = ("block", "require", "sensitive")


@dataclass(frozen=True, slots=True)
class Surface:
    """One kind of list.

    ``keyed_by`` says whose it is: each user has one; each item; each context (``store_id=367``,
    ``category=BEER``) and everybody together; or there is one for everybody. ``ranked_by`` says
    what orders the items: ``methods`` that compete, or one of ``jobs.night.lists.RANKINGS``. A
    basket has no list of its own: its items' lists of the surface ``ranked_by`` are mixed when it
    is asked for.

    ``size`` is the number of items shown, where it is not ``[recommend] size``. ``rules`` are the
    kinds of business rules that apply, all of them without. With ``filter_seen`` a list leaves out
    what its user has taken before, or the item that it is of; with ``explores`` new items get a
    share of its places (``[recommend] new_item_share``); with ``fills_up`` what sells fills the
    places that the ranking leaves. Who has no list of it gets one of ``fallbacks``, the first that
    there is, by their context and then as everybody; without any, none.
    """

    name: str
    keyed_by: KeyedBy
    ranked_by: str
    doc: str
    size: int | None = None
    rules: tuple[str, ...] | None = None
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
# Items' own shelves are empty where nothing is known to go with the item: noise fills no place.
BOUGHT_TOGETHER: Final = Surface(
    "bought_together",
    keyed_by="item",
    ranked_by="bought_together",
    doc="what goes with an item",
    size=SHELF_SIZE,
    rules=SHELF_RULES,
    filter_seen=True,
    fills_up=False,
)
SIMILAR: Final = Surface(
    "similar",
    keyed_by="item",
    ranked_by="similar",
    doc="what is like an item",
    size=SHELF_SIZE,
    rules=SHELF_RULES,
    filter_seen=True,
    fills_up=False,
)
CART: Final = Surface(
    "cart",
    keyed_by="basket",
    ranked_by="bought_together",
    doc="what a basket lacks",
    fallbacks=("popular", "fallback"),
)
BECAUSE_YOU_BOUGHT: Final = Surface(
    "because_you_bought",
    keyed_by="user",
    ranked_by="because_you_bought",
    doc="what goes with something the user bought lately, and is new to them",
    size=SHELF_SIZE,
    rules=SHELF_RULES,
    filter_seen=True,
    fills_up=False,
)
BUY_AGAIN: Final = Surface(
    "buy_again",
    keyed_by="user",
    ranked_by="buy_again",
    doc="what the user bought before and may want in their next order",
    fills_up=False,
)

SURFACES: Final = (
    ALL,
    DISCOVER,
    POPULAR,
    TRENDING,
    NEW,
    FALLBACK,
    BOUGHT_TOGETHER,
    SIMILAR,
    CART,
    BECAUSE_YOU_BOUGHT,
    BUY_AGAIN,
)
LISTS: Final = tuple(surface.name for surface in SURFACES)
# Those that methods compete for.
PERSONAL: Final = tuple(
    surface for surface in SURFACES if surface.keyed_by == "user" and surface.ranked_by == "methods"
)
PERSONAL_LISTS: Final = tuple(surface.name for surface in PERSONAL)
USERS_LISTS: Final = tuple(surface.name for surface in SURFACES if surface.keyed_by == "user")


def surface(name: str) -> Surface:
    """The surface of that name; raises ``KeyError`` where there is none."""
    return {surface.name: surface for surface in SURFACES}[name]
