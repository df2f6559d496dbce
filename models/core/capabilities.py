"""What some methods can do beyond filling lists, so that nobody has to know them by their class."""

from typing import Protocol, runtime_checkable

import pandas as pd
from scipy import sparse

from models.core.base import Lists


@runtime_checkable
class FoldsIn(Protocol):
    """A method that lists items for people whom it has not seen."""

    def fold_in(self, histories: sparse.csr_array, n: int) -> Lists:
        """N sellable items for each row of ``histories`` (people x items), none of its own."""


@runtime_checkable
class TellsImportance(Protocol):
    """A method that knows how much each of its features had a say."""

    def importance(self, task: str) -> "pd.Series[float]":
        """Shares by feature for a list, the greatest first; empty where nothing was learnt."""
