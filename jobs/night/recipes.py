"""The methods as the settings configure them, by name."""

from typing import Any, Final, get_args

from jobs.config.settings import MethodName, Settings
from lakehouse.errors import ConfigurationError
from models.selection.recipe import Recipe

METHOD_NAMES: Final[tuple[MethodName, ...]] = get_args(MethodName)
# Those that need no JVM.
ON_ONE_MACHINE: Final = tuple(name for name in METHOD_NAMES if name != "spark_als")
USER_BANDS: Final = ("events_total", "days_since_last", "items_distinct", "price_band_mean")
ITEM_COLUMNS: Final = (
    "department",
    "category",
    "product_type",
    "brand",
    "manufacturer",
    "price_band",
)


def recipes(settings: Settings) -> tuple[Recipe, ...]:
    """The methods that a night tries, in the order of ``[train] methods``."""
    return tuple(recipe(name, settings) for name in settings.train.methods)


def chosen_methods(text: str | None) -> tuple[MethodName, ...]:
    """Names from a comma-separated list; all that need no JVM without one.

    Raises ``ConfigurationError`` for an unknown name.
    """
    if text is None:
        return ON_ONE_MACHINE
    names = [name.strip() for name in text.split(",")]
    if unknown := sorted(set(names) - set(METHOD_NAMES)):
        raise ConfigurationError(
            f"no method {', '.join(map(repr, unknown))}; there are {', '.join(METHOD_NAMES)}"
        )
    return tuple(name for name in METHOD_NAMES if name in names)


def recipe(name: MethodName, settings: Settings) -> Recipe:
    """One method; a fitted model of the recipe has the name too.

    ``lightfm`` is ``hybrid_lightfm`` without attributes. What the settings don't name is the
    method's own default.
    """
    train = settings.train
    counts = {"half_life_days": train.counts_half_life_days}
    seed = {"seed": train.seed}
    lightfm = {
        "components": train.components,
        "max_epochs": train.max_epochs,
        "patience": train.patience,
        "learning_rate": train.learning_rate,
        "threads": train.threads,
        **seed,
    }
    attributes = {
        "user_columns": _user_attributes(settings),
        "user_bands": list(USER_BANDS),
        "item_columns": list(ITEM_COLUMNS),
    }
    own: dict[MethodName, tuple[str, dict[str, Any]]] = {
        "popularity": ("popularity", {}),
        "decayed_counts": ("decayed_counts", counts),
        "category_popularity": ("category_popularity", counts),
        "user_knn": ("user_knn", counts),
        "item_knn": ("item_knn", counts),
        "ease": ("ease", {}),
        "implicit_als": ("implicit_als", counts | seed),
        "spark_als": ("spark_als", counts | seed),
        "content_based": ("content_based", counts | seed),
        "lightfm": ("hybrid_lightfm", lightfm),
        "hybrid_lightfm": ("hybrid_lightfm", lightfm | attributes),
        "two_stage": (
            "two_stage",
            {
                "nights": train.ranker_nights,
                "label_days": train.test_days,
                "rounds": train.ranker_rounds,
                "learning_rate": train.ranker_learning_rate,
                "leaves": train.ranker_leaves,
                "popularity_penalty": train.ranker_popularity_penalty,
                "further_sources": list(train.ranker_further_sources),
                **seed,
            },
        ),
    }
    kind, parameters = own[name]
    return Recipe(
        kind, {"popularity_half_life_days": train.popularity_half_life_days, **parameters}
    )


def _user_attributes(settings: Settings) -> list[str]:
    """The attributes that the sources give of users."""
    return sorted({name for source in settings.sources for name in source.attributes})
