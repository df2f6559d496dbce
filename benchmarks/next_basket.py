"""Each user's next order after a cut, foretold by `buy_again` and by its peers, on two shops.

``python -m benchmarks.next_basket --shop complete_journey`` writes ``docs/next_basket.json`` and
``docs/next_basket.md``; ``--cut`` measures one cut of several. The lists are kept as Parquet, and
``--keep METHOD`` takes a method's lists from there instead of making them anew, if they are there.
"""

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from time import process_time
from typing import Annotated, Any, Final

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import typer

from benchmarks.quality.complete_journey import ShopData, read_shop
from benchmarks.quality.measure import MONTHS, list_rows
from jobs.cli.app import explaining, load_settings, parse_date
from jobs.config.settings import Settings
from jobs.night.resources import measured
from jobs.steps.demo_data import data_folder
from lakehouse.errors import ConfigurationError
from lakehouse.files import replacing, write_text
from lakehouse.lists import ALL
from models.core.assortment import Assortment
from models.core.base import BaseRecommender
from models.core.capabilities import DUE_DAYS
from models.core.context import Context
from models.core.interactions import UNKNOWN, Indices, Interactions, index_of
from models.core.parameters import POPULARITY_HALF_LIFE_DAYS
from models.evaluation.bootstrap import Difference, paired_bootstrap
from models.evaluation.calibration import expected_calibration_error
from models.evaluation.metrics import Floats
from models.evaluation.next_basket import NextBaskets
from models.evaluation.primary import PLACES
from models.lists.path import Policy, make_lists
from models.ranking.buy_again import BuyAgain
from models.ranking.two_stage import TwoStage
from models.recommenders.decayed_counts import DecayedCounts
from models.recommenders.popularity import Popularity
from models.recommenders.tifuknn import TifuKnn
from models.recommenders.up_cf import UpCf
from models.selection.repeats import due_curve

logger = logging.getLogger(__name__)

OURS: Final = "buy_again"
NEVER_DAYS: Final = 36_500.0
METHODS: Final[Mapping[str, Callable[[], BaseRecommender]]] = {
    OURS: BuyAgain,
    "two_stage": TwoStage,
    "tifuknn": TifuKnn,
    "tifuknn, own share .8, decay .8": partial(TifuKnn, own_share=0.8, group_decay=0.8),
    "up_cf": UpCf,
    # Counts that never fade, filled up by what sells.
    "gp_topfreq": partial(DecayedCounts, half_life_days=NEVER_DAYS),
    "decayed_counts": DecayedCounts,
    "popularity": Popularity,
}
RETAIL_MONTHS: Final = (
    (date(2011, 9, 1), date(2011, 10, 1)),
    (date(2011, 10, 1), date(2011, 11, 1)),
    (date(2011, 11, 1), date(2011, 12, 10)),
)
# Not a product, or an order taken back (see infra/config/online_retail.toml).
NO_PRODUCT: Final = r"POST|DOT|M|m|C2|D|S|B|PADS|BANK CHARGES|AMAZONFEE|CRUK|gift_.*|DCGS.*"
JUDGED_BY: Final = ("ndcg@10", "recall@10")
PARTS: Final = ("repeat_ndcg@10", "repeat_recall@10", "explore_ndcg@10", "explore_recall@10")
SEED: Final = 42
SHOPS: Final = {"complete_journey": "Complete Journey", "online_retail": "UCI Online Retail"}
ABOUT: Final = """# The next basket

Made by `python -m benchmarks.next_basket`; the figures are in `next_basket.json` too.

* **Task**: a list of ten for everybody as of the cut, judged by the user's first order on or
  after it within the month. Whatever was sold before the cut may be listed and counts; users with
  an order before the cut, and one after that holds something that counts.
* **Measures**: NDCG@10 (ideal list cut at 10) and recall@10 of the whole basket; `repeat` and
  `explore` count only what the user had bought before, or never, over the users whose basket has
  any of it.
* **Gains** are those of `buy_again` over the method: mean, and the 95 % interval of a paired
  bootstrap over users (1,000 draws, seed 42).
* `gp_topfreq` is the user's own counts, filled up with what sells. `tifuknn` is there with its
  defaults and with the values that are best for it in December; all others have their defaults.
  Those of `buy_again` were chosen on July and August; nothing was tuned on the second shop.
* **CPU s** are the seconds of fitting and of everybody's lists, in one process; a method without
  was taken from lists made before.
* **Due within 7 days**: each user's ten own items most likely due by `buy_again`, the chance
  against what was bought in the week from the cut.
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def next_basket(  # noqa: PLR0917 (options, given by name)
    shop: Annotated[str, typer.Option(help="complete_journey or online_retail.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of online retail's files, one CSV a day.")
    ] = None,
    cut: Annotated[
        list[str] | None, typer.Option(metavar="YYYY-MM-DD", help="Only this cut (repeatable).")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(metavar="METHOD", help="Take its lists from `lists`.")
    ] = None,
    lists: Annotated[Path, typer.Option(help="Folder of the lists, as Parquet.")] = Path(
        ".topshelf/next_basket"
    ),
    out: Annotated[Path, typer.Option(help="Folder of next_basket.json and .md.")] = Path("docs"),
) -> None:
    """Measure all methods on every user's next order after each cut."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    with explaining("next_basket"):
        settings = load_settings(Path(f"infra/config/{shop}.toml"))
        year = _read(settings, shop, data)
        wanted = [parse_date(text, "--cut") for text in cut or ()]
        months = MONTHS if shop == "complete_journey" else RETAIL_MONTHS
        for start, end in months:
            if not wanted or start in wanted:
                figures = measure_cut(year, start, end, lists=lists / shop, keep=keep or ())
                _write(out, shop, start, figures)


