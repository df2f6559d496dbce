"""Where the former release had ``models.core.interactions``; see ``models.published``."""

from models.core.interactions import index_of

__all__ = ["index_of"]
