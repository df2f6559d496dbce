"""What each ranker of the two stages chooses from: the tasks, and the methods that propose items.

``all``
    Whatever the user may take next, their own items above all.
``discover``
    Items that are new to the user.
``new``
    Items that are new to everybody, without an event until ``Given.new_item_days`` before the
    night.
    Among all others they have no chance, since little is known of them.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final, Literal, NamedTuple, TypeAlias

from models.core.context import Context
from models.ranking.candidates import Source
from models.recommenders.category_popularity import CategoryPopularity
from models.recommenders.content_based import ContentBased
from models.recommenders.decayed_counts import DecayedCounts
from models.recommenders.ease import Ease
from models.recommenders.knn import UserKnn
from models.recommenders.lightfm_model import PureLightFM
from models.recommenders.popularity import Popularity

# The longest to learn first, so that two threads end at about the same time.
TASKS: Final = ("discover", "all", "new")
# The memory of what sells lately.
LATELY_DAYS: Final = 7.0

FurtherSource: TypeAlias = Literal["lightfm", "content"]


class Given(NamedTuple):
    """What the first stage is told: values that methods share, and further candidate sources."""

    popularity_half_life_days: float
    half_life_days: float
    new_item_days: int
    seed: int
    further: tuple[FurtherSource, ...] = ()


def sources(task: str, given: Given) -> Mapping[str, Source]:
    """The first stage of ``task`` by name, unfitted; ``discover`` has the further sources too."""
    popularity = {"popularity_half_life_days": given.popularity_half_life_days}
    counts = {"half_life_days": given.half_life_days}
    seed = {"seed": given.seed}
    popular = Popularity(**popularity)
    if task == "all":
        return {
            "own": Source(DecayedCounts(**counts), candidates=60, depth=60),
            "popular": Source(popular, candidates=20, depth=20),
        }
    lately = Popularity(popularity_half_life_days=LATELY_DAYS)
    similar = UserKnn(**counts)
    if task == "new":
        in_type = CategoryPopularity(**counts, share_half_life_days=LATELY_DAYS)
        return {
            "popular_lately": Source(lately, candidates=40, depth=100),
            "similar_users": Source(similar, candidates=20, depth=100),
            "in_type": Source(in_type, candidates=20, depth=100),
            "content": Source(
                ContentBased(**popularity, **counts, **seed), candidates=20, depth=100
            ),
        }
    lightfm = PureLightFM(**seed, components=32, max_epochs=4)
    more = {
        "lightfm": Source(lightfm, candidates=60, depth=200),
        "content": Source(ContentBased(**popularity, **counts, **seed), candidates=40, depth=200),
    }
    return {
        "similar_users": Source(similar, candidates=100, depth=200),
        "goes_with": Source(Ease(catalogue=2000), candidates=60, depth=200),
        "in_type": Source(CategoryPopularity(**counts), candidates=50, depth=200),
        "popular": Source(popular, candidates=60, depth=200),
        "popular_lately": Source(lately, candidates=40, depth=200),
        **{name: source for name, source in more.items() if name in given.further},
    }


def offered(task: str, context: Context, new_item_days: int) -> Context:
    """``context`` with no more than the items that ``task`` chooses from ``sellable``."""
    if task != "new":
        return context
    since = context.as_of - timedelta(days=new_item_days)
    is_new = context.interactions.items_without_event_before(since)
    return replace(context, sellable=context.sellable & is_new)
