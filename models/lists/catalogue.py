"""Every method by its name, so that a configuration or a saved model can name it.

Methods register themselves (``models.core.registration``); here the modules that do are loaded,
once, when a method is asked for that is not known yet, or all are.
"""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from lakehouse.errors import ConfigurationError
from models import ranking, recommenders
from models.core import storage
from models.core.base import BaseRecommender
from models.core.registration import REGISTERED

_packages: Final = [recommenders, ranking]
_loaded: Final[set[str]] = set()


def include(package: ModuleType) -> None:
    """Look for methods in a further package, which may import what ``models`` must not."""
    if package not in _packages:
        _packages.append(package)


def methods() -> Mapping[str, type[BaseRecommender]]:
    """All registered methods by name, in alphabetical order."""
    _discover()
    return dict(sorted(REGISTERED.items()))


def method(name: str) -> type[BaseRecommender]:
    """The method of that name; raises ``ConfigurationError`` where there is none."""
    if name not in REGISTERED:
        _discover()
    if name not in REGISTERED:
        raise ConfigurationError(f"no method {name!r}; there are {', '.join(methods())}")
    return REGISTERED[name]


def heuristics() -> frozenset[str]:
    """What anybody would try first."""
    return frozenset(name for name, kind in methods().items() if kind.is_heuristic)


def build(name: str, parameters: Mapping[str, Any]) -> BaseRecommender:
    """An unfitted recommender; raises ``ConfigurationError`` for an unknown name or parameter."""
    return method(name)(**parameters)


def load(folder: Path) -> BaseRecommender:
    """Read a saved model of any kind; raises ``DataError`` where it is missing or damaged."""
    return method(storage.read(folder).kind).load(folder)


def _discover() -> None:
    for package in _packages:
        if package.__name__ not in _loaded:
            for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
                import_module(module.name)
            _loaded.add(package.__name__)
