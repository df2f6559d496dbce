"""Exact top-N beside faiss, implicit and the bare product, without what a user has taken before.

Made-up factors (float32), and as many items seen as users of MovieLens 20M rated. All have two
threads and are measured in turn: `ours` is ``models.core.topn``; `product` the same blocks
multiplied by the same BLAS, and no more; `implicit` its ``recommend`` with
``filter_already_liked_items``; `faiss` a search in ``IndexFlatIP`` for N places and as many as
somebody of its batch has seen, the seen ones left out afterwards. Users are sorted for it by how
much they have seen, so that few places are in vain: a selector by user, which faiss has too, would
make it search for one at a time.

Prints the median CPU seconds, the best wall seconds, what they are to the product's, and the share
of lists that are those of a sort of all scores. faiss is no dependency: `uv` fetches it for the
run, as it is pinned here. Call: `infra/run python benchmarks/topn.py [small|large ...]`.
"""

import shutil
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import sparse
from threadpoolctl import threadpool_limits

from models.core import topn
from models.core.topn import stored_in, top_n_dense

FAISS: Final = "faiss-cpu==1.15.1"
FOLDER: Final = Path(".topshelf/benchmarks/topn")
THREADS: Final = 2
BATCH: Final = 1024
# Lists that are compared with a sort of all scores.
CHECKED: Final = 20_000
Lists = NDArray[np.int32]


class Size(NamedTuple):
    """Users x items x factors, and how often each is timed."""

    users: int
    items: int
    factors: int
    rounds: int


SIZES: Final = {
    "small": Size(20_000, 27_000, 64, 5),
    "large": Size(138_493, 26_744, 128, 1),
}
PLACES: Final = (10, 100)


class Shop(NamedTuple):
    """Vectors of users and items, and what each user has seen."""

    users: topn.Floats
    items: topn.Floats
    seen: sparse.csr_array

    @classmethod
    def of(cls, size: Size) -> "Shop":
        """Ratings of a user: 20 at least, 144 on average, 9254 at most; some items have most."""
        random = np.random.default_rng(1)
        count = np.minimum(20 + random.lognormal(3.95, 1.3, size.users), 9254).astype(np.int64)
        popular = np.cumsum(random.lognormal(0, 2, size.items))
        drawn = random.random(int(count.sum())) * popular[-1]
        pairs = np.repeat(np.arange(size.users), count), np.searchsorted(popular, drawn)
        seen = sparse.csr_array(
            (np.ones(len(drawn), np.float32), pairs), shape=(size.users, size.items)
        )
        seen.sum_duplicates()

        def vectors(rows: int) -> topn.Floats:
            return random.standard_normal((rows, size.factors), dtype=np.float32)

        return cls(vectors(size.users), vectors(size.items), seen)


def product(shop: Shop, n: int) -> None:
    """The blocks and tiles of ours, multiplied."""
    del n

    def multiply(starts: Any) -> None:  # noqa: ANN401 (an iterable of numbers)
        buffer = np.empty(topn.TILE_ITEMS * topn.BLOCK_ROWS, dtype=np.float32)
        for start in starts:
            block = shop.users[start : start + topn.BLOCK_ROWS]
            for tile in tiles:
                width = tile.stop - tile.start
                scores = buffer[: width * len(block)].reshape(width, len(block))
                np.matmul(shop.items[tile], block.T, out=scores)

    tiles = topn._tiles(len(shop.items))
    topn._in_threads(multiply, range(0, len(shop.users), topn.BLOCK_ROWS), len(tiles))


def ours(shop: Shop, n: int) -> Lists:
    """The product's kernel."""
    allowed = np.ones(len(shop.items), dtype=np.bool_)
    return top_n_dense(shop.users, shop.items, n, allowed=allowed, exclude=shop.seen).item


def by_implicit(shop: Shop, n: int) -> Lists:
    """All users in one call, with BLAS in one thread each, as the library asks for."""
    model = AlternatingLeastSquares(factors=shop.users.shape[1], num_threads=THREADS)
    model.user_factors, model.item_factors = shop.users, shop.items
    everybody = np.arange(len(shop.users))
    with threadpool_limits(limits=1, user_api="blas"):
        found, _ = model.recommend(
            everybody, sparse.csr_matrix(shop.seen), N=n, filter_already_liked_items=True
        )
    return np.asarray(found, dtype=np.int32)


