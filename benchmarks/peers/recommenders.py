"""Lists of RecTools' and implicit's models, run by `benchmarks/movielens.py` in their environment.

Call: `recommenders.py FOLDER`. Reads `{split}.parquet` (`user_id, item_id, datetime`) and
`{split}_users.parquet` below FOLDER; writes `{split}_{protocol}/{family}/{parameters}.parquet`
(`user_id, item_id, rank`) for each split, protocol and model, and the seconds to `seconds.json`.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import implicit
import pandas as pd
from implicit.utils import ParameterWarning
from rectools.dataset import Dataset
from rectools.models import (
    EASEModel,
    ImplicitALSWrapperModel,
    ImplicitBPRWrapperModel,
    ImplicitItemKNNWrapperModel,
    PopularModel,
    PureSVDModel,
)
from scipy import sparse

SPLITS = ("validation", "test")
PLACES = 10
SEED = 42
FACTORS = (16, 32, 64)
NEIGHBOURS = (20, 100)
Recommend = Callable[[list[int], bool], pd.DataFrame]


def rectools_models() -> Iterator[tuple[str, str, Any]]:
    """Family, parameters and unfitted model."""
    for days in (7, 30, None):
        period = None if days is None else timedelta(days=days)
        yield "RecTools popular", f"days={days}", PopularModel(period=period)
    for weight in (50, 200, 500, 1000):
        yield "RecTools EASE", f"regularization={weight}", EASEModel(regularization=weight)
    for factors in (8, 16, 32):
        yield "RecTools PureSVD", f"factors={factors}", PureSVDModel(factors=factors)
    for kind, knn in neighbour_kinds().items():
        for k in NEIGHBOURS:
            yield f"RecTools {kind} kNN", f"K={k}", ImplicitItemKNNWrapperModel(knn(K=k))
    for factors in FACTORS:
        yield "RecTools iALS", f"factors={factors}", ImplicitALSWrapperModel(als(factors))
        yield "RecTools BPR", f"factors={factors}", ImplicitBPRWrapperModel(bpr(factors))


def implicit_models() -> Iterator[tuple[str, str, Any]]:
    """The same of implicit by itself."""
    for kind, knn in neighbour_kinds().items():
        for k in NEIGHBOURS:
            yield f"implicit {kind} kNN", f"K={k}", knn(K=k)
    for factors in FACTORS:
        yield "implicit iALS", f"factors={factors}", als(factors)
        yield "implicit BPR", f"factors={factors}", bpr(factors)
        yield (
            "implicit LMF",
            f"factors={factors}",
            implicit.cpu.lmf.LogisticMatrixFactorization(factors=factors, random_state=SEED),
        )


def neighbour_kinds() -> dict[str, Any]:
    """Item neighbourhoods of implicit."""
    return {
        "cosine": implicit.nearest_neighbours.CosineRecommender,
        "TF-IDF": implicit.nearest_neighbours.TFIDFRecommender,
        "BM25": implicit.nearest_neighbours.BM25Recommender,
    }


def als(factors: int) -> Any:  # noqa: ANN401 (the library has no types)
    """Alternating least squares, CPU."""
    return implicit.cpu.als.AlternatingLeastSquares(
        factors=factors, regularization=0.1, alpha=1.0, random_state=SEED
    )


def bpr(factors: int) -> Any:  # noqa: ANN401
    """Bayesian personalised ranking, CPU."""
    return implicit.cpu.bpr.BayesianPersonalizedRanking(factors=factors, random_state=SEED)


def with_rectools(model: Any, rows: pd.DataFrame) -> Recommend:  # noqa: ANN401
    """Fit; recommend by RecTools' own interface."""
    dataset = Dataset.construct(rows.assign(weight=1.0))
    model.fit(dataset)

    def recommend(users: list[int], new_only: bool) -> pd.DataFrame:
        found: pd.DataFrame = model.recommend(users, dataset, k=PLACES, filter_viewed=new_only)
        return found[["user_id", "item_id", "rank"]]

    return recommend


def with_implicit(model: Any, rows: pd.DataFrame) -> Recommend:  # noqa: ANN401
    """Fit; recommend by implicit's own interface."""
    user, user_ids = pd.factorize(rows["user_id"])
    item, item_ids = pd.factorize(rows["item_id"])
    matrix = sparse.csr_matrix(
        ([1.0] * len(rows), (user, item)), shape=(len(user_ids), len(item_ids))
    )
    model.fit(matrix, show_progress=False)

    def recommend(users: list[int], new_only: bool) -> pd.DataFrame:
        asked = user_ids.get_indexer(pd.Index(users))
        found, _ = model.recommend(
            asked, matrix[asked], N=PLACES, filter_already_liked_items=new_only
        )
        table = pd.DataFrame(found, index=users, columns=range(1, PLACES + 1))
        lists = cast("pd.Series[int]", table.stack())
        lists = lists[lists >= 0]
        return pd.DataFrame(
            {
                "user_id": lists.index.get_level_values(0),
                "item_id": item_ids[lists.to_numpy()],
                "rank": lists.index.get_level_values(1),
            }
        )

    return recommend


def main(folder: Path) -> None:
    """Fit every model on both splits."""
    # Their conversions of sparse matrices cost next to nothing here.
    warnings.filterwarnings("ignore", category=ParameterWarning)
    seconds: dict[str, float] = {}
    for split in SPLITS:
        rows = pd.read_parquet(folder / f"{split}.parquet")
        users = pd.read_parquet(folder / f"{split}_users.parquet")["user_id"].tolist()
        for fit, models in (
            (with_rectools, rectools_models()),
            (with_implicit, implicit_models()),
        ):
            for family, parameters, model in models:
                started = time.perf_counter()
                recommend = fit(model, rows)
                for protocol, new_only in (("all", False), ("discover", True)):
                    target = folder / f"{split}_{protocol}" / family / f"{parameters}.parquet"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    recommend(users, new_only).to_parquet(target)
                seconds[f"{split}/{family}/{parameters}"] = time.perf_counter() - started
    (folder / "seconds.json").write_text(json.dumps(seconds))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