def _read(settings: Settings, shop: str, data: Path | None) -> ShopData:
    if shop == "complete_journey":
        return read_shop(settings, data_folder())
    if data is None:
        raise ConfigurationError(f"{shop} needs --data: the folder of its daily CSV files")
    return read_online_retail(data)


def read_online_retail(folder: Path) -> ShopData:
    """Lines with a customer, a product and positive quantity and price, of orders that stand."""
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise ConfigurationError(f"no CSV file in {folder}")
    lines = pd.concat([pd.read_csv(file, dtype=str) for file in files], ignore_index=True)
    quantity, price = (pd.to_numeric(lines[name]) for name in ("Quantity", "UnitPrice"))
    stands = (
        lines["CustomerID"].notna()
        & ~lines["InvoiceNo"].str.match("[CA]")
        & ~lines["StockCode"].str.fullmatch(NO_PRODUCT)
        & (quantity > 0)
        & (price > 0)
    )
    lines, quantity, price = lines[stands], quantity[stands], price[stands]
    time = pd.to_datetime(lines["InvoiceDate"])
    events = pd.DataFrame(
        {
            "user_id": lines["CustomerID"].str.removesuffix(".0"),
            "item_id": lines["StockCode"],
            "event_date": time.dt.normalize(),
            "event_time": time,
            "order_id": lines["InvoiceNo"],
            "quantity": quantity,
            "value": quantity * price,
        }
    )
    titles = lines.drop_duplicates("StockCode", keep="last")
    items = pd.DataFrame({"item_id": titles["StockCode"], "title": titles["Description"]})
    return ShopData(Interactions.from_frame(events), items, pd.DataFrame({"user_id": []}))