def by_faiss(shop: Shop, n: int) -> Lists:
    """Batches of users who have seen about as much."""
    import faiss  # noqa: PLC0415 (fetched by main)

    faiss.omp_set_num_threads(THREADS)
    index = faiss.IndexFlatIP(shop.items.shape[1])
    index.add(shop.items)
    result = np.full((len(shop.users), n), -1, dtype=np.int32)
    count = np.diff(shop.seen.indptr)
    order = np.argsort(count, kind="stable")
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        places = min(n + int(count[rows[-1]]), len(shop.items))
        _, found = index.search(shop.users[rows], places)
        row = np.repeat(np.arange(len(rows)), places)
        is_seen = stored_in(shop.seen[rows], row, found.ravel()).reshape(found.shape)
        is_listed = ~is_seen & (np.cumsum(~is_seen, axis=1) <= n)
        result[rows] = found[is_listed].reshape(len(rows), n)
    return result


def sorted_lists(shop: Shop, n: int, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """The lists of some users by sorting: higher scores first, then lower items."""
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        scores = shop.users[batch] @ shop.items.T
        hidden = shop.seen[batch]
        scores[topn.row_of_each(hidden), hidden.indices] = -np.inf
        for of_user in scores:
            least = np.partition(of_user, len(of_user) - n)[len(of_user) - n]
            near = np.flatnonzero(of_user >= least)
            yield near[np.lexsort((near, -of_user[near]))[:n]]


METHODS: Final[dict[str, Callable[[Shop, int], Lists | None]]] = {
    "product": product,
    "ours": ours,
    "implicit": by_implicit,
    "faiss": by_faiss,
}


def main(*names: str) -> None:
    """Print a table of each size and length of lists."""
    fetch()
    warnings.filterwarnings("ignore", module="implicit")
    for name in names or SIZES:
        size = SIZES[name]
        shop = Shop.of(size)
        for n in PLACES:
            title = f"{size.users:,} x {size.items:,} x {size.factors}, N = {n}"
            Console().print(compared(shop, n, size.rounds, title))


def compared(shop: Shop, n: int, rounds: int, title: str) -> Table:
    """All methods in turn, ``rounds`` times, after a short first call of each."""
    few = Shop(shop.users[:BATCH], shop.items, shop.seen[:BATCH])
    for method in METHODS.values():
        method(few, n)
    wall: dict[str, list[float]] = {name: [] for name in METHODS}
    cpu: dict[str, list[float]] = {name: [] for name in METHODS}
    lists: dict[str, Lists | None] = {}
    for _ in range(rounds):
        for name, method in METHODS.items():
            started, spent = time.perf_counter(), time.process_time()
            lists[name] = method(shop, n)
            wall[name].append(time.perf_counter() - started)
            cpu[name].append(time.process_time() - spent)
    step = max(len(shop.users) // CHECKED, 1)
    rows = np.arange(0, len(shop.users), step)
    right = np.stack(list(sorted_lists(shop, n, rows)))
    table = Table(
        "method",
        "CPU seconds",
        "of the product",
        "wall seconds",
        "of ours",
        "equal lists",
        title=title,
    )
    ours_cpu = statistics.median(cpu["ours"])
    for name in METHODS:
        made = lists[name]
        median = statistics.median(cpu[name])
        equal = "" if made is None else f"{(made[rows] == right).all(axis=1).mean():.3%}"
        ratio = statistics.median(
            one / other for one, other in zip(cpu[name], cpu["product"], strict=True)
        )
        table.add_row(
            name,
            f"{median:.2f}",
            f"{ratio:.2f}",
            f"{min(wall[name]):.2f}",
            f"{median / ours_cpu:.2f}",
            equal,
        )
    return table


def fetch() -> None:
    """Put faiss where it can be imported from."""
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit("topn: no uv on PATH, which fetches faiss")
    command = [uv, "pip", "install", "--quiet", "--no-deps", "--target", str(FOLDER), FAISS]
    subprocess.run(command, check=True)
    sys.path.append(str(FOLDER))


if __name__ == "__main__":
    main(*sys.argv[1:])
