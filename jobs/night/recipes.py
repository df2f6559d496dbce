"""The methods as the settings configure them, by name."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from jobs.config.methods import all_methods
from jobs.config.rules import active_rules
from jobs.config.settings import Settings
from lakehouse.errors import ConfigurationError
from lakehouse.lists import BUY_AGAIN
from models.core.parameters import shared_names
from models.evaluation.protocol import Cold
from models.lists import catalogue
from models.lists.path import Policy
from models.selection.choice import Terms
from models.selection.recipe import Recipe


def recipes(settings: Settings) -> tuple[Recipe, ...]:
    """The methods that a night tries, in the order of ``[train] methods``."""
    return tuple(recipe(name, settings) for name in settings.train.methods)


def chosen_methods(text: str | None) -> tuple[str, ...]:
    """Names from a comma-separated list; without one all that need not be named.

    Raises ``ConfigurationError`` for an unknown name.
    """
    methods = all_methods()
    if text is None:
        return tuple(name for name, method in methods.items() if not method.only_when_named)
    names = [name.strip() for name in text.split(",")]
    if unknown := sorted(set(names) - set(methods)):
        raise ConfigurationError(
            f"no method {', '.join(map(repr, unknown))}; there are {', '.join(methods)}"
        )
    return in_order(names)


def in_order(names: Sequence[str]) -> tuple[str, ...]:
    """Each of the ``names`` once, in the order of all methods."""
    return tuple(name for name in all_methods() if name in names)


def recipe(name: str, settings: Settings) -> Recipe:
    """One method; a fitted model of the recipe has the name too.

    It is configured by ``[models.NAME]``, by ``[train]`` in what all methods share, and by its own
    defaults in all else. Raises ``ConfigurationError`` for an unknown name.
    """
    night = _shared(settings)
    shared = shared_names(catalogue.method(name).Configuration)
    return Recipe(
        name,
        {field: night[value] for field, value in shared.items()} | settings.parameters(name),
    )


def newcomers_recipe(settings: Settings) -> Recipe:
    """The method that lists for people of whom only a few items are known."""
    return recipe(settings.recommend.newcomers, settings)


def repeats_recipe(settings: Settings) -> Recipe:
    """The method that times what people buy again."""
    return recipe(BUY_AGAIN.ranked_by, settings)


def terms(settings: Settings) -> Terms:
    """By what a night chooses among its methods."""
    return Terms(seed=settings.train.seed, constant_share=settings.gate.constant_share)


def policy(settings: Settings, run_date: date) -> Policy:
    """What is decided about the lists of a night, whoever ranks them.

    Raises ``ConfigurationError`` where the rules are wrong.
    """
    wanted = settings.recommend
    return Policy(
        size=wanted.size,
        new_item_share=wanted.new_item_share,
        new_item_days=wanted.new_item_days,
        popularity_half_life_days=settings.train.popularity_half_life_days,
        seed=settings.train.seed,
        book=active_rules(settings, run_date),
    )


def served_policy(settings: Settings, run_date: date) -> Policy:
    """The policy of lists that are published: with spare places for those of denied items."""
    judged, spare = policy(settings, run_date), settings.recommend.spare_places
    return replace(judged, size=judged.size + spare, spare=spare)


def cold(settings: Settings) -> Cold:
    """Who and what counts as cold where methods are judged."""
    return Cold(settings.train.cold_user_days, settings.recommend.new_item_days)


def _shared(settings: Settings) -> dict[str, Any]:
    """The values that methods share, by the names of ``models.core.parameters.Shared``."""
    attributes = {name for source in settings.sources for name in source.attributes}
    return {
        **settings.train.model_dump(),
        "new_item_days": settings.recommend.new_item_days,
        "user_attributes": sorted(attributes),
    }
