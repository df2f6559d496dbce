"""A row of items because of one that the user bought: which one, and what goes with it.

The source item is one that the user bought lately, may buy again, and of whose shelf enough is new
to them; of several, what they bought most often, then most recently.
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from models.core.content import scale_columns
from models.core.interactions import UNKNOWN, Ids, index_of
from models.core.topn import rows_of
from models.lists.keyed import KeyedScores

TAKEN_COLUMNS: Final = ("user_id", "item_id", "events_total", "days_since_last")
# Who bought it longer ago will not remember.
RECENT_DAYS: Final = 28
# A row of fewer items is not worth its heading.
LEAST_NEW: Final = 4
BLOCK_PAIRS: Final = 100_000


def because_you_bought(
    shelves: KeyedScores,
    taken: pd.DataFrame,
    user_ids: Ids,
    item_ids: Ids,
    sellable: NDArray[np.bool_],
    *,
    name: str,
) -> KeyedScores:
    """The shelf of one item for each user (rows without entries where no item is fit).

    ``shelves`` are keyed by item; ``taken`` has the ``TAKEN_COLUMNS`` of all users and items. What
    a user took before is their ``own``, which a surface of new items leaves out.
    """
    pairs = taken.assign(
        user=index_of(user_ids, taken["user_id"]), item=index_of(item_ids, taken["item_id"])
    )
    pairs = pairs[(pairs["user"] != UNKNOWN) & (pairs["item"] != UNKNOWN)]
    shape = (len(user_ids), len(item_ids))
    own = sparse.csr_array(
        (np.ones(len(pairs), dtype=np.bool_), (pairs["user"], pairs["item"])), shape=shape
    )
    shelf_of = np.full(len(item_ids), UNKNOWN, dtype=np.int32)
    shelf_of[index_of(item_ids, shelves.user_ids)] = np.arange(len(shelves.user_ids))
    shelf_of[~sellable] = UNKNOWN
    pairs = pairs.assign(shelf=shelf_of[pairs["item"]])
    pairs = pairs[(pairs["shelf"] != UNKNOWN) & (pairs["days_since_last"] <= RECENT_DAYS)]
    listed = scale_columns(sparse.csr_array(shelves.scores > 0), sellable.astype(np.float64))
    pairs = pairs[_new_items(pairs, listed, own) >= LEAST_NEW]
    chosen = pairs.sort_values(
        ["user", "events_total", "days_since_last", "item"], ascending=[True, False, True, True]
    ).drop_duplicates("user")
    user, shelf = chosen["user"].to_numpy(), chosen["shelf"].to_numpy()
    pick = sparse.csr_array(
        (np.ones(len(user)), (user, shelf)), shape=(len(user_ids), len(shelves.user_ids))
    )
    about = np.full(len(user_ids), "", dtype=object)
    about[user] = shelves.user_ids[shelf]
    return KeyedScores(name, user_ids, sparse.csr_array(pick @ shelves.scores), own, about)


def _new_items(
    pairs: pd.DataFrame, listed: sparse.csr_array, own: sparse.csr_array
) -> NDArray[np.int64]:
    """How many items of each pair's shelf its user has not taken yet."""
    counts = np.zeros(len(pairs), dtype=np.int64)
    user, shelf = pairs["user"].to_numpy(), pairs["shelf"].to_numpy()
    for start in range(0, len(pairs), BLOCK_PAIRS):
        block = slice(start, start + BLOCK_PAIRS)
        rows = rows_of(listed, shelf[block])
        known = rows.multiply(rows_of(own, user[block]))
        counts[block] = np.asarray((rows - known).sum(axis=1)).ravel()
    return counts
