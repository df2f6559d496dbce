"""Where recommenders are known by name: each registers itself where it is written."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from models.core.base import BaseRecommender

    Method = TypeVar("Method", bound=type[BaseRecommender])

# By name; ``models.lists.catalogue`` sees to it that all modules that register have been loaded.
REGISTERED: Final[dict[str, "type[BaseRecommender]"]] = {}


def register(name: str) -> "Callable[[Method], Method]":
    """Make a class known by ``name``: in ``[train] methods``, ``[models.NAME]`` and saved models.

    Raises ``ValueError`` where another class has the name.
    """

    def keep(method: "Method") -> "Method":
        other = REGISTERED.get(name)
        # A module that is loaded again defines the same class again.
        if other is not None and _place(other) != _place(method):
            raise ValueError(f"two methods are named {name!r}: {_place(other)}, {_place(method)}")
        method.kind = name
        REGISTERED[name] = method
        return method

    return keep


def _place(method: type) -> str:
    return f"{method.__module__}.{method.__qualname__}"
