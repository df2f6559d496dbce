"""Items like the user's own by what they are, not by who took them: reaches items never sold."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from scipy.sparse.linalg import svds

from models.core import storage
from models.core.assortment import Assortment
from models.core.base import BaseRecommender
from models.core.content import digest, one_hot, scale_columns, unit_rows
from models.core.context import Context
from models.core.interactions import UNKNOWN, Indices
from models.core.memory import Memory
from models.core.parameters import (
    POPULARITY_HALF_LIFE_DAYS,
    CountsHalfLife,
    PopularityHalfLife,
    Real,
    Seed,
    Whole,
)
from models.core.registration import register
from models.core.topn import Ranked, top_n_dense

Floats = NDArray[np.float32]

NOTHING = 1e-6
# The method itself and the sources of the two stages may differ in their parameters.
MEMORY_CATALOGUES: Final = 2

_memory: Final = Memory[Floats](MEMORY_CATALOGUES)


@register("content_based")
class ContentBased(BaseRecommender):
    """TF-IDF of attributes and the words of ``text_columns``, reduced by SVD.

    A user is the mean of the unit vectors of their items, weighted by ``log(1 + decayed events)``,
    and an item's score the dot product with its own, plus ``popularity_weight`` times its share of
    the greatest ``log(1 + popularity)``: many items are alike but for how well they sell. Items
    without content and users without such items are not ranked.
    """

    class Configuration(BaseRecommender.Configuration):
        """Items like the user's own by what they are; reaches items never sold."""

        item_columns: tuple[str, ...] = Field(
            default=("department", "category", "product_type", "brand", "manufacturer", "tags"),
            description="Attributes of items that describe them.",
        )
        text_columns: tuple[str, ...] = Field(
            default=("title",), description="Attributes of items whose words describe them."
        )
        dimensions: Whole = Field(
            default=64, ge=1, le=4096, description="Dimensions of an item's vector."
        )
        popularity_weight: Real = Field(
            default=0.5, ge=0, le=1000, description="How much an item's popularity adds."
        )
        popularity_half_life_days: PopularityHalfLife = POPULARITY_HALF_LIFE_DAYS
        half_life_days: CountsHalfLife = 120.0
        seed: Seed = 42

    configuration: Configuration
    _user_vectors: Floats
    _item_vectors: Floats

    def _learn(self, context: Context) -> None:
        events, chosen = context.interactions, self.configuration
        vectors = self._catalogue(context.item_features)
        described = vectors.any(axis=1)
        weights = events.matrix(events.decay(context.as_of, chosen.half_life_days))
        weights.data = np.log1p(weights.data)
        total = np.asarray(weights @ described.astype(np.float64))
        profiles = (weights @ vectors) / np.maximum(total, NOTHING)[:, None]
        sold = Assortment.of(context, chosen.popularity_half_life_days).popularity
        popularity = np.log1p(sold)
        bias = chosen.popularity_weight * described * popularity / np.max(popularity)
        self._item_vectors = np.column_stack([vectors, bias]).astype(np.float32)
        self._user_vectors = np.column_stack([profiles, total > 0]).astype(np.float32)

    def _catalogue(self, items: pd.DataFrame) -> Floats:
        """The items' vectors, which all nights of a training share: the catalogue is the same."""
        chosen = self.configuration
        said = digest(items, (*chosen.item_columns, *chosen.text_columns))
        recipe = (chosen.item_columns, chosen.text_columns, chosen.dimensions, chosen.seed)
        return _memory.get(f"{said} {recipe}", lambda: catalogue_vectors(items, *recipe))

    def _rank(
        self,
        users: Indices,
        n: int,
        allowed: NDArray[np.bool_],
        exclude: sparse.csr_array | None,
    ) -> Ranked:
        ranked = top_n_dense(
            self._user_vectors[users],
            self._item_vectors,
            n,
            allowed=allowed & self._item_vectors.any(axis=1),
            exclude=exclude,
        )
        ranked.item[~self._user_vectors[users].any(axis=1)] = UNKNOWN
        return ranked

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"user_vectors": self._user_vectors, "item_vectors": self._item_vectors}

    def _restore(self, arrays: storage.Arrays) -> None:
        self._user_vectors = arrays["user_vectors"]
        self._item_vectors = arrays["item_vectors"]


def catalogue_vectors(
    items: pd.DataFrame,
    item_columns: Sequence[str],
    text_columns: Sequence[str],
    dimensions: int,
    seed: int,
) -> Floats:
    """The TF-IDF of each item's attributes and words, reduced by SVD; not to be written to."""
    words = split_words(items, text_columns)
    terms = one_hot(items.assign(**words), [*item_columns, *words]).matrix
    vectors = latent(tf_idf(terms), dimensions, seed)
    vectors.flags.writeable = False
    return vectors


def split_words(frame: pd.DataFrame, columns: Sequence[str]) -> dict[str, pd.Series]:
    """The lower-case words of each text column that the frame has, under ``words of COLUMN``."""
    return {
        f"words of {column}": frame[column].astype("str").str.lower().str.findall(r"\w+")
        for column in columns
        if column in frame
    }


def tf_idf(terms: sparse.csr_array) -> sparse.csr_array:
    """Rows of unit length with each term weighted by ``log(rows / rows with it)``."""
    rows_with = np.bincount(terms.indices, minlength=terms.shape[1])
    return unit_rows(scale_columns(terms, np.log(terms.shape[0] / np.maximum(rows_with, 1))))


def latent(matrix: sparse.csr_array, dimensions: int, seed: int) -> Floats:
    """Rows in the space of the ``dimensions`` largest singular values, at unit length again.

    A matrix too small for that keeps its own columns.
    """
    if min(matrix.shape) > dimensions:
        start = np.random.default_rng(seed).standard_normal(min(matrix.shape))
        _, _, axes = svds(matrix, k=dimensions, v0=start)
        vectors = matrix @ axes.T
    else:
        vectors = matrix.toarray()
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > NOTHING)
    return np.asarray(unit, dtype=np.float32)
