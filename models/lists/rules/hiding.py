"""Rules by which items are not shown; they train all the same."""

from datetime import date
from typing import Literal

from pydantic import Field

from models.lists.rules.conditions import Mask
from models.lists.rules.rule import Rule, Said
from models.lists.rules.shelf import Shelf


class Block(Rule):
    """The items are not shown."""

    kind: Literal["block"]

    def hides(self, shelf: Shelf) -> Mask | None:
        """Those that match."""
        return self.chosen(shelf)


class Require(Rule):
    """Only the items are shown, such as those in stock, or with a price."""

    kind: Literal["require"]

    def hides(self, shelf: Shelf) -> Mask | None:
        """Those that don't match, or of which it is not known."""
        return ~self.chosen(shelf)


class Sensitive(Rule):
    """The items are shown once somebody has approved."""

    kind: Literal["sensitive"]
    approved_by: Said | None = Field(default=None, description="Who has approved.")
    approved_on: date | None = Field(default=None, description="When.")

    def hides(self, shelf: Shelf) -> Mask | None:
        """Those that match, without an approval on record."""
        if self.approved_by is not None and self.approved_on is not None:
            return None
        return self.chosen(shelf)
