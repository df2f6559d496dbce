"""The settings with the parameters of every method, as the methods themselves declare them.

To know these, all methods have to be loaded, with the libraries that they stand on. Who answers
people reads the settings without, ``[models.*]`` unseen (docs/decisions/0008).
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field, create_model

import jobs.methods
from jobs.config.environment import sections_of
from models.core.base import BaseRecommender
from models.core.capabilities import FoldsIn
from models.core.parameters import Parameters
from models.lists import catalogue

Section = TypeVar("Section", bound=BaseModel)

catalogue.include(jobs.methods)


def all_methods() -> Mapping[str, type[BaseRecommender]]:
    """Every method that can be configured, by name in alphabetical order."""
    return catalogue.methods()


def knowing_methods(settings: type[Section]) -> type[Section]:
    """``settings`` whose ``[train] methods`` and ``[models.*]`` are those that there are."""
    return _complete(settings, tuple(all_methods().items()))


@lru_cache(maxsize=1)
def _complete(
    settings: type[Section], methods: tuple[tuple[str, type[BaseRecommender]], ...]
) -> type[Section]:
    base = sections_of(settings)["train"]
    names = tuple(name for name, _ in methods)
    train = create_model(
        base.__name__,
        __base__=base,
        __doc__=base.__doc__,
        methods=(tuple[Literal[names], ...], base.model_fields["methods"]),  # type: ignore[valid-type]
    )
    tables: dict[str, Any] = {
        name: (method.Configuration, Field(default_factory=method.Configuration))
        for name, method in methods
    }
    lists = sections_of(settings)["recommend"]
    folding = tuple(name for name, method in methods if issubclass(method, FoldsIn))
    newcomers: Any = Literal[folding]
    recommend = create_model(
        lists.__name__,
        __base__=lists,
        __doc__=lists.__doc__,
        newcomers=(newcomers, lists.model_fields["newcomers"]),
    )
    models = create_model("Models", __base__=Parameters, **tables)
    return create_model(
        settings.__name__,
        __base__=settings,
        train=(train, Field(default_factory=train)),
        recommend=(recommend, Field(default_factory=recommend)),
        models=(models, Field(default_factory=models)),
    )
