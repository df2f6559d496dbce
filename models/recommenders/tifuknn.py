"""TIFUKNN: what a user takes often and lately, blended with what like-minded users take."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from models.core.context import Context
from models.core.parameters import Real, Whole
from models.core.registration import register
from models.recommenders.baskets import Baskets
from models.recommenders.neighbours import nearest_by_distance
from models.recommenders.sparse_product import SparseProduct


@register("tifuknn")
class TifuKnn(SparseProduct):
    """Temporal item frequency with user kNN (Hu et al., SIGIR 2020).

    A user's baskets, in order of time, are dealt into at most ``groups`` groups of about equal
    size, the later ones the larger. An item weighs the mean over the groups' means of
    ``within_decay ** baskets since`` and ``group_decay ** groups since``. The score is
    ``own_share`` of the user's weight and the rest of the mean weight of the ``neighbours`` users
    nearest by Euclidean distance.
    """

    class Configuration(SparseProduct.Configuration):
        """What a user takes often and lately, blended with like-minded users' (Hu et al. 2020)."""

        groups: Whole = Field(
            default=14, ge=1, le=1000, description="Groups that a user's baskets are dealt into."
        )
        group_decay: Real = Field(
            default=0.6, gt=0, le=1, description="What a group weighs against the next one."
        )
        within_decay: Real = Field(
            default=1.0, gt=0, le=1, description="What a basket weighs against the next of a group."
        )
        neighbours: Whole = Field(
            default=500, ge=1, le=100_000, description="Nearest other users that count."
        )
        own_share: Real = Field(
            default=0.4, ge=0, le=1, description="Share of the user's own weights in the score."
        )

    configuration: Configuration

    def _learn(self, context: Context) -> None:
        events, chosen = context.interactions, self.configuration
        baskets = Baskets.of(events)
        self._right = baskets.matrix(self._weights(baskets), (events.users, events.items))
        near = nearest_by_distance(self._right, chosen.neighbours)
        found = np.diff(near.indptr)
        near.data = np.repeat((1 - chosen.own_share) / np.maximum(found, 1), found)
        own = sparse.diags_array(np.full(events.users, chosen.own_share))
        self._left = sparse.csr_array(own + near)

    def _weights(self, baskets: Baskets) -> NDArray[np.float64]:
        """What each entry adds to its pair's weight."""
        chosen = self.configuration
        count = baskets.count[baskets.user]
        groups = np.minimum(count, chosen.groups)
        size, larger = np.divmod(count, groups)
        # The last `larger` groups have a basket more; all is counted from the last basket.
        since = baskets.since()
        in_larger = since < larger * (size + 1)
        beyond = since - larger * (size + 1)
        group = np.where(in_larger, since // (size + 1), larger + beyond // size)
        within = np.where(in_larger, since % (size + 1), beyond % size)
        members = np.where(in_larger, size + 1, size)
        of_group = chosen.group_decay**group / groups
        return np.asarray(of_group * chosen.within_decay**within / members)
