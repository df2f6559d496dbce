"""Labels of users by what they did before a night, for figures by segment."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.core.interactions import Interactions
from models.evaluation.protocol import active_days

Labels = NDArray[np.object_]

QUARTERS = 4


def activity(history: Interactions) -> Labels:
    """Quarters of the users with events by their active days, e.g. ``2 (18 to 40 days)``.

    Users with equally many days share a quarter; ``None`` for users without events.
    """
    return quarters(active_days(history))


def quarters(days: NDArray[np.int64]) -> Labels:
    """As ``activity``, from each user's active days."""
    known = days > 0
    labels: Labels = np.full(len(days), None, dtype=object)
    if not known.any():
        return labels
    bounds = np.quantile(days[known], np.arange(1, QUARTERS) / QUARTERS)
    quarter = np.searchsorted(bounds, days)
    for number in range(QUARTERS):
        members = known & (quarter == number)
        if members.any():
            low, high = days[members].min(), days[members].max()
            labels[members] = f"{number + 1} ({low} to {high} days)"
    return labels


def favourite(history: Interactions, classes: "pd.Series[str]") -> Labels:
    """The class of items (one per item of the vocabulary) of most of the user's events.

    Equals are decided by the alphabet; ``None`` for users without events of a known class.
    """
    codes, names = pd.factorize(classes.astype(object), sort=True)
    code = codes[history.item]
    counts = (
        pd.DataFrame({"user": history.user, "code": code})[code >= 0]
        .groupby(["user", "code"], sort=True)
        .size()
        .reset_index(name="events")
        .sort_values(["user", "events", "code"], ascending=[True, False, True])
        .drop_duplicates("user")
    )
    labels: Labels = np.full(history.users, None, dtype=object)
    labels[counts["user"].to_numpy()] = np.asarray(names, dtype=object)[counts["code"].to_numpy()]
    return labels
