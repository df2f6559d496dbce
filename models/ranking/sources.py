"""What each ranker of the two stages chooses from: the tasks, and the methods that propose items.

``all``
    Whatever the user may take next, their own items above all.
``discover``
    Items that are new to the user.
``new``
    Items that are new to everybody, without an event until ``NEW_ITEM_DAYS`` before the night.
    Among all others they have no chance, since little is known of them.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final, Literal, TypeAlias

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
NEW_ITEM_DAYS: Final = 28

FurtherSource: TypeAlias = Literal["lightfm", "content"]


def sources(task: str, further: Collection[FurtherSource]) -> Mapping[str, Source]:
    """The first stage of ``task`` by name, unfitted; ``discover`` has those of ``further`` too."""
    if task == "all":
        return {
            "own": Source(DecayedCounts(half_life_days=120), candidates=60, depth=60),
            "popular": Source(Popularity(), candidates=20, depth=20),
        }
    lately = Popularity(popularity_half_life_days=7)
    if task == "new":
        return {
            "popular_lately": Source(lately, candidates=40, depth=100),
            "similar_users": Source(UserKnn(), candidates=20, depth=100),
            "in_type": Source(CategoryPopularity(share_half_life_days=7), candidates=20, depth=100),
            "content": Source(ContentBased(), candidates=20, depth=100),
        }
    more = {
        "lightfm": Source(PureLightFM(components=32, max_epochs=4), candidates=60, depth=200),
        "content": Source(ContentBased(), candidates=40, depth=200),
    }
    return {
        "similar_users": Source(UserKnn(), candidates=100, depth=200),
        "goes_with": Source(Ease(catalogue=2000), candidates=60, depth=200),
        "in_type": Source(CategoryPopularity(), candidates=50, depth=200),
        "popular": Source(Popularity(), candidates=60, depth=200),
        "popular_lately": Source(lately, candidates=40, depth=200),
        **{name: source for name, source in more.items() if name in further},
    }


def offered(task: str, context: Context) -> Context:
    """``context`` with no more than the items that ``task`` chooses from ``sellable``."""
    if task != "new":
        return context
    since = context.as_of - timedelta(days=NEW_ITEM_DAYS)
    is_new = context.interactions.items_without_event_before(since)
    return replace(context, sellable=context.sellable & is_new)
