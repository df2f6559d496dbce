"""What a basket lacks: one item of held-out baskets hidden, and found again by ours and by peers.

``python -m benchmarks.cart_completion --shop complete_journey`` writes
``docs/cart_completion.json`` and ``docs/cart_completion.md``. mlxtend and gensim run in an
environment that `uv` makes for the run; neither is a dependency.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from time import process_time
from typing import Annotated, Any, Final

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from scipy import sparse

from benchmarks.next_basket import SHOPS, read_online_retail
from benchmarks.quality.complete_journey import ShopData, read_shop
from features.item_pairs import basket_lines, bought_together
from jobs.cli.app import explaining, load_settings, parse_date
from jobs.night.resources import measured
from jobs.steps.demo_data import data_folder
from lakehouse.errors import ConfigurationError
from lakehouse.files import write_text
from lakehouse.io.session import spark_session
from lakehouse.lists import SHELF_SIZE
from models.core.interactions import UNKNOWN, Indices, Interactions, day_number, index_of
from models.core.topn import rows_of, top_n_sparse
from models.evaluation.bootstrap import paired_bootstrap
from models.evaluation.metrics import coverage, hit_rate, hits_of, ndcg

logger = logging.getLogger(__name__)

PLACES: Final = 10
MOST_ITEMS: Final = 5
SEED: Final = 42
BLOCK: Final = 500
OURS: Final = "bought_together"
PEERS: Final = ("gensim==4.4.0", "mlxtend==0.25.0", "pyarrow")
SCRIPT: Final = Path("benchmarks/peers/baskets.py")
FOLDER: Final = Path(".topshelf/benchmarks/cart_completion")
LEAST_LIFT_SUPPORT: Final = 5
# The cut, and the end of the month behind it.
MONTHS: Final = {
    "complete_journey": (date(2017, 12, 1), date(2018, 1, 2)),
    "online_retail": (date(2011, 11, 1), date(2011, 12, 10)),
}
ABOUT: Final = """# Cart completion

Made by `python -m benchmarks.cart_completion`; the figures are in `cart_completion.json` too.

* **Task**: every basket of the month after the cut by a user with baskets before it, that holds
  something the user never bought before (*explore*): one such item, drawn at random, is hidden, and
  one to five of the others are shown (drawn too, seed 42). Everybody ranks what was ever sold
  before the cut, but for the items shown; nothing is known of the user.
* **Measures**: hit@10 and NDCG@10 of the hidden item; *items* are the different items in all lists.
* **Gains** are those of `bought_together` over the method: mean, and the 95 % interval of a paired
  bootstrap over baskets (1,000 draws, seed 42).
* `bought_together` is what is served: the item lists of the night, twelve places each, mixed by the
  sum of scores, without a model. Its peers are not cut to lists: `co_count`, `lift` (five baskets
  at least) and `item_knn` (cosine of baskets) add up whole rows of their matrices, `popularity in
  the category` ranks what sells in the categories of the basket; `fp_growth` is mlxtend's
  rules of two items in 20 baskets or one of 3,000, by confidence, `item2vec` gensim's skip-grams
  over baskets.
* Its form was chosen on August of Complete Journey; forms were looked at on July to September of
  the second shop too.
