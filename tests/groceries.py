"""Two nights' releases of a small grocer, made by hand, for the pages that people look at."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from lakehouse.files import write_json
from lakehouse.lists import FALLBACK, NEW, POPULAR, TRENDING
from serving.format.records import FORMAT, Item, Record, encode, key, summarise
from serving.format.releases import Manifest
from serving.publishing import publish
from serving.stores.store import Store

HOUSEHOLDS: Final = tuple(str(number) for number in range(1, 41))
STORE: Final = "store_id=367"
PRODUCTS: Final = (
    "Bananas",
    "Two per cent white milk, a gallon",
    "White bread",
    "Strawberries",
    "Soft drinks, cans, 12 and 15 a pack",
    "Shredded cheese",
    "Potato chips",
    "Large eggs",
    "Premium ice cream, half a gallon",
    "Bagged salad",
    "Yoghurt without fat",
    "Chicken breast, boneless, skinless, family pack, from farms of the region and never frozen",
    "Frozen pizza, thin crust",
    "Ground coffee",
    "Butter",
    "Wheat bread",
    "Paper towels",
    "Orange juice",
    "Cat food, wet",
    "Tortilla chips",
    "Bacon",
    "Hot dogs",
    "Grapes, red",
    "Spring water",
)
SIZE, SPARE = 8, 2
WHY: Final = (
    ("ranker", "You bought it 14 times, last 3 days ago"),
    ("ranker", "Goes with your taste in dairy"),
    ("ranker", "People with a taste like yours choose it"),
)


def product(place: int) -> tuple[str, str]:
    """A product's id and title."""
    number = place % len(PRODUCTS)
    return str(1_029_743 + 977 * number), PRODUCTS[number]


BANANAS: Final = product(0)[0]


def listed(
    list_name: str, whose: str, first: int, step: int, why: Sequence[tuple[str, str]] = WHY
) -> Record:
    """A list of products, from the ``first`` on, each ``step`` further."""
    items = []
    for rank in range(1, SIZE + SPARE + 1):
        source, reason = why[(rank - 1) % len(why)]
        item_id, title = product(first + step * (rank - 1))
        items.append(Item(rank, item_id, title, 1 / rank, source, reason))
    record_key = key(list_name, whose)
    return record_key, encode(record_key, items, SIZE)


def records(shift: int) -> Iterator[Record]:
    """Each household's lists, of which every third begins ``shift`` products further."""
    sells = [("popularity", "Popular right now")]
    for number, household in enumerate(HOUSEHOLDS):
        moved = shift if number % 3 == 0 else 0
        yield listed("all", household, number + moved, 1)
        yield listed("discover", household, number + 12 + moved, 5)
    for whose in ("", STORE):
        yield listed(POPULAR.name, whose, 0, 1, sells)
        yield listed(TRENDING.name, whose, 2 + shift, 1, [("trending", "Selling more than usual")])
    yield listed(NEW.name, "", 12 + shift, 1, [("new", "New in the range")])
    yield listed(FALLBACK.name, "", 0, 1, sells)


def fill(store: Store, night: date) -> tuple[str, str]:
    """Publish the night before and ``night``; return the names of their releases."""
    names = (f"{night - timedelta(days=1)}-4f1c09ab", f"{night}-c05db7e2")
    for name, shift in zip(names, (0, 2), strict=True):
        lists = sorted(records(shift))
        summary = summarise(lists)
        manifest = Manifest(
            release=name,
            run_date=date.fromisoformat(name[:10]),
            model_version=f"complete_journey-all/{40 + shift}",
            table_versions={"gold.user_features": 90 + shift},
            configuration="c0ffee",
            seed=42,
            lists={
                "all": len(HOUSEHOLDS),
                "discover": len(HOUSEHOLDS),
                **dict.fromkeys((POPULAR.name, TRENDING.name), 2),
                **dict.fromkeys((NEW.name, FALLBACK.name), 1),
            },
            records=0,
            checksum="",
            format=FORMAT,
        )
        sealed = replace(manifest, records=summary.records, checksum=summary.checksum)
        publish(store, sealed, lists, keep=5)
    return names


FIRST_NIGHT, SECOND_NIGHT = date(2024, 3, 1), date(2024, 3, 2)
GATE: Final = {
    "challenger": "corner-all/7",
    "passed": False,
    "reasons": ["all: ndcg@10 fell by 0.02"],
    "checks": [
        {"list": "all", "rule": "ndcg@10", "challenger": 0.41},
        {"list": "all", "rule": "ndcg@10 over popularity", "challenger": 0.39},
        {"list": "discover", "rule": "ndcg@10", "challenger": None},
        {"list": "discover", "rule": "coverage@10", "challenger": 1.0},
    ],
}
REPORT: Final = """<!doctype html><html lang="en"><title>As written</title>
<style>h1 { color: green }</style><script>document.title = "A script"</script>
<h1>The night's report</h1>"""


def leave(folder: Path, name: str, **content: object) -> None:
    """Write what a step leaves in the folder of its night."""
    folder.mkdir(parents=True, exist_ok=True)
    outcome: dict[str, object] = {"facts": {}, "seconds": 1.5}
    write_json(folder / name, outcome | content)


def leave_nights(runs: Path) -> None:
    """Write two nights: one that has only begun, and one that the gate refused."""
    leave(runs / str(FIRST_NIGHT), "ingest.json")
    night = runs / str(SECOND_NIGHT)
    leave(night, "ingest.json")
    leave(night, "gate.json", facts=GATE)
    # It had ended well before.
    leave(night, "clean.json")
    leave(night, "clean.failed.json", reason="a column is missing")
    (night / "report.html").write_text(REPORT)
