"""Buy it again, timed: the items of a user's next order, and which of their own are due this week.

The ranker learns from past nights: the candidates as they would have been then, what was known of
them, and whether the user's next order held them. A second booster learns whether the user buys an
item of theirs within a week; how often that came true on the last of these nights turns its scores
into probabilities (isotonic regression; Zadrozny & Elkan 2002). All orders that anything is learnt
from lie before the night of the fit.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, ClassVar, Final, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy import optimize, sparse

from models.core import storage
from models.core.base import BaseRecommender
from models.core.context import Context
from models.core.interactions import Indices, Interactions, day_number
from models.core.parameters import (
    POPULARITY_HALF_LIFE_DAYS,
    CountsHalfLife,
    PopularityHalfLife,
    Real,
    Seed,
    Whole,
)
from models.core.registration import register
from models.core.topn import Ranked, stored_in, top_n_sparse
from models.core.totals import distinct, group_starts
from models.evaluation.next_basket import in_first_order
from models.ranking.boosters import Booster, binned, learn
from models.ranking.candidates import RELATIVE, Candidates, Source, candidates
from models.ranking.features import NightFeatures
from models.ranking.rhythm import Rhythm
from models.ranking.sources import LATELY_DAYS
from models.recommenders.decayed_counts import DecayedCounts
from models.recommenders.popularity import Popularity

DUE_DAYS: Final = 7
BLOCK_USERS: Final = 256
OWN_CANDIDATES: Final = 80
POPULAR_CANDIDATES: Final = 30


@dataclass(frozen=True, slots=True, eq=False)
class _Night:
    """Everybody's candidates as of one night, and what it takes to describe them.

    ``own`` says which of them the user has bought before.
    """

    candidates: Candidates
    features: NightFeatures
    rhythm: Rhythm
    own: NDArray[np.bool_]

    @classmethod
    def of(cls, context: Context, sources: Mapping[str, Source]) -> Self:
        """The candidates of everybody with events."""
        users = distinct(context.interactions.user).astype(np.int32)
        found = candidates(sources, context, users, filter_seen=False)
        return cls(
            candidates=found,
            features=NightFeatures.of(context, rebuy_days=DUE_DAYS),
            rhythm=Rhythm.of(context),
            own=stored_in(context.interactions.matrix(), found.user.astype(np.int64), found.item),
        )

    def described(self) -> Iterator[tuple[slice, pd.DataFrame]]:
        """All that is known of the candidates, ``BLOCK_USERS`` users at a time."""
        found = self.candidates
        starts = group_starts(found.user // BLOCK_USERS).tolist()
        for start, end in pairwise([0, *starts[1:], len(found.user)]):
            rows = slice(start, end)
            user, item = found.user[rows], found.item[rows]
            yield (
                rows,
                pd.concat(
                    [
                        found.scores.iloc[rows].reset_index(drop=True),
                        self.features.describe(user, item),
                        self.rhythm.describe(user, item),
                    ],
                    axis=1,
                ),
            )


class _Examples(NamedTuple):
    """Candidates drawn from those of a past night, sorted by user, with what became of them.

    ``taken`` says whether the user's next order held the item, ``bought`` whether the user bought
    it within ``DUE_DAYS``, ``own`` whether they had before. Each row stands for ``weight``
    candidates.
    """

    features: pd.DataFrame
    user: Indices
    taken: NDArray[np.bool_]
    bought: NDArray[np.bool_]
    own: NDArray[np.bool_]
    weight: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Due:
    """A booster whose scores are probabilities by the line through ``score`` and ``share``."""

    booster: Booster
    score: NDArray[np.float64]
    share: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        booster: Booster,
        score: NDArray[np.float64],
        happened: NDArray[np.bool_],
        weight: NDArray[np.float64],
    ) -> Self:
        """Calibrated so that no higher score came true less often."""
        order = np.argsort(score, kind="stable")
        share = optimize.isotonic_regression(
            happened[order].astype(np.float64), weights=weight[order]
        ).x
        return cls(booster, score[order], np.clip(share, 0, 1))

    def chance(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """The probability of each of ``rows``."""
        return np.interp(self.booster.scores(rows), self.score, self.share)


@register("buy_again")
class BuyAgain(BaseRecommender):
    """What the user's next order will hold, with the chance that their own items are due.

    The rankers learn from ``nights`` past nights, ``days_apart`` days apart, the last of them so
    many days before the night of the fit; earlier ones without events are left out. Without any to
    learn from, candidates rank by the mean of their sources' relative scores. ``rounds``,
    ``learning_rate`` and ``leaves`` are LightGBM's, about ``negatives`` of a night's candidates not
    taken are learnt from, drawn by ``seed``, and each user's first ``keep`` candidates are kept for
    lists. ``threads`` past nights are described at the same time, which changes no result.
    """

    is_elaborate: ClassVar[bool] = True

    class Configuration(BaseRecommender.Configuration):
        """What the user's next order will hold, from the rhythm of their purchases."""

        nights: Whole = Field(
            default=8, ge=1, le=100, description="Past nights that the rankers learn from."
        )
        days_apart: Whole = Field(
            default=DUE_DAYS,
            ge=DUE_DAYS,
            le=365,
            description="Days from each of them to the next, and to the night itself.",
        )
        rounds: Whole = Field(default=150, ge=1, le=100_000, description="Trees of the ranker.")
        learning_rate: Real = Field(default=0.06, gt=0, le=1, description="Their step.")
        leaves: Whole = Field(default=31, ge=2, le=131_072, description="Leaves of a tree.")
        negatives: Whole = Field(
            default=25_000,
            ge=1,
            le=1_000_000_000,
            description="About so many of a night's candidates not taken are learnt from.",
        )
        keep: Whole = Field(
            default=60,
            ge=1,
            le=100_000,
            description="First candidates of each user that lists are made of.",
        )
        popularity_half_life_days: PopularityHalfLife = POPULARITY_HALF_LIFE_DAYS
        half_life_days: CountsHalfLife = 120.0
        seed: Seed = 42
        threads: Whole = Field(
            default=2, ge=1, le=1024, description="Past nights at work at the same time."
        )

    configuration: Configuration

    def __init__(self, **parameters: object) -> None:
        """Raise ``ConfigurationError`` for an unknown or wrong parameter."""
        super().__init__(**parameters)
        self._ranked = sparse.csr_array((0, 0))
        self._due = sparse.csr_array((0, 0))

    @property
    def due(self) -> sparse.csr_array:
        """Users x items: the chance that the user buys the item within ``DUE_DAYS``.

        Stored for the user's own items among those kept for lists; empty where no past night could
        say how often such things came true.
        """
        return self._due

    def _learn(self, context: Context) -> None:
        past = self._training_nights(context)
        with ThreadPoolExecutor(self.configuration.threads) as pool:
            now = pool.submit(self._night, context)
            examples = list(pool.map(lambda night: self._examples(context, night), past))
            ranker = pool.submit(self._learn_order, examples)
            due = pool.submit(self._learn_due, examples)
            night, boosters = now.result(), (ranker.result(), due.result())
        self._keep(night, *boosters)

    def _training_nights(self, context: Context) -> list[date]:
        """The last one first."""
        first, chosen = int(np.min(context.interactions.day)), self.configuration
        nights = (
            context.as_of - timedelta(days=chosen.days_apart * back)
            for back in range(1, chosen.nights + 1)
        )
        return [night for night in nights if day_number(night) > first]

    def _night(self, context: Context) -> _Night:
        chosen = self.configuration
        popular = {"popularity_half_life_days": chosen.popularity_half_life_days}
        return _Night.of(
            context,
            {
                "own": Source(
                    DecayedCounts(half_life_days=chosen.half_life_days),
                    candidates=OWN_CANDIDATES,
                    depth=OWN_CANDIDATES,
                ),
                "popular": Source(
                    Popularity(**popular), candidates=POPULAR_CANDIDATES, depth=POPULAR_CANDIDATES
                ),
                "popular_lately": Source(
                    Popularity(popularity_half_life_days=LATELY_DAYS),
                    candidates=POPULAR_CANDIDATES,
                    depth=POPULAR_CANDIDATES,
                ),
            },
        )

    def _examples(self, context: Context, as_of: date) -> _Examples:
        night = self._night(context.earlier(as_of))
        user, item = night.candidates.user, night.candidates.item
        later = context.interactions.between(as_of, context.as_of)
        taken = _holds(later.select(in_first_order(later)), user, item)
        bought = _holds(later.between(as_of, as_of + timedelta(days=DUE_DAYS)), user, item)
        random = np.random.default_rng([self.configuration.seed, day_number(as_of)])
        not_taken = max(int(np.count_nonzero(~taken)), 1)
        share = min(self.configuration.negatives / not_taken, 1.0)
        chosen = taken | (random.random(len(user)) < share)
        features = [block[chosen[rows]] for rows, block in night.described()]
        return _Examples(
            features=pd.concat(features, ignore_index=True),
            user=user[chosen],
            taken=taken[chosen],
            bought=bought[chosen],
            own=night.own[chosen],
            weight=np.where(taken, 1.0, 1 / share)[chosen],
        )

    def _learn_order(self, examples: Sequence[_Examples]) -> Booster | None:
        """The ranker of the next order; none where no candidate was ever taken."""
        parts = [(part, _of_takers(part)) for part in examples]
        if not any(chosen.any() for _, chosen in parts):
            return None
        return self._booster(
            "lambdarank",
            np.concatenate([part.features[chosen].to_numpy() for part, chosen in parts]),
            np.concatenate([part.taken[chosen] for part, chosen in parts]),
            names=[str(name) for name in examples[0].features],
            group=np.concatenate(
                [np.unique(part.user[chosen], return_counts=True)[1] for part, chosen in parts]
            ),
        )

    def _learn_due(self, examples: Sequence[_Examples]) -> _Due | None:
        """Whether own items are bought within ``DUE_DAYS``, calibrated on the last past night.

        None with fewer than two past nights, or where nothing was bought again on one of them.
        """
        earlier = examples[1:]
        if not any((part.bought & part.own).any() for part in earlier):
            return None
        booster = self._booster(
            "binary",
            np.concatenate([part.features[part.own].to_numpy() for part in earlier]),
            np.concatenate([part.bought[part.own] for part in earlier]),
            names=[str(name) for name in examples[0].features],
        )
        last = examples[0]
        score = booster.scores(last.features[last.own])
        return _Due.of(booster, score, last.bought[last.own], last.weight[last.own])

    def _booster(
        self,
        objective: str,
        features: NDArray[np.float32],
        label: NDArray[np.bool_],
        *,
        names: Sequence[str],
        group: NDArray[np.int64] | None = None,
    ) -> Booster:
        chosen = self.configuration
        parameters = {
            "objective": objective,
            "learning_rate": chosen.learning_rate,
            "num_leaves": chosen.leaves,
            "min_data_in_leaf": 100,
            "feature_fraction": 0.25,
            "lambda_l2": 10.0,
            "max_bin": 63,
            "lambdarank_truncation_level": 20,
            "seed": chosen.seed,
        }
        examples = binned(
            features,
            names=names,
            label=label.astype(np.float32),
            group=np.array([len(label)]) if group is None else group,
            parameters=parameters,
        )
        return Booster(learn(examples, parameters, chosen.rounds))

    def _keep(self, night: _Night, order: Booster | None, due: _Due | None) -> None:
        """Score all candidates of the night, and keep each user's first and when they are due."""
        found, allowed = night.candidates, self.known.sellable
        score = np.empty(len(found.user))
        chance = np.zeros(len(found.user))
        for rows, block in night.described():
            score[rows] = (
                block.filter(like=RELATIVE).fillna(0).mean(axis=1)
                if order is None
                else order.scores(block)
            )
            if due is not None:
                chance[rows] = due.chance(block)
        ranked = np.lexsort((found.item, -score, found.user))
        ranked = ranked[allowed[found.item[ranked]]]
        user = found.user[ranked]
        place = np.arange(len(user)) - np.searchsorted(user, user)
        kept = ranked[place < self.configuration.keep]
        self._ranked = self._matrix(found, kept, score)
        own = kept[night.own[kept]] if due is not None else kept[:0]
        self._due = self._matrix(found, own, chance)

    def _matrix(
        self, found: Candidates, rows: NDArray[np.int64], values: NDArray[np.float64]
    ) -> sparse.csr_array:
        return sparse.csr_array(
            (values[rows], (found.user[rows], found.item[rows])),
            shape=(len(self.user_ids), len(self.item_ids)),
        )

    def _rank(
        self,
        users: Indices,
        n: int,
        allowed: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> Ranked:
        return top_n_sparse(self._ranked[users], n, allowed=allowed, exclude=exclude)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            **storage.pack_matrix("ranked", self._ranked),
            **storage.pack_matrix("due", self._due),
        }

    def _restore(self, arrays: storage.Arrays) -> None:
        self._ranked = storage.unpack_matrix("ranked", arrays)
        self._due = storage.unpack_matrix("due", arrays)


def _holds(events: Interactions, user: Indices, item: Indices) -> NDArray[np.bool_]:
    """Whether ``events`` hold each pair; the pairs are unique."""
    held = distinct(events.user.astype(np.int64) * events.items + events.item)
    return np.isin(user.astype(np.int64) * events.items + item, held, assume_unique=True)


def _of_takers(examples: _Examples) -> NDArray[np.bool_]:
    """The rows of users who took a candidate: of others there is no order to learn."""
    return np.isin(examples.user, examples.user[examples.taken])
