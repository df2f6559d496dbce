"""What users made of the items that they were shown, as the API heard of it before a night."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from models.core import storage
from models.core.interactions import UNKNOWN, Ids, Indices, index_of

# What says that the user took notice; what was shown before it was not ignored.
NOTICED: Final = ("click", "cart", "purchase")
PAIR: Final = ["user", "item"]


@dataclass(frozen=True, slots=True, eq=False)
class Reactions:
    """Three matrices of users x items, of those users alone who have reacted.

    ``user_ids`` names the rows, sorted; columns are those of the night's vocabulary. ``dismissed``
    is stored where the user does not want the item, ``bought`` where they bought it by way of a
    list, in days since the last time. ``ignored`` weighs how often the item was shown since the
    user last took notice of it.
    """

    user_ids: Ids
    dismissed: sparse.csr_array
    bought: sparse.csr_array
    ignored: sparse.csr_array

    @classmethod
    def of(
        cls,
        feedback: pd.DataFrame,
        user_ids: Ids,
        item_ids: Ids,
        *,
        as_of: date,
        half_life_days: float,
        weight: float,
    ) -> Self:
        """Read ``user_id``, ``item_id``, ``event_type`` and ``event_ts`` of days before ``as_of``.

        Users and items outside of the vocabularies are passed over. An impression after which the
        user neither clicked the item nor put it into the cart nor bought it counts
        ``weight * 0.5 ** (age / half_life_days)``, its age in days at ``as_of``.
        """
        midnight = datetime.combine(as_of, time.min, UTC)
        known = feedback[feedback["event_ts"] < midnight]
        events = known.assign(
            user=_places(known["user_id"], user_ids),
            item=_places(known["item_id"], item_ids),
            age=(pd.Timestamp(midnight) - known["event_ts"].dt.floor("D")).dt.days,
        )
        events = events[(events["user"] != UNKNOWN) & (events["item"] != UNKNOWN)]
        reacted, events["user"] = np.unique(events["user"], return_inverse=True)
        kind = events["event_type"]
        noticed = events[kind.isin(NOTICED)].groupby(PAIR)["event_ts"].max().rename("noticed")
        shown = events[kind == "impression"].join(noticed, on=PAIR)
        ignored = shown[~(shown["event_ts"] <= shown["noticed"])]
        bought = events[kind == "purchase"].groupby(PAIR)["age"].min().reset_index()
        dismissed = events[kind == "dismissal"].drop_duplicates(PAIR)

        def matrix(pairs: pd.DataFrame, values: ArrayLike, kind: type) -> sparse.csr_array:
            place = (pairs["user"].to_numpy(), pairs["item"].to_numpy())
            shape = (len(reacted), len(item_ids))
            return sparse.coo_array((np.asarray(values, dtype=kind), place), shape=shape).tocsr()

        return cls(
            user_ids=user_ids[reacted],
            dismissed=matrix(dismissed, np.ones(len(dismissed)), np.bool_),
            bought=matrix(bought, bought["age"], np.int32),
            ignored=matrix(ignored, weight * 0.5 ** (ignored["age"] / half_life_days), np.float32),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as plain arrays."""
        return {
            **storage.pack_ids("reacted", self.user_ids),
            **storage.pack_matrix("dismissed", self.dismissed),
            **storage.pack_matrix("bought", self.bought),
            **storage.pack_matrix("ignored", self.ignored),
        }

    @classmethod
    def from_arrays(cls, arrays: storage.Arrays) -> Self | None:
        """The inverse of ``arrays``; ``None`` where there are none of it."""
        if "reacted_ends" not in arrays:
            return None
        names = ("dismissed", "bought", "ignored")
        matrices = (storage.unpack_matrix(name, arrays) for name in names)
        return cls(storage.unpack_ids("reacted", arrays), *matrices)


def _places(ids: "pd.Series[str]", vocabulary: Ids) -> Indices:
    """The position of each id; each different one is looked up once."""
    codes, different = pd.factorize(ids)
    return index_of(vocabulary, different)[codes]
