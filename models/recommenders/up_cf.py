"""UP-CF: how regularly the user and those like them took an item lately."""

from datetime import timedelta

from pydantic import Field

from models.core.context import Context
from models.core.parameters import MAX_DAYS, Real, Whole
from models.core.registration import register
from models.recommenders.baskets import Baskets
from models.recommenders.neighbours import nearest_by_cosine
from models.recommenders.sparse_product import SparseProduct


@register("up_cf")
class UpCf(SparseProduct):
    """Recency-aware user-wise popularity with collaborative filtering (Faggioli et al., UMAP 2020).

    An item's popularity with a user is the share of the user's baskets of the last ``window_days``
    that hold it. The score is its sum over the ``neighbours`` users most similar to the user, who
    is one of them, weighted by ``similarity ** locality``; similarity is the asymmetric cosine,
    ``u v / (|u|^2 ** asymmetry * |v|^2 ** (1 - asymmetry))``.
    """

    class Configuration(SparseProduct.Configuration):
        """How regularly the user and those like them took an item (Faggioli et al. 2020)."""

        window_days: Whole = Field(
            default=235, ge=1, le=MAX_DAYS, description="Baskets of so many days count."
        )
        asymmetry: Real = Field(
            default=0.75, ge=0, le=1, description="How much the user's own length counts."
        )
        locality: Real = Field(
            default=5.0, gt=0, le=100, description="Exponent of similarity: the nearest weigh more."
        )
        neighbours: Whole = Field(
            default=1100, ge=1, le=100_000, description="Most similar users that count."
        )

    configuration: Configuration

    def _learn(self, context: Context) -> None:
        events, chosen = context.interactions, self.configuration
        since = context.as_of - timedelta(days=chosen.window_days)
        baskets = Baskets.of(events.between(since, context.as_of))
        shares = 1 / baskets.count[baskets.user]
        self._right = baskets.matrix(shares, (events.users, events.items))
        self._left = nearest_by_cosine(self._right, chosen.neighbours, chosen.asymmetry)
        self._left.data = self._left.data**chosen.locality
