"""Buy it again, timed: the items of a user's next order, and which of their own are due this week.

The rankers learn from past nights: the candidates as they would have been then, what was known of
them, and whether the user's next order held them. One booster learns what an item adds to the NDCG
of a list if it is in it, which is what lists for that order have to be sorted by: 1 / the ideal
gain of the order if that holds the item, else 0, with a logistic loss. One learns LambdaRank
(Burges 2010). Their scores, each divided by its standard deviation, are added up.

Another booster learns whether the user buys an item of theirs within a week; how often that came
true on the last of these nights turns its scores into probabilities (isotonic regression; Zadrozny
& Elkan 2002). All orders that anything is learnt from lie before the night of the fit.
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
from models.core.capabilities import DUE_DAYS
from models.core.context import Context
from models.core.interactions import Indices, day_number
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
from models.evaluation.metrics import ideal_gain
from models.evaluation.next_basket import in_first_order
from models.evaluation.primary import PLACES
from models.ranking.boosters import REGULARISED, Booster, binned, learn
from models.ranking.candidates import (
    RELATIVE,
    Candidates,
    Source,
    candidates,
    first_rows,
    training_nights,
)
from models.ranking.features import NightFeatures
from models.ranking.rhythm import Rhythm
from models.ranking.sources import LATELY_DAYS
from models.recommenders.decayed_counts import DecayedCounts
from models.recommenders.popularity import Popularity

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

    ``came`` says whether the user has ordered since; ``gain`` is what the item adds to the NDCG of
    a list for the user's next order, 0 if that did not hold it; ``bought`` says whether the user
    bought the item within ``DUE_DAYS``, ``own`` whether they had before. Each row stands for
    ``weight`` candidates.
    """

    features: pd.DataFrame
    user: Indices
    came: NDArray[np.bool_]
    gain: NDArray[np.float64]
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
        rounds: Whole = Field(default=150, ge=1, le=100_000, description="Trees of each booster.")
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

    @property
    def again(self) -> sparse.csr_array:
        """Users x items: the scores of those that ``due`` has a chance of."""
        return sparse.csr_array(self._ranked.multiply(self._due > 0))

    def _learn(self, context: Context) -> None:
        chosen = self.configuration
        past = training_nights(context, count=chosen.nights, days_apart=chosen.days_apart)
        with ThreadPoolExecutor(self.configuration.threads) as pool:
            now = pool.submit(self._night, context)
            examples = list(pool.map(lambda night: self._examples(context, night), past))
            learnt = [
                pool.submit(method, examples) for method in (self._learn_gain, self._learn_rank)
            ]
            due = pool.submit(self._learn_due, examples)
            rankers = [ranker for one in learnt if (ranker := one.result()) is not None]
            self._keep(now.result(), rankers, due.result())

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
        orders = later.select(in_first_order(later)).matrix()
        size = np.diff(orders.indptr)
        taken = stored_in(orders, user.astype(np.int64), item)
        week = later.between(as_of, as_of + timedelta(days=DUE_DAYS)).matrix()
        bought = stored_in(week, user.astype(np.int64), item)
        random = np.random.default_rng([self.configuration.seed, day_number(as_of)])
        not_taken = max(int(np.count_nonzero(~taken)), 1)
        share = min(self.configuration.negatives / not_taken, 1.0)
        chosen = taken | (random.random(len(user)) < share)
        features = [block[chosen[rows]] for rows, block in night.described()]
        return _Examples(
            features=pd.concat(features, ignore_index=True),
            user=user[chosen],
            came=(size > 0)[user[chosen]],
            gain=np.where(taken, 1 / ideal_gain(np.maximum(size, 1), PLACES)[user], 0)[chosen],
            bought=bought[chosen],
            own=night.own[chosen],
            weight=np.where(taken, 1.0, 1 / share)[chosen],
        )

    def _learn_gain(self, examples: Sequence[_Examples]) -> Booster | None:
        """What items add to lists for the next order; none where nothing was ever taken."""
        if not any(part.gain.any() for part in examples):
            return None
        return self._booster(
            "cross_entropy",
            examples,
            [part.came for part in examples],
            np.concatenate([part.gain[part.came] for part in examples]),
            weight=np.concatenate([part.weight[part.came] for part in examples]),
        )

    def _learn_rank(self, examples: Sequence[_Examples]) -> Booster | None:
        """Which items of a user come first in the next order; none where nothing was ever taken."""
        # Of users who took none of their candidates there is no order to learn.
        chosen = [np.isin(part.user, part.user[part.gain > 0]) for part in examples]
        if not any(rows.any() for rows in chosen):
            return None
        both = list(zip(examples, chosen, strict=True))
        return self._booster(
            "lambdarank",
            examples,
            chosen,
            np.concatenate([part.gain[rows] > 0 for part, rows in both]),
            group=np.concatenate(
                [np.unique(part.user[rows], return_counts=True)[1] for part, rows in both]
            ),
        )

    def _learn_due(self, examples: Sequence[_Examples]) -> _Due | None:
        """Whether own items are bought within ``DUE_DAYS``, calibrated on the last past night.

        None with fewer than two past nights, or where nothing was bought again after the earlier.
        """
        earlier = examples[1:]
        if not any((part.bought & part.own).any() for part in earlier):
            return None
        booster = self._booster(
            "binary",
            earlier,
            [part.own for part in earlier],
            np.concatenate([part.bought[part.own] for part in earlier]),
        )
        last = examples[0]
        score = booster.scores(last.features[last.own])
        return _Due.of(booster, score, last.bought[last.own], last.weight[last.own])

    def _booster(
        self,
        objective: str,
        examples: Sequence[_Examples],
        chosen: Sequence[NDArray[np.bool_]],
        label: NDArray[Any],
        *,
        group: NDArray[np.int64] | None = None,
        weight: NDArray[np.float64] | None = None,
    ) -> Booster:
        """Learn the ``label`` of the ``chosen`` rows."""
        own = self.configuration
        parameters = {
            "objective": objective,
            "learning_rate": own.learning_rate,
            "num_leaves": own.leaves,
            "seed": own.seed,
            **REGULARISED,
        }
        rows = [
            part.features[of].to_numpy(dtype=np.float32)
            for part, of in zip(examples, chosen, strict=True)
        ]
        ready = binned(
            np.concatenate(rows),
            names=[str(name) for name in examples[0].features],
            label=label.astype(np.float32),
            parameters=parameters,
            group=group,
            weight=weight,
        )
        return Booster(learn(ready, parameters, own.rounds))

    def _keep(self, night: _Night, rankers: Sequence[Booster], due: _Due | None) -> None:
        """Score all candidates of the night, and keep each user's first and when they are due."""
        found = night.candidates
        raw = np.empty((max(len(rankers), 1), len(found.user)))
        chance = np.zeros(len(found.user))
        for rows, block in night.described():
            raw[0, rows] = block.filter(like=RELATIVE).fillna(0).mean(axis=1)
            for row, ranker in enumerate(rankers):
                raw[row, rows] = ranker.scores(block)
            if due is not None:
                chance[rows] = due.chance(block)
        score = np.zeros(len(found.user))
        for of_ranker in raw:
            score += of_ranker / (of_ranker.std() or 1.0)
        kept = first_rows(found, score, self.known.sellable, self.configuration.keep)
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
