"""LightGBM, behind one door.

Its number of threads is one global of the process: a call that names another number, or leaves it
open, changes it under every call that is under way in another thread, which crashes the process
(lightgbm-org/LightGBM#4607, #6142). Every call therefore names the same number, here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

Dataset: TypeAlias = lgb.Dataset

THREADS: Final = 1
FIXED: Final = {
    "num_threads": THREADS,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}

# What all rankers have in common; each has its own objective, rate, leaves and seed.
REGULARISED: Final = {
    "min_data_in_leaf": 100,
    "feature_fraction": 0.25,
    "lambda_l2": 10.0,
    "max_bin": 63,
    "lambdarank_truncation_level": 20,
}


def binned(
    features: NDArray[np.float32],
    *,
    names: Sequence[str],
    label: NDArray[np.float32],
    parameters: Mapping[str, Any],
    group: NDArray[np.int64] | None = None,
    weight: NDArray[np.float64] | None = None,
) -> Dataset:
    """Examples ready to learn from: rows x ``names``, each counting by its ``weight`` if given.

    A ranker needs the ``group``: the number of rows of each query in order.
    ``parameters`` are LightGBM's, and must be those that ``learn`` is given, objective aside.
    """
    return lgb.Dataset(
        features,
        label=label,
        group=group,
        weight=weight,
        feature_name=list(names),
        params={**parameters, **FIXED},
    ).construct()


def learn(examples: Dataset, parameters: Mapping[str, Any], rounds: int) -> str:
    """A booster of ``rounds`` trees, as LightGBM's own text."""
    booster = lgb.train({**parameters, **FIXED}, examples, num_boost_round=rounds)
    text: str = booster.model_to_string()
    return text


class Booster:
    """A learnt booster, from the text that ``learn`` returned."""

    def __init__(self, text: str) -> None:
        """Read the trees."""
        self._booster = lgb.Booster(model_str=text)
        self.features: list[str] = self._booster.feature_name()

    def scores(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """The raw score of each row; ``rows`` has at least the columns ``features``."""
        values = rows[self.features].to_numpy(dtype=np.float32)
        return np.asarray(self._booster.predict(values, raw_score=True, num_threads=THREADS))

    def gain(self) -> "pd.Series[float]":
        """What the splits on each feature gained, as shares that add up to 1."""
        gain = pd.Series(
            self._booster.feature_importance("gain"), index=self.features, dtype=np.float64
        )
        return gain / gain.sum()
