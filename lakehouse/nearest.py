"""What a person who mistyped a name may have meant."""

from collections.abc import Iterable
from difflib import get_close_matches

SHOWN_NAMES = 3


def nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """The known names that ``name`` looks like, the likest first; none where all are far."""
    by_small = {other.lower(): other for other in known}
    return tuple(by_small[hit] for hit in get_close_matches(name.lower(), by_small, SHOWN_NAMES))


def instead_of(name: str, known: Iterable[str]) -> str:
    """The end of a sentence on an unknown name: what it looks like, or else all that is known."""
    names = tuple(known)
    if near := nearest(name, names):
        return f"did you mean {_listed(near)}?"
    return f"known are {_listed(names)}"


def _listed(names: tuple[str, ...]) -> str:
    *first, last = (f"`{name}`" for name in names)
    return f"{', '.join(first)} or {last}" if first else last
