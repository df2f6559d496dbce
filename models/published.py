"""Where the former release had ``models.lists.published``.

MLflow keeps a copy of the loader with each version, which imports by the names of its time; the
next release drops this.
"""

from models.lists.published import FALLBACK_LIST, PERSONAL_LISTS, PUBLISHED_FOLDER, Published

__all__ = ["FALLBACK_LIST", "PERSONAL_LISTS", "PUBLISHED_FOLDER", "Published"]
