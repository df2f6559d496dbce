"""Settings that lie elsewhere now, so that an old configuration is told where."""

from collections.abc import Mapping
from typing import Final

Place = tuple[str, ...]

_LIGHTFM: Final = ("components", "max_epochs", "patience", "learning_rate")
_RANKER: Final = (
    "nights",
    "rounds",
    "learning_rate",
    "leaves",
    "popularity_penalty",
    "further_sources",
)

MOVED: Final[Mapping[Place, tuple[Place, ...]]] = {
    **{
        ("train", name): (("models", "hybrid_lightfm", name), ("models", "lightfm", name))
        for name in _LIGHTFM
    },
    ("gate", "cold_days"): (("train", "cold_user_days"),),
    **{("train", f"ranker_{name}"): (("models", "two_stage", name),) for name in _RANKER},
}


def setting(place: Place) -> str:
    """A place in the file as people write it: ``[models.two_stage] rounds``."""
    return f"[{'.'.join(place[:-1])}] {place[-1]}"
