"""What a model may know on a night; whatever is not in here cannot leak."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lakehouse.errors import DataError
from lakehouse.tables import ITEM_CONTENT_COLUMNS
from models.core.interactions import Ids, Interactions, day_number
from models.core.reactions import Reactions

CATALOGUE_COLUMNS: Final = (*ITEM_CONTENT_COLUMNS, "tags")


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """The events strictly before ``as_of``, and users and items as they were known then.

    Each frame has one row per id of its vocabulary, in vocabulary order (a range index), missing
    values where nothing is known: ``user_features`` and ``item_features`` the columns of the gold
    tables of that name, ``user_attributes`` the users' own attributes (text). ``sellable`` says of
    each item whether it may be recommended, ``excluded`` whether it never may. ``reactions`` are
    those of users to what they were shown, where any are known.
    """

    interactions: Interactions
    as_of: date
    user_features: pd.DataFrame
    user_attributes: pd.DataFrame
    item_features: pd.DataFrame
    sellable: NDArray[np.bool_]
    excluded: NDArray[np.bool_]
    reactions: Reactions | None = None

    def __post_init__(self) -> None:
        if (self.interactions.day >= day_number(self.as_of)).any():
            raise ValueError(f"a context of {self.as_of} holds events of that day or later")
        users, items = self.interactions.users, self.interactions.items
        for name, rows, expected in (
            ("user_features", len(self.user_features), users),
            ("user_attributes", len(self.user_attributes), users),
            ("item_features", len(self.item_features), items),
            ("sellable", len(self.sellable), items),
            ("excluded", len(self.excluded), items),
        ):
            if rows != expected:
                raise ValueError(f"{name} has {rows} rows, its vocabulary {expected}")

    @classmethod
    def build(
        cls,
        interactions: Interactions,
        *,
        as_of: date,
        user_features: pd.DataFrame | None = None,
        user_attributes: pd.DataFrame | None = None,
        item_features: pd.DataFrame | None = None,
        excluded_departments: Collection[str] = (),
        reactions: Reactions | None = None,
    ) -> Self:
        """Cut ``interactions`` at ``as_of`` and put the frames in vocabulary order.

        The frames name their rows in ``user_id`` or ``item_id`` and may lack ids or hold others.
        An item is sellable by the ``sellable`` column of ``item_features`` (not if unknown), or if
        that is not given, when it has an event before ``as_of`` and is of no excluded department.
        Raises ``DataError`` where an id comes twice.
        """
        known = interactions.before(as_of)
        items = align(item_features, interactions.item_ids, "item_id")
        excluded = np.zeros(known.items, dtype=np.bool_)
        if "department" in items:
            excluded = items["department"].isin(excluded_departments).to_numpy(dtype=np.bool_)
        if "sellable" in items:
            sellable = items["sellable"].eq(True).to_numpy(dtype=bool, na_value=False)
        else:
            sellable = ~known.items_without_event_before(as_of) & ~excluded
        return cls(
            interactions=known,
            as_of=as_of,
            user_features=align(user_features, interactions.user_ids, "user_id"),
            user_attributes=align(user_attributes, interactions.user_ids, "user_id"),
            item_features=items,
            sellable=sellable,
            excluded=excluded,
            reactions=reactions,
        )

    def earlier(self, night: date) -> Self:
        """What was known on an earlier night, or is of this one by the same means.

        Users' features, their reactions and items' measures are of this night, so that only the
        users' own attributes and what the catalogue says of items go along. What was sellable then
        is what had been sold and is not excluded.
        """
        events = self.interactions.before(night)
        content = [name for name in CATALOGUE_COLUMNS if name in self.item_features]
        return replace(
            self,
            interactions=events,
            as_of=night,
            user_features=pd.DataFrame(index=self.user_features.index),
            item_features=self.item_features[content],
            sellable=~events.items_without_event_before(night) & ~self.excluded,
            reactions=None,
        )


def align(frame: pd.DataFrame | None, ids: Ids, key: str) -> pd.DataFrame:
    """One row of ``frame`` per id, in the order of ``ids``; missing values for unknown ids."""
    if frame is None:
        return pd.DataFrame(index=pd.RangeIndex(len(ids)))
    keys = frame[key].astype(object)
    if keys.duplicated().any():
        raise DataError(
            f"{key}: {keys.duplicated().sum()} rows repeat an id. Select one `as_of` of the table."
        )
    rows = frame.drop(columns=key).set_axis(pd.Index(keys, dtype=object))
    aligned: pd.DataFrame = rows.reindex(pd.Index(ids, dtype=object)).reset_index(drop=True)
    return aligned
