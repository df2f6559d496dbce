"""Cart completion by mlxtend's rules and gensim's item2vec, run by `benchmarks/cart_completion.py`.

Call: `baskets.py FOLDER METHOD`, in an environment of their own. Reads `lines.parquet` (`basket,
item`: the baskets to learn from) and `asked.parquet` (`case, item`: what is in each basket to
complete); writes `METHOD.parquet` (`case, item, rank`), and what it cost to `METHOD.json`.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from gensim.models import Word2Vec
from mlxtend.frequent_patterns import association_rules, fpgrowth
from scipy import sparse

PLACES = 10
SEED = 42
# FP-growth in Python ends in minutes for a support of so many baskets, or of one in so many.
LEAST_SUPPORT, LEAST_SHARE = 20, 1 / 3000
Lists = dict[int, list[str]]


def item2vec(lines: pd.DataFrame, asked: pd.DataFrame) -> Lists:
    """Skip-grams with negative sampling over whole baskets (Barkan & Koenigstein 2016)."""
    baskets = lines.groupby("basket")["item"].agg(list)
    baskets = baskets[baskets.map(len) > 1]
    model = Word2Vec(
        baskets.tolist(),
        vector_size=64,
        window=100,
        min_count=3,
        sg=1,
        negative=10,
        epochs=5,
        sample=1e-4,
        workers=1,
        seed=SEED,
    )
    vectors = model.wv
    found: Lists = {}
    for case, items in asked.groupby("case")["item"].agg(list).items():
        known = [item for item in items if item in vectors]
        if known:
            near = vectors.most_similar(known, topn=PLACES)
            found[int(str(case))] = [item for item, _ in near]
    return found


def fp_growth(lines: pd.DataFrame, asked: pd.DataFrame) -> Lists:
    """Rules of one item for another one (Han et al. 2000), the surest first."""
    basket, _ = pd.factorize(lines["basket"])
    item, items = pd.factorize(lines["item"])
    baskets = int(np.max(basket)) + 1
    support = max(LEAST_SUPPORT, round(LEAST_SHARE * baskets))
    often = np.bincount(item) >= support
    keep = often[item]
    number = np.cumsum(often) - 1
    matrix = sparse.csr_matrix(
        (np.ones(keep.sum(), dtype=bool), (basket[keep], number[item[keep]])),
        shape=(baskets, int(often.sum())),
    )
    frame: pd.DataFrame = pd.DataFrame.sparse.from_spmatrix(  # type: ignore[attr-defined]
        matrix, columns=list(items[often])
    )
    sets = fpgrowth(
        frame.astype(pd.SparseDtype(bool, False)),
        min_support=support / matrix.shape[0],
        use_colnames=True,
        max_len=2,
    )
    rules = association_rules(sets, metric="lift", min_threshold=1.0)
    by_item: dict[str, list[tuple[str, float]]] = {}
    for left, right, confidence in zip(
        rules["antecedents"], rules["consequents"], rules["confidence"], strict=True
    ):
        by_item.setdefault(next(iter(left)), []).append((next(iter(right)), confidence))
    found: Lists = {}
    for case, inside in asked.groupby("case")["item"].agg(list).items():
        score: dict[str, float] = {}
        for one in inside:
            for other, confidence in by_item.get(one, ()):
                score[other] = score.get(other, 0.0) + confidence
        for one in inside:
            score.pop(one, None)
        found[int(str(case))] = sorted(score, key=lambda name: (-score[name], name))[:PLACES]
    return found


METHODS: dict[str, Callable[[pd.DataFrame, pd.DataFrame], Lists]] = {
    "item2vec": item2vec,
    "fp_growth": fp_growth,
}


def main(folder: Path, method: str) -> None:
    """Complete all baskets."""
    lines, asked = (pd.read_parquet(folder / f"{name}.parquet") for name in ("lines", "asked"))
    started, cpu = time.perf_counter(), time.process_time()
    lists = METHODS[method](lines, asked)
    cost = {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    rows = [
        (case, item, rank)
        for case, items in lists.items()
        for rank, item in enumerate(items, start=1)
    ]
    found = pd.DataFrame(rows, columns=["case", "item", "rank"])
    found.to_parquet(folder / f"{method}.parquet")
    (folder / f"{method}.json").write_text(json.dumps(cost))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