* **CPU s** are the seconds of learning and of completing, peak memory that of the process (ours:
  without Spark's JVM, whose CPU seconds are counted).
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Baskets to complete: ``shown`` (baskets x items), the ``hidden`` item of each, and the past.

    ``lines`` are the purchases before the cut, each item once a basket; ``known`` says which items
    these have.
    """

    shown: sparse.csr_array
    hidden: Indices
    lines: pd.DataFrame
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, events: Interactions, start: date, end: date) -> "Cases":
        """The baskets from ``start`` to before ``end``, with what was bought before ``start``."""
        rows = pd.DataFrame(
            {"user": events.user, "item": events.item, "order": events.order, "day": events.day}
        ).drop_duplicates(["order", "item"])
        rows["is_first"] = rows["order"] == rows.groupby(["user", "item"])["order"].transform("min")
        lines = rows[rows["day"] < day_number(start)]
        known = np.zeros(events.items, dtype=np.bool_)
        known[lines["item"]] = True
        later = (rows["day"] >= day_number(start)) & (rows["day"] < day_number(end))
        held = rows[later & known[rows["item"]] & rows["user"].isin(lines["user"].unique())]
        random = np.random.default_rng(SEED)
        held = held.assign(drawn=random.random(len(held))).sort_values(["order", "drawn"])
        hidden = held[held["is_first"]].drop_duplicates("order")
        others = held.drop(hidden.index)
        hidden = hidden[hidden["order"].isin(others["order"])]
        size = random.integers(1, MOST_ITEMS + 1, len(hidden))
        case = pd.Series(np.arange(len(hidden)), index=hidden["order"])
        others = others[others["order"].isin(case.index)]
        number = others["order"].map(case).to_numpy()
        shown = others.groupby("order").cumcount().to_numpy() < size[number]
        matrix = sparse.csr_array(
            (np.ones(shown.sum()), (number[shown], others["item"].to_numpy()[shown])),
            shape=(len(hidden), events.items),
        )
        return cls(matrix, hidden["item"].to_numpy(), lines, known)

    @property
    def baskets(self) -> sparse.csr_array:
        """The past as baskets x items."""
        order, _ = pd.factorize(self.lines["order"])
        item = self.lines["item"].to_numpy()
        return sparse.csr_array(
            (np.ones(len(item)), (order, item)), shape=(int(np.max(order)) + 1, len(self.known))
        )

    def completed(self, scores: Callable[[sparse.csr_array], sparse.csr_array]) -> Indices:
        """The best items by ``scores`` (baskets x items of some baskets at a time)."""
        parts = [
            top_n_sparse(scores(block), PLACES, allowed=self.known, exclude=block).item
            for block in self._blocks()
        ]
        return np.concatenate(parts)

    def _blocks(self) -> Iterator[sparse.csr_array]:
        for start in range(0, self.shown.shape[0], BLOCK):
            rows = np.arange(start, min(start + BLOCK, self.shown.shape[0]), dtype=np.int32)
            yield rows_of(self.shown, rows)


def without_diagonal(matrix: sparse.csr_array) -> sparse.csr_array:
    """The same, of items with other ones only."""
    matrix = sparse.csr_array(matrix)
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    other = row != matrix.indices
    return sparse.csr_array(
        (matrix.data[other], (row[other], matrix.indices[other])), shape=matrix.shape
    )


def co_count(cases: Cases, shop: ShopData) -> Indices:
    """Baskets in common."""
    del shop
    common = without_diagonal(cases.baskets.T @ cases.baskets)
    return cases.completed(lambda block: sparse.csr_array(block @ common))


def lift(cases: Cases, shop: ShopData) -> Indices:
    """Baskets in common over those that chance would make, of ``LEAST_LIFT_SUPPORT`` at least."""
    del shop
    common = without_diagonal(cases.baskets.T @ cases.baskets)
    often = np.maximum(np.asarray(cases.baskets.sum(axis=0)).ravel(), 1)
    common.data[common.data < LEAST_LIFT_SUPPORT] = 0
    common.eliminate_zeros()
    return cases.completed(_scaled(common, 1 / often, 1 / often))


def item_knn(cases: Cases, shop: ShopData) -> Indices:
    """The cosine of two items' baskets (Deshpande & Karypis 2004)."""
    del shop
    common = without_diagonal(cases.baskets.T @ cases.baskets)
    root = np.sqrt(np.maximum(np.asarray(cases.baskets.sum(axis=0)).ravel(), 1))
    return cases.completed(_scaled(common, 1 / root, 1 / root))


def category_popularity(cases: Cases, shop: ShopData) -> Indices:
    """What sells in the categories of the basket, most of all in those it has most of."""
    group = np.zeros(len(cases.known), dtype=np.int64)
    if "category" in shop.items:
        by_item = shop.items.set_index("item_id")["category"].reindex(shop.interactions.item_ids)
        group = pd.factorize(by_item)[0] + 1
    often = np.asarray(cases.baskets.sum(axis=0)).ravel()
    of_item = sparse.csr_array((np.ones(len(group)), (np.arange(len(group)), group)))
    share = sparse.csr_array(sparse.diags_array(often / often.sum()) @ of_item)
    return cases.completed(lambda block: sparse.csr_array((block @ of_item) @ share.T))


def _scaled(
    matrix: sparse.csr_array, left: NDArray[np.float64], right: NDArray[np.float64]
) -> Callable[[sparse.csr_array], sparse.csr_array]:
    scaled = sparse.csr_array(sparse.diags_array(left) @ matrix @ sparse.diags_array(right))
    return lambda block: sparse.csr_array(block @ scaled)


def ours(cases: Cases, shop: ShopData, spark: SparkSession, folder: Path) -> Indices:
    """The item lists of a night, mixed by the sum of their scores as they are when served."""
    item_ids = shop.interactions.item_ids
    _write_lines(cases, item_ids, folder / "ours.parquet")
    events = spark.read.parquet(str(folder / "ours.parquet"))
    shop.items.reindex(columns=["item_id", "product_type", "category"]).to_parquet(
        folder / "items.parquet"
    )
    catalogue = spark.read.parquet(str(folder / "items.parquet"))
    lines = basket_lines(events)
    nothing = lines.limit(0)
    rows = bought_together(lines, nothing, catalogue, places=SHELF_SIZE).toPandas()
    item, other = (index_of(item_ids, rows[name]) for name in ("item_id", "related_item_id"))
    lists = sparse.csr_array(
        (rows["score"].to_numpy(), (item, other)), shape=(len(item_ids), len(item_ids))
    )
    return cases.completed(lambda block: sparse.csr_array(block @ lists))


def _write_lines(cases: Cases, item_ids: NDArray[Any], path: Path) -> None:
    lines = cases.lines
    pd.DataFrame(
        {
            "user_id": lines["user"].astype(str),
            "item_id": item_ids[lines["item"]].astype(str),
            "event_date": pd.to_datetime(lines["day"].astype(np.int64), unit="D").dt.date,
            "order_id": lines["order"].astype(str),
        }
    ).to_parquet(path)


METHODS: Final[Mapping[str, Callable[[Cases, ShopData], Indices]]] = {
    "co_count": co_count,
    "lift": lift,
    "item_knn": item_knn,
    "popularity in the category": category_popularity,
}


def measure(item: Indices, cases: Cases) -> dict[str, NDArray[np.float64]]:
    """NDCG@10 and hit@10 of each basket."""
    relevant = sparse.csr_array(
        (np.ones(len(item)), (np.arange(len(item)), cases.hidden)), shape=cases.shown.shape
    )
    hits = hits_of(item, relevant)
    return {
        "ndcg@10": ndcg(hits, np.ones(len(item), dtype=np.int64)),
        "hit@10": hit_rate(hits),
    }


def outside(cases: Cases, item_ids: NDArray[Any], folder: Path) -> Iterator[tuple[str, Any, Any]]:
    """The lists of peers that have an environment of their own, and what they cost."""
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit("cart_completion: no uv on PATH, which fetches the peers")
    lines = cases.lines
    pd.DataFrame({"basket": lines["order"], "item": item_ids[lines["item"]]}).to_parquet(
        folder / "lines.parquet"
    )
    case, item = cases.shown.nonzero()
    pd.DataFrame({"case": case, "item": item_ids[item]}).to_parquet(folder / "asked.parquet")
    packages = [part for package in PEERS for part in ("--with", package)]
    for name in ("item2vec", "fp_growth"):
        command = [uv, "run", "--no-project", *packages, "python", str(SCRIPT), str(folder), name]
        subprocess.run(command, check=True)
        rows = pd.read_parquet(folder / f"{name}.parquet")
        lists = np.full((len(cases.hidden), PLACES), UNKNOWN, dtype=np.int32)
        lists[rows["case"], rows["rank"] - 1] = index_of(item_ids, rows["item"])
        yield name, lists, json.loads((folder / f"{name}.json").read_text())


def measure_cut(shop: ShopData, start: date, end: date, folder: Path) -> dict[str, Any]:
    """Every method's measures and costs, and what ours gains over each."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = Cases.of(shop.interactions, start, end)
    found: dict[str, Indices] = {}
    costs: dict[str, Mapping[str, Any]] = {}
    with spark_session("cart-completion") as spark:
        before = _java_cpu_seconds()
        cpu = process_time()
        with measured() as took:
            found[OURS] = ours(cases, shop, spark, folder)
        java = _java_cpu_seconds() - before
        costs[OURS] = _cost(took.seconds, process_time() - cpu + java, took.peak_mib)
    for name, complete in METHODS.items():
        cpu = process_time()
        with measured() as took:
            found[name] = complete(cases, shop)
        costs[name] = _cost(took.seconds, process_time() - cpu, took.peak_mib)
        logger.info("%s: %s", name, costs[name])
    for name, lists, cost in outside(cases, shop.interactions.item_ids, folder):
        found[name], costs[name] = lists, _cost(**cost)
        logger.info("%s: %s", name, costs[name])
    measures = {name: measure(item, cases) for name, item in found.items()}
    methods: dict[str, Any] = {}
    for name, values in measures.items():
        methods[name] = {measure: round(float(each.mean()), 4) for measure, each in values.items()}
        methods[name] |= {"items": round(coverage(found[name], 1))} | dict(costs[name])
        if name != OURS:
            methods[name]["gain"] = {
                measure: [
                    round(value, 4)
                    for value in paired_bootstrap(
                        measures[OURS][measure], values[measure], seed=SEED
                    )
                ]
                for measure in values
            }
        logger.info("%s %s: %s", start, name, methods[name])
    return {"baskets": len(cases.hidden), "methods": methods}


def _cost(seconds: float, cpu_seconds: float, peak_mib: float | None) -> dict[str, Any]:
    peak = None if peak_mib is None else round(peak_mib)
    return {"seconds": round(seconds, 1), "cpu_seconds": round(cpu_seconds, 1), "peak_mib": peak}


def _java_cpu_seconds() -> float:
    """The CPU seconds of the JVMs that belong to this process: Spark's."""
    ticks = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        values = rest.split()
        if name == "java" and int(values[1]) == os.getpid():
            ticks += int(values[11]) + int(values[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@app.command()
def cart_completion(
    shop: Annotated[str, typer.Option(help="complete_journey or online_retail.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of online retail's files, one CSV a day.")
    ] = None,
    cut: Annotated[
        list[str] | None,
        typer.Option(metavar="YYYY-MM-DD", help="Another cut, and the end behind it."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the figures.")] = Path("docs"),
) -> None:
    """Complete the baskets behind a cut by all methods."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    with explaining("cart_completion"):
        if shop == "complete_journey":
            settings = load_settings(Path(f"infra/config/{shop}.toml"))
            year = read_shop(settings, data_folder())
        elif data is None:
            raise ConfigurationError(f"{shop} needs --data: the folder of its daily CSV files")
        else:
            year = read_online_retail(data)
        start, end = [parse_date(text, "--cut") for text in cut] if cut else MONTHS[shop]
        figures = measure_cut(year, start, end, FOLDER / shop)
        _write(out, shop, start, figures)


def _write(folder: Path, shop: str, cut: date, figures: Mapping[str, Any]) -> None:
    """Put the figures beside those measured before, and write both files."""
    path = folder / "cart_completion.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    known.setdefault(shop, {})[cut.isoformat()] = figures
    known = {name: dict(sorted(known[name].items())) for name in sorted(known)}
    write_text(path, json.dumps(known, indent=1) + "\n")
    write_text(folder / "cart_completion.md", page(known))


def page(known: Mapping[str, Mapping[str, Any]]) -> str:
    """All figures as Markdown."""
    parts = [ABOUT]
    for shop, cuts in known.items():
        parts.append(f"## {SHOPS[shop]}\n")
        for cut, figures in cuts.items():
            parts += [
                f"### {cut}, {figures['baskets']:,} baskets\n",
                *_table(figures["methods"]),
                "",
            ]
    return "\n".join(parts)


def _table(methods: Mapping[str, Any]) -> Sequence[str]:
    rows = [
        "| method | NDCG@10 | hit@10 | items | gain in NDCG@10 | gain in hit@10 | s | CPU | MiB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for method, found in methods.items():
        gains = [
            "{:+.4f} [{:+.4f}, {:+.4f}]".format(*found["gain"][name]) if "gain" in found else ""
            for name in ("ndcg@10", "hit@10")
        ]
        cells = [
            f"`{method}`",
            f"{found['ndcg@10']:.4f}",
            f"{found['hit@10']:.4f}",
            f"{found['items']:,}",
            *gains,
            f"{found['seconds']}",
            f"{found['cpu_seconds']}",
            f"{found['peak_mib']:,}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


if __name__ == "__main__":
    app()
