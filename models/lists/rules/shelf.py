"""What rules look at: items and people as they were known on a night."""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from models.core.context import Context
from models.core.interactions import Ids, day_number
from models.lists.rules.conditions import Coded, Condition, Mask, matching

ITEM_ID = "item_id"
AGE = "age_days"


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """Items and users with their attributes, a row per id of the vocabulary in its order.

    Of items there are ``item_id``, ``age_days`` (days since the first event, missing without any)
    and the columns of gold.item_features; of users their own attributes and the columns of
    gold.user_features. A value that is not known is missing. ``days_since`` (users x items) holds
    the days since somebody took an item last, where they did.
    """

    items: pd.DataFrame
    users: pd.DataFrame
    days_since: sparse.csr_array
    item_ids: pd.Index
    _items: dict[str, Mask] = field(default_factory=dict)
    _people: dict[str, Mask] = field(default_factory=dict)
    _coded_items: dict[str, Coded] = field(default_factory=dict)
    _coded_people: dict[str, Coded] = field(default_factory=dict)

    @classmethod
    def of(cls, context: Context) -> Self:
        """What ``context`` knows."""
        events = context.interactions
        first = np.full(events.items, np.nan)
        np.fmin.at(first, events.item, events.day)
        return cls.build(
            events.item_ids,
            day_number(context.as_of) - first,
            context.item_features,
            pd.concat([context.user_attributes, context.user_features], axis=1),
            events.days_since_last(context.as_of),
        )

    @classmethod
    def build(
        cls,
        item_ids: Ids,
        age_days: NDArray[np.float64],
        items: pd.DataFrame,
        users: pd.DataFrame,
        days_since: sparse.csr_array,
    ) -> Self:
        """From frames in vocabulary order; ``age_days`` is NaN for items without an event."""
        known = items.assign(**{ITEM_ID: item_ids, AGE: age_days})
        return cls(known, users, days_since, pd.Index(item_ids, dtype=object))

    def with_people(self, users: pd.DataFrame, days_since: sparse.csr_array) -> Self:
        """The same items with others for people; what was looked up of items is kept."""
        return replace(self, users=users, days_since=days_since, _people={}, _coded_people={})

    def matching(self, condition: Condition) -> Mask:
        """The items that meet ``condition``, looked up once."""
        return _once(self._items, self.items, condition, self._coded_items)

    def people(self, condition: Condition) -> Mask:
        """The users that meet ``condition``, looked up once."""
        return _once(self._people, self.users, condition, self._coded_people)

    def codes(self, attribute: str) -> NDArray[np.int32]:
        """A number for each item's value of ``attribute``, the same for equal ones; -1 if unknown.

        An attribute that the night lacks is unknown of all items.
        """
        if attribute not in self.items:
            return np.full(len(self.items), -1, dtype=np.int32)
        if attribute not in self._coded_items:
            self._coded_items[attribute] = Coded.of(self.items[attribute])
        return self._coded_items[attribute].codes


def _once(
    found: dict[str, Mask], frame: pd.DataFrame, condition: Condition, coded: dict[str, Coded]
) -> Mask:
    said = repr(condition)
    if said not in found:
        found[said] = matching(frame, condition, coded)
    return found[said]
