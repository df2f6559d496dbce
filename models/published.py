"""Where the former release had ``models.lists.published``.

MLflow keeps a copy of the loader with each version, which imports by the names of its time; the
next release drops this.
"""

from typing import Final

import pandas as pd

from lakehouse.lists import FALLBACK, PERSONAL_LISTS, surface
from models.core.interactions import Indices
from models.lists import published
from models.lists.path import Policy
from models.lists.published import PUBLISHED_FOLDER

__all__ = ["FALLBACK_LIST", "PERSONAL_LISTS", "PUBLISHED_FOLDER", "Published"]

FALLBACK_LIST: Final = FALLBACK.name


class Published(published.Published):
    """As it is now, with the method that the former loader calls."""

    def rows(self, name: str, users: Indices, n: int) -> pd.DataFrame:
        """N items of the list ``name`` for each of ``users`` as rows."""
        return self.as_rows(self.lists(surface(name), users, Policy(size=n)))
