"""Candidates from several methods, ranked by gradient-boosted trees.

The ranker learns from past nights: the candidates as they would have been then, what was known of
them then, and which of them the user took in the days after. Those days end before the night on
which the model is fitted, so that nothing later can leak.

Two boosters score each candidate, one trained on a logistic loss and one on LambdaRank (Burges
2010); their scores, each divided by its standard deviation, are averaged.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from lakehouse.lists import ALL, DISCOVER, PERSONAL_LISTS
from models.core import content, storage
from models.core.base import BaseRecommender
from models.core.capabilities import LearnsFromFeatures
from models.core.context import CATALOGUE_COLUMNS, Context
from models.core.interactions import Indices, Interactions, day_number
from models.core.memory import Memory
from models.core.parameters import (
    NEW_ITEM_DAYS,
    POPULARITY_HALF_LIFE_DAYS,
    CountsHalfLife,
    NewItemDays,
    PopularityHalfLife,
    Range,
    Real,
    Seed,
    TestDays,
    Whole,
)
from models.core.registration import register
from models.core.topn import Ranked, row_of_each, stored_in, top_n_sparse
from models.core.totals import distinct, group_starts
from models.ranking.boosters import REGULARISED, Booster, Dataset, binned, learn
from models.ranking.candidates import (
    RELATIVE,
    Candidates,
    candidates,
    first_rows,
    training_nights,
)
from models.ranking.feature_groups import GROUPS, Group, group_of, members
from models.ranking.features import NightFeatures
from models.ranking.sources import TASKS, FurtherSource, Given, offered, sources

OBJECTIVES: Final = ("binary", "lambdarank")
# A fit's own night and three past ones; the next fit of a training shares all but one of them.
MEMORY_NIGHTS: Final = 4
BLOCK_USERS: Final = 128

# Rows of candidates, and what is known of each.
_Block = tuple[slice, pd.DataFrame]


@dataclass(frozen=True, slots=True, eq=False)
class _Night:
    """By task, everybody's candidates as of one night, and what it takes to describe them.

    All descriptions are many times as large, so that they are made when and while they are needed.
    """

    candidates: dict[str, Candidates]
    features: NightFeatures

    @classmethod
    def of(cls, context: Context, label_days: int, given: Given, threads: int) -> Self:
        """The candidates of everybody with events, by sources that are told what is ``given``."""
        users = distinct(context.interactions.user).astype(np.int32)

        def found(task: str) -> Candidates:
            return candidates(
                sources(task, given),
                offered(task, context, given.new_item_days),
                users,
                filter_seen=task != "all",
            )

        with ThreadPoolExecutor(threads) as pool:
            by_task = pool.map(found, TASKS)
            features = pool.submit(NightFeatures.of, context, rebuy_days=label_days)
            return cls(dict(zip(TASKS, by_task, strict=True)), features.result())

    def names(self, task: str) -> list[str]:
        """The columns of ``described``."""
        found = self.candidates[task]
        return [*found.scores, *self.features.describe(found.user[:1], found.item[:1])]

    def described(self, task: str) -> Iterator[_Block]:
        """All that is known of the candidates, ``BLOCK_USERS`` users at a time."""
        found = self.candidates[task]
        starts = group_starts(found.user // BLOCK_USERS).tolist()
        for start, end in pairwise([0, *starts[1:], len(found.user)]):
            rows = slice(start, end)
            scores = found.scores.iloc[rows].reset_index(drop=True)
            known = self.features.describe(found.user[rows], found.item[rows])
            yield rows, pd.concat([scores, known], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class _Examples:
    """The ``chosen`` candidates of a past night with what became of them.

    ``group`` counts each user's rows in order.
    """

    night: _Night
    chosen: NDArray[np.bool_]
    taken: NDArray[np.bool_]
    group: NDArray[np.int64]


@register("two_stage")
class TwoStage(LearnsFromFeatures):
    """Three rankers: of all items, of items new to the user, and of items new to everybody.

    The list of items new to the user ends with those new to everybody that are not in it yet.

    The last of ``nights`` past nights lies ``label_days`` before the night of the fit, the others
    ``label_days`` apart before it; earlier ones without events are left out. Without any night to
    learn from, candidates rank by the mean of their sources' relative scores. ``rounds``,
    ``learning_rate`` and ``leaves`` are LightGBM's (the third ranker has half the trees and
    leaves), about ``negatives`` of a night's candidates not taken are learnt from, drawn by
    ``seed``, ``popularity_penalty * log(1 + buyers)`` is taken off a score so that lists cover more
    of the catalogue, and each user's first ``keep`` candidates are kept for lists.
    ``without`` names groups of features (``feature_groups``) that are not learnt from,
    ``further_sources`` optional ones of ``sources``. With two ``threads`` two rankers'
    candidates are collected, and two rankers learnt, at the same time, which does not change any
    result.
    """

    is_elaborate: ClassVar[bool] = True
    groups: ClassVar[tuple[str, ...]] = GROUPS

    class Configuration(BaseRecommender.Configuration):
        """Candidates from several methods, ranked by gradient-boosted trees."""

        nights: Whole = Field(
            default=3,
            ge=1,
            le=100,
            description="Past nights, `label_days` apart, that the rankers learn from.",
        )
        label_days: TestDays = 28
        rounds: Annotated[Whole, Range(40, 300, log=True)] = Field(
            default=100, ge=1, le=100_000, description="Trees of each booster."
        )
        learning_rate: Annotated[Real, Range(0.02, 0.2, log=True)] = Field(
            default=0.08, gt=0, le=1, description="Their step."
        )
        leaves: Annotated[Whole, Range(8, 63, log=True)] = Field(
            default=31, ge=2, le=131_072, description="Leaves of a tree."
        )
        negatives: Whole = Field(
            default=50_000,
            ge=1,
            le=1_000_000_000,
            description="About so many of a night's candidates not taken are learnt from.",
        )
        popularity_penalty: Annotated[Real, Range(0.0, 0.4)] = Field(
            default=0.1,
            ge=0,
            le=100,
            description="Taken off a score for each factor e of an item's buyers.",
        )
        keep: Whole = Field(
            default=100,
            ge=1,
            le=100_000,
            description="First candidates of each user that lists are made of.",
        )
        without: tuple[Group, ...] = Field(
            default=(), description="Groups of features that are not learnt from."
        )
        further_sources: tuple[FurtherSource, ...] = Field(
            default=(), description="Methods that propose new items besides the usual ones."
        )
        popularity_half_life_days: PopularityHalfLife = POPULARITY_HALF_LIFE_DAYS
        half_life_days: CountsHalfLife = 120.0
        new_item_days: NewItemDays = NEW_ITEM_DAYS
        seed: Seed = 42
        threads: Whole = Field(
            default=2, ge=1, le=1024, description="Rankers at work at the same time."
        )

    configuration: Configuration

    def __init__(self, **parameters: object) -> None:
        """Raise ``ConfigurationError`` for an unknown or wrong parameter."""
        super().__init__(**parameters)
        self._ranked: dict[str, sparse.csr_array] = {}
        self._boosters: dict[str, str] = {}

    def _learn(self, context: Context) -> None:
        chosen = self.configuration
        past = training_nights(context, count=chosen.nights, days_apart=chosen.label_days)
        *earlier, now = [self._night(context, night) for night in (*past, context.as_of)]

        def learn_task(task: str) -> tuple[dict[str, str], sparse.csr_array]:
            examples = [
                self._examples(task, as_of, night, context.interactions)
                for as_of, night in zip(past, earlier, strict=True)
            ]
            learnable = [part for part in examples if part.taken.any()]
            learnt = self._train(task, learnable) if learnable else {}
            found = now.candidates[task]
            score = self._score(
                found, now.described(task), [Booster(text) for text in learnt.values()]
            )
            return learnt, self._first(found, score)

        with ThreadPoolExecutor(self.configuration.threads) as pool:
            by_task = dict(zip(TASKS, pool.map(learn_task, TASKS), strict=True))
        self._boosters = {
            f"{task}_{objective}": text
            for task, (learnt, _) in by_task.items()
            for objective, text in learnt.items()
        }
        self._ranked = _lists({task: first for task, (_, first) in by_task.items()})

    def _night(self, context: Context, as_of: date) -> _Night:
        """A night as the later fits see it too; ``_first`` drops what is not sellable now."""
        known, chosen = context.earlier(as_of), self.configuration
        given = Given(
            popularity_half_life_days=chosen.popularity_half_life_days,
            half_life_days=chosen.half_life_days,
            new_item_days=chosen.new_item_days,
            seed=chosen.seed,
            further=chosen.further_sources,
        )
        made_by = chosen.label_days, given
        return _memory.get(
            f"{_fingerprint(known)} {made_by}", lambda: _Night.of(known, *made_by, chosen.threads)
        )

    def members(self, group: str, features: Iterable[str]) -> list[str]:
        """Those of ``features`` that belong to ``group``."""
        return members(group, features)

    def without_group(self, group: str) -> Self:
        """The same rankers, unfitted, that do not learn from ``group``."""
        return self.changed(without=(*self.configuration.without, group))

    def shuffled(self, context: Context, group: str, seed: int) -> Self:
        """The same rankers asked with the features of ``group`` dealt out anew among candidates.

        What they lose then is what they owe to the group (permutation importance, Breiman 2001).
        ``context`` is the one of the fit.
        """
        first = {}
        night = self._night(context, context.as_of)
        for task, found in night.candidates.items():
            features = pd.concat([block for _, block in night.described(task)], ignore_index=True)
            dealt = members(group, features.columns)
            order = np.random.default_rng([seed, TASKS.index(task)]).permutation(len(features))
            features[dealt] = features[dealt].to_numpy()[order]
            described = [(slice(len(features)), features)]
            score = self._score(found, described, self._boosters_of(task))
            first[task] = self._first(found, score)
        other = copy(self)
        other._ranked = _lists(first)
        return other

    def _score(
        self, found: Candidates, described: Iterable[_Block], boosters: Sequence[Booster]
    ) -> NDArray[np.float64]:
        """The candidates' scores by all ``boosters``, or by their sources without any."""
        if not boosters:
            relative = [
                block.filter(like=RELATIVE).fillna(0).mean(axis=1) for _, block in described
            ]
            return np.concatenate(relative, dtype=np.float64)
        raw = np.empty((len(boosters), len(found.user)))
        for rows, block in described:
            for place, booster in enumerate(boosters):
                raw[place, rows] = booster.scores(block)
        score = np.zeros(len(found.user))
        for of_booster in raw:
            score += of_booster / (of_booster.std() or 1.0)
        buyers = np.bincount(self.known.seen.indices, minlength=len(self.item_ids))
        return score - self.configuration.popularity_penalty * np.log1p(buyers[found.item])

    def _boosters_of(self, task: str) -> list[Booster]:
        return [
            Booster(text) for name, text in self._boosters.items() if name.startswith(f"{task}_")
        ]

    def _examples(self, task: str, as_of: date, night: _Night, events: Interactions) -> _Examples:
        found, own = night.candidates[task], self.configuration
        later = events.between(as_of, as_of + timedelta(days=own.label_days))
        items = events.items
        taken_later = distinct(later.user.astype(np.int64) * items + later.item)
        key = found.user.astype(np.int64) * items + found.item
        taken = np.isin(key, taken_later, assume_unique=True)
        is_active = np.zeros(events.users, dtype=np.bool_)
        is_active[later.user] = True
        active = is_active[found.user]
        random = np.random.default_rng([own.seed, day_number(as_of)])
        not_taken = np.count_nonzero(active & ~taken)
        chosen = active & (taken | (random.random(len(key)) * not_taken < own.negatives))
        return _Examples(
            night=night,
            chosen=chosen,
            taken=taken[chosen],
            group=np.unique(found.user[chosen], return_counts=True)[1],
        )

    def _train(self, task: str, examples: list[_Examples]) -> dict[str, str]:
        """A booster per objective; both share the binned examples, which take long to make."""
        shared = self._binned(task, examples)
        parameters = self._lightgbm_parameters(task)
        rounds = self._share(task, self.configuration.rounds)
        return {
            objective: learn(shared, {**parameters, "objective": objective}, rounds)
            for objective in OBJECTIVES
        }

    def _binned(self, task: str, examples: list[_Examples]) -> Dataset:
        """All nights' examples together; bins take a quarter of the memory of their features."""
        without = self.configuration.without
        names = [name for name in examples[0].night.names(task) if group_of(name) not in without]
        taken = np.concatenate([part.taken for part in examples])
        features = np.empty((len(taken), len(names)), dtype=np.float32)
        end = 0
        for part in examples:
            for rows, block in part.night.described(task):
                chosen = block.loc[part.chosen[rows], names]
                start, end = end, end + len(chosen)
                features[start:end] = chosen
        return binned(
            features,
            names=names,
            label=taken.astype(np.float32),
            group=np.concatenate([part.group for part in examples]),
            parameters=self._lightgbm_parameters(task),
        )

    def _share(self, task: str, size: int) -> int:
        """How many trees or leaves of ``size`` a task has: few examples bear no large model."""
        return size // 2 + 1 if task == "new" else size

    def _lightgbm_parameters(self, task: str) -> dict[str, Any]:
        return {
            "learning_rate": self.configuration.learning_rate,
            "num_leaves": self._share(task, self.configuration.leaves),
            "seed": self.configuration.seed,
            **REGULARISED,
        }

    def _first(self, found: Candidates, score: NDArray[np.float64]) -> sparse.csr_array:
        """Each user's first ``keep`` sellable candidates, users x items."""
        kept = first_rows(found, score, self.known.sellable, self.configuration.keep)
        return sparse.csr_array(
            (score[kept], (found.user[kept], found.item[kept])),
            shape=(len(self.user_ids), len(self.item_ids)),
        )

    def _rank(
        self,
        users: Indices,
        n: int,
        allowed: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> Ranked:
        return top_n_sparse(self._ranked[ALL.name][users], n, allowed=allowed, exclude=exclude)

    def _rank_new(
        self, users: Indices, n: int, allowed: NDArray[np.bool_], seen: sparse.csr_array
    ) -> Ranked:
        return top_n_sparse(self._ranked[DISCOVER.name][users], n, allowed=allowed, exclude=seen)

    def importance(self, task: str) -> "pd.Series[float]":
        """Gain of each feature in both boosters of ``task``, as shares, the greatest first.

        Empty where there was no night to learn from.
        """
        gains = pd.Series(dtype=np.float64)
        boosters = self._boosters_of(task)
        for booster in boosters:
            gains = gains.add(booster.gain(), fill_value=0)
        return (gains / max(len(boosters), 1)).sort_values(ascending=False, kind="stable")

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {}
        for name, ranked in self._ranked.items():
            arrays |= storage.pack_matrix(f"ranked_{name}", ranked)
        for name, text in self._boosters.items():
            arrays[f"booster_{name}"] = np.frombuffer(text.encode(), dtype=np.uint8)
        return arrays

    def _restore(self, arrays: storage.Arrays) -> None:
        self._ranked = {
            name: storage.unpack_matrix(f"ranked_{name}", arrays) for name in PERSONAL_LISTS
        }
        self._boosters = {
            name.removeprefix("booster_"): array.tobytes().decode()
            for name, array in arrays.items()
            if name.startswith("booster_")
        }


def _lists(first: Mapping[str, sparse.csr_array]) -> dict[str, sparse.csr_array]:
    """Each list's ranked items, from those of each task."""
    return {
        ALL.name: first["all"],
        DISCOVER.name: _followed_by(first["discover"], first["new"]),
    }


def _followed_by(first: sparse.csr_array, then: sparse.csr_array) -> sparse.csr_array:
    """``first`` and the entries of ``then`` that it lacks, lowered so that they come behind it."""
    row, rest = row_of_each(then), ~stored_in(first, row_of_each(then), then.indices)
    starts, ends = first.indptr[:-1], first.indptr[1:]
    least = np.zeros(first.shape[0])
    some = ends > starts
    least[some] = np.minimum.reduceat(first.data, starts[some])
    greatest = np.max(then.data, initial=0.0)
    return sparse.csr_array(
        (
            np.concatenate([first.data, (then.data - greatest - 1 + least[row])[rest]]),
            (
                np.concatenate([row_of_each(first), row[rest]]),
                np.concatenate([first.indices, then.indices[rest]]),
            ),
        ),
        shape=first.shape,
    )


# The nights last asked for, by what they depend on: one training fits the same ones for its
# validation, its test and its last model.
_memory: Final = Memory[_Night](MEMORY_NIGHTS)


def _fingerprint(context: Context) -> str:
    events = context.interactions
    digest = sha256(f"{context.as_of}".encode())
    for array in (
        events.user,
        events.item,
        events.day,
        events.quantity,
        events.value,
        events.discount,
        context.sellable,
    ):
        digest.update(np.ascontiguousarray(array).data)
    digest.update(content.digest(context.item_features, CATALOGUE_COLUMNS).encode())
    return digest.hexdigest()