def measure_cut(
    year: ShopData, start: date, end: date, *, lists: Path, keep: Sequence[str]
) -> dict[str, Any]:
    """Every method's measures, what ours gains over each, and whether what is due is bought."""
    context, window = year.context(start), year.interactions.between(start, end)
    baskets = NextBaskets.of(context, window)
    found: dict[str, Mapping[str, Floats]] = {}
    figures: dict[str, Any] = {"users": len(baskets.users), "methods": {}}
    for name, build in METHODS.items():
        path, cost = lists / f"{start}_{name}.parquet", {}
        if name in keep and path.is_file():
            item = stored_lists(path, year.interactions)
        else:
            cpu = process_time()
            with measured() as took:
                method = build().fit(context)
                item = listed(method, context)
            cost = {
                "seconds": round(took.seconds, 1),
                "cpu_seconds": round(process_time() - cpu, 1),
                "peak_mib": took.peak_mib,
            }
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as new:
                pq.write_table(
                    list_rows(year.interactions.user_ids, item, year.interactions.item_ids), new
                )
            if isinstance(method, BuyAgain):
                figures["due"] = dueness(method, context, window)
        found[name] = baskets.measure(item[baskets.users])
        means = {name: round(float(np.nanmean(values)), 4) for name, values in found[name].items()}
        figures["methods"][name] = means | cost
        logger.info("%s %s: %s", start, name, figures["methods"][name])
    for name, measures in found.items():
        if name != OURS:
            figures["methods"][name]["gain"] = {
                measure: _rounded(
                    paired_bootstrap(found[OURS][measure], measures[measure], seed=SEED)
                )
                for measure in JUDGED_BY
            }
    return figures


def listed(method: BaseRecommender, context: Context) -> Indices:
    """Everybody's list of ten, the way that it would be served."""
    users = np.arange(context.interactions.users, dtype=np.int32)
    assortment = Assortment.of(context, POPULARITY_HALF_LIFE_DAYS)
    return make_lists(method, ALL, users, assortment, Policy(size=PLACES)).item


def stored_lists(path: Path, events: Interactions) -> Indices:
    """What ``listed`` gave, from the file."""
    rows = pd.read_parquet(path)
    item = np.full((events.users, PLACES), UNKNOWN, dtype=np.int32)
    user = index_of(events.user_ids, rows["user_id"])
    item[user, rows["rank"].to_numpy() - 1] = index_of(events.item_ids, rows["item_id"])
    return item


def dueness(model: BuyAgain, context: Context, window: Interactions) -> dict[str, Any]:
    """The chances of each user's ten own items most likely due, against what they bought."""
    curve = due_curve(model, context, window)
    return {
        "pairs": int(curve["pairs"].sum()),
        "error": round(expected_calibration_error(curve), 4),
        "curve": curve.round(4).to_dict(orient="records"),
    }


def _rounded(gain: Difference) -> list[float]:
    return [round(value, 4) for value in gain]


def _write(folder: Path, shop: str, cut: date, figures: Mapping[str, Any]) -> None:
    """Put the figures of a cut beside those measured before, and write both files."""
    path = folder / "next_basket.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    known.setdefault(shop, {})[cut.isoformat()] = figures
    known = {name: dict(sorted(known[name].items())) for name in sorted(known)}
    write_text(path, json.dumps(known, indent=1) + "\n")
    write_text(folder / "next_basket.md", page(known))


def page(known: Mapping[str, Mapping[str, Any]]) -> str:
    """All figures as Markdown."""
    parts = [ABOUT]
    for shop, cuts in known.items():
        parts.append(f"## {SHOPS[shop]}\n")
        for cut, figures in cuts.items():
            parts += [f"### {cut}, {figures['users']} users\n", _table(figures), ""]
            if due := figures.get("due"):
                parts += [_dueness_words(due), ""]
    return "\n".join(parts)


def _table(figures: Mapping[str, Any]) -> str:
    names = (*JUDGED_BY, *PARTS)
    rows = [
        f"| method | {' | '.join(names)} | gain in NDCG@10 | gain in recall@10 | CPU s |",
        "|---|" + "---:|" * (len(names) + 3),
    ]
    for method, found in figures["methods"].items():
        values = [f"{found[name]:.4f}" for name in names]
        gains = [
            "{:+.4f} [{:+.4f}, {:+.4f}]".format(*found["gain"][name]) if "gain" in found else ""
            for name in JUDGED_BY
        ]
        cells = [f"`{method}`", *values, *gains, str(found.get("cpu_seconds", ""))]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _dueness_words(due: Mapping[str, Any]) -> str:
    bins = ", ".join(f"{row['predicted']:.3f} → {row['happened']:.3f}" for row in due["curve"])
    return (
        f"Due within {DUE_DAYS} days, {due['pairs']} pairs: expected calibration error "
        f"**{due['error']:.4f}**. Predicted → bought by tenths: {bins}."
    )


if __name__ == "__main__":
    app()
