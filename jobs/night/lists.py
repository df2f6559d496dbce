"""The lists of a night, from its published methods to rows."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from jobs.config.settings import Settings
from jobs.night.inputs import read_contexts
from lakehouse.lists import FALLBACK, SURFACES
from models.core.interactions import index_of
from models.lists.context_popularity import popular_in_context
from models.lists.path import FILL_UP_SOURCE, Policy
from models.lists.published import Published
from models.lists.rules.shelf import Shelf
from models.tracking.versions import Provenance

BLOCK_USERS = 20_000


def served_lists(
    settings: Settings,
    source: Provenance,
    published: Published,
    user_ids: "pd.Series[str]",
    *,
    policy: Policy,
    shelf: Shelf | None,
) -> Iterator[pd.DataFrame]:
    """Each list of each user, and those for unknown users, some thousand users at a time.

    The policy's rules look at the ``shelf``; without rules there need not be one. Lists for unknown
    users stand under an empty user id, and by context under e.g. ``store_id=367``. Columns
    ``list``, ``user_id``, ``rank``, ``item_id``, ``score`` and ``source``.
    """
    everybody = np.sort(user_ids.to_numpy(dtype=object))
    for surface in SURFACES:
        asked = everybody if surface.keyed_by == "user" else np.array([""], dtype=object)
        for start in range(0, len(asked), BLOCK_USERS):
            ids = asked[start : start + BLOCK_USERS]
            lists = published.lists(surface, index_of(published.user_ids, ids), policy, shelf)
            rows = published.as_rows(lists)
            yield rows.assign(list=surface.name, user_id=ids[rows["row"]]).drop(columns="row")
    yield from contextual_lists(settings, source, published, policy)


def contextual_lists(
    settings: Settings, source: Provenance, published: Published, policy: Policy
) -> Iterator[pd.DataFrame]:
    """Fallback lists by context, e.g. under the user id ``store_id=367``; columns as there."""
    columns = settings.recommend.contexts
    if not columns:
        return
    events = read_contexts(settings, source.table_versions, source.run_date, columns)
    listable = set(published.item_ids[published.assortment.sellable])
    events = events[events["item_id"].isin(listable)]
    for column in columns:
        yield (
            popular_in_context(
                events,
                column,
                as_of=source.run_date,
                half_life_days=settings.train.popularity_half_life_days,
                size=policy.size,
            )
            .rename(columns={"context": "user_id"})
            .assign(list=FALLBACK.name, source=FILL_UP_SOURCE)
        )
