"""Every method by its kind, so that a configuration or a saved model can name it."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from lakehouse.errors import ConfigurationError
from models.core import storage
from models.core.base import BaseRecommender
from models.ranking.two_stage import TwoStage
from models.recommenders.als import ImplicitAls
from models.recommenders.category_popularity import CategoryPopularity
from models.recommenders.content_based import ContentBased
from models.recommenders.decayed_counts import DecayedCounts
from models.recommenders.ease import Ease
from models.recommenders.knn import ItemKnn, UserKnn
from models.recommenders.lightfm_model import HybridLightFM
from models.recommenders.popularity import Popularity

METHODS: Mapping[str, type[BaseRecommender]] = {
    method.kind: method
    for method in (
        Popularity,
        DecayedCounts,
        UserKnn,
        ItemKnn,
        Ease,
        ImplicitAls,
        ContentBased,
        HybridLightFM,
        CategoryPopularity,
        TwoStage,
    )
}

# Classes outside of this package, which may import what models must not; loaded when asked for.
ELSEWHERE: Final = {"spark_als": ("jobs.research.spark_als", "SparkAls")}

# What anybody would try first: a method that takes more than these has to be surely better.
HEURISTICS: Final = frozenset({"popularity", "decayed_counts", "user_knn", "item_knn"})


def build(kind: str, parameters: Mapping[str, Any]) -> BaseRecommender:
    """An unfitted recommender; raises ``ConfigurationError`` for an unknown kind or parameter."""
    method = _method(kind)
    try:
        return method(**parameters)
    except TypeError as error:
        raise ConfigurationError(f"method {kind}: {error}") from error


def load(folder: Path) -> BaseRecommender:
    """Read a saved model of any kind; raises ``DataError`` where it is missing or damaged."""
    return _method(storage.read(folder).kind).load(folder)


def _method(kind: str) -> type[BaseRecommender]:
    if kind in ELSEWHERE:
        module, name = ELSEWHERE[kind]
        found: type[BaseRecommender] = getattr(import_module(module), name)
        return found
    if kind not in METHODS:
        known = ", ".join(sorted({*METHODS, *ELSEWHERE}))
        raise ConfigurationError(f"no method {kind!r}; there are {known}")
    return METHODS[kind]
