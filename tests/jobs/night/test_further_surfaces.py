"""Lists about items: those of the product, and one more, which is a declaration and a ranking.

That one is declared before anything else of the product is loaded, in a process of its own.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NIGHT = """
import json, sys
from pathlib import Path

from lakehouse import lists

TOGETHER = lists.Surface(
    "together",
    keyed_by="item",
    ranked_by="together",
    doc="what goes with an item",
    size=2,
    rules=("block", "require", "sensitive"),
    filter_seen=True,
    fills_up=False,
)
lists.SURFACES += (TOGETHER,)
lists.LISTS += ("together",)

import pyarrow as pa
from rich.console import Console
from scipy import sparse
from jobs.night import lists as night
from jobs.night.outcomes import keep
from jobs.operate.lookup import complete
from jobs.steps import gate, publish, recommend
from lakehouse.io import arrow
from lakehouse.tables import ITEM_RELATED, RECOMMENDATIONS
from models.core.interactions import index_of
from models.lists.keyed import of_items
from serving.lookup import lookup
from serving.stores.opening import open_store
from tests.nights import COUNTS, NIGHT, POPULARITY, Event, plant, settings_in, write_lake
from tests.rows import row

PAIRS = {
    ("milk", "bread"): 3, ("milk", "milk"): 9, ("milk", "eggs"): 5, ("milk", "wine"): 4,
    ("milk", "jam"): 2, ("milk", "tea"): 1, ("bread", "tea"): 2, ("bread", "milk"): 1,
    ("gone", "milk"): 1,
}
SHELVES = {
    ("milk", "bread"): 3, ("milk", "eggs"): 5, ("milk", "wine"): 4, ("milk", "jam"): 2,
    ("milk", "tea"): 1, ("bread", "tea"): 2, ("bread", "milk"): 1, ("gone", "milk"): 1,
    ("jam", "tea"): 4, ("jam", "milk"): 3, ("jam", "eggs"): 2, ("jam", "soap"): 2,
    ("jam", "rice"): 1, ("jam", "forgotten"): 9, ("eggs", "tea"): 4, ("eggs", "milk"): 3,
    ("eggs", "soap"): 2, ("eggs", "rice"): 1,
}

def together(known, surface):
    one, other = (index_of(known.item_ids, ids) for ids in zip(*PAIRS))
    size = len(known.item_ids)
    scores = sparse.csr_array((list(PAIRS.values()), (one, other)), shape=(size, size), dtype=float)
    return of_items(scores, known.item_ids, name="together")

night.RANKINGS["together"] = together

folder = Path(sys.argv[1])
(folder / "rules.toml").write_text('''
[[rules]]
kind = "sensitive"
id = "no-eggs"
owner = "us"
reason = "a recall"
items = { item_id = "eggs" }
[[rules]]
kind = "pin"
id = "tea-first"
owner = "us"
reason = "tea week"
item = "tea"
place = 1
''')
settings = settings_in(folder, size=3)
section = settings.recommend.model_copy(
    update={"rules": folder / "rules.toml", "spare_places": 1}
)
settings = settings.model_copy(update={"recommend": section})
# A user may be called as an item is; what they took says nothing of the item's list.
events = [Event("milk", "bread", 3), Event("milk", "jam", 3), Event("bob", "milk", 1)]
# Most often of all eggs, which a rule hides: no row says so.
events += [Event("milk", "eggs", 2), Event("milk", "eggs", 1)]
events += [Event("bob", item, 9) for item in ("bread", "tea", "eggs", "wine", "gone")]
items = {name: {"sellable": name not in ("wine", "gone")}
         for name in ("milk", "bread", "tea", "eggs", "wine", "jam", "gone", "soap", "rice")}
write_lake(settings, events, items)
related = [
    row(ITEM_RELATED, run_date=NIGHT, item_id=one, related_item_id=other, rank=rank, kind=kind,
        score=float(score), support=score, baskets=10)
    for kind in ("bought_together", "similar")
    for rank, ((one, other), score) in enumerate(SHELVES.items(), start=1)
    if kind == "bought_together" or one == "bread"
]
arrow.replace(
    settings.paths.lake, ITEM_RELATED,
    pa.Table.from_pylist(related, schema=arrow.arrow_schema(ITEM_RELATED)), {"run_date": NIGHT},
)
plant(settings, {"all": COUNTS, "discover": POPULARITY})
gate.run(settings, run_date=NIGHT)
report = recommend.run(settings, run_date=NIGHT)
keep(report, lake=settings.paths.lake, runs=settings.paths.runs)
publish.run(settings, run_date=NIGHT)

columns = ["user_id", "rank", "item_id", "tier", "reason_code", "spare", "rules"]
rows = arrow.read(
    settings.paths.lake, RECOMMENDATIONS, columns=columns, filters=[("list", "=", "together")]
).to_pylist()
rows.sort(key=lambda row: (row["user_id"], row["rank"]))
shelves = arrow.read(
    settings.paths.lake, RECOMMENDATIONS,
    columns=["list", "user_id", "rank", "item_id", "reason_code", "reason"],
    filters=[("list", "in", ["bought_together", "similar", "because_you_bought"])],
).to_pylist()
shelves.sort(key=lambda row: list(row.values())[:3])
with open_store(settings.serving.store, "corner") as store:
    lists_of = store.manifests()[store.pointer().current].lists
    answers = {}
    for name, *asked in (
        ("together", "milk"), ("together", "moon"), ("together", "bread"),
        ("bought_together", "soap"), ("because_you_bought",),
        ("cart", "bread", "milk"), ("cart", "milk", "moon"), ("cart", "moon", "sun"),
    ):
        found = lookup(store, "milk", name, items=asked)
        answers[" ".join([name, *asked])] = [
            found.tier, found.personal, *(item.item_id for item in found.items)
        ]
    first = [lookup(store, "milk", name).items[0].item_id for name in ("all", "fallback")]
console = Console(width=100, no_color=True)
with console.capture() as printed:
    console.print(complete(settings, ["bread, milk", "bread"]))
print(json.dumps({
    "printed": printed.get(),
    "rows": [list(row.values()) for row in rows],
    "shelves": [list(row.values()) for row in shelves],
    "lists": dict(lists_of), "answers": answers, "first": first,
}))
"""


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("night")
    done = subprocess.run(
        [sys.executable, "-c", NIGHT, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_lists_of_items_are_in_gold_with_their_own_size_and_rules(night: dict[str, Any]) -> None:
    # No eggs (a rule), no wine (not sold), no milk beside milk; pins don't apply here.
    assert night["rows"] == [
        ["bread", 1, "tea", "item", "similar_taste", False, []],
        ["bread", 2, "milk", "item", "similar_taste", False, []],
        ["gone", 1, "milk", "item", "similar_taste", False, []],
        ["milk", 1, "bread", "item", "similar_taste", False, []],
        ["milk", 2, "jam", "item", "similar_taste", False, []],
        ["milk", 3, "tea", "item", "similar_taste", True, []],
    ]
    assert night["first"] == ["tea", "tea"]


def test_shelves_name_the_item_that_they_are_about(night: dict[str, Any]) -> None:
    def together(about: str, *items: tuple[str, int]) -> list[list[Any]]:
        return [
            [
                "bought_together",
                about,
                rank,
                item,
                "together",
                f"Bought with {about} in {support} of 10 baskets",
            ]
            for rank, (item, support) in enumerate(items, start=1)
        ]

    # No eggs (a rule), no wine (not sold), nothing that the night does not know.
    because = ["because", "Because you bought jam"]
    assert night["shelves"] == [
        # The user called milk bought jam; what they had bought already is not repeated.
        ["because_you_bought", "milk", 1, "tea", *because],
        ["because_you_bought", "milk", 2, "milk", *because],
        ["because_you_bought", "milk", 3, "soap", *because],
        ["because_you_bought", "milk", 4, "rice", *because],
        *together("bread", ("tea", 2), ("milk", 1)),
        *together("eggs", ("tea", 4), ("milk", 3), ("soap", 2), ("rice", 1)),
        *together("gone", ("milk", 1)),
        *together("jam", ("tea", 4), ("milk", 3), ("soap", 2), ("rice", 1)),
        *together("milk", ("bread", 3), ("jam", 2), ("tea", 1)),
        ["similar", "bread", 1, "tea", "similar", "Like bread"],
        ["similar", "bread", 2, "milk", "similar", "Like bread"],
    ]


def test_lists_of_items_are_published_and_answer_for_items_and_baskets(
    night: dict[str, Any],
) -> None:
    assert {name: night["lists"][name] for name in ("together", "similar")} == {
        "together": 3,
        "similar": 1,
    }
    assert night["lists"]["bought_together"] == 5
    assert night["lists"]["because_you_bought"] == 1
    assert "cart" not in night["lists"]
    assert night["answers"] == {
        "together milk": ["item", True, "bread", "jam"],
        # Without fallbacks an unknown item has an empty list.
        "together moon": ["item", False],
        "together bread": ["item", True, "tea", "milk"],
        "bought_together soap": ["item", False],
        "because_you_bought": ["user", True, "tea", "milk", "soap", "rice"],
        # What goes with both goes best, without what is in the basket.
        "cart bread milk": ["item", True, "tea", "jam"],
        "cart milk moon": ["item", True, "bread", "jam", "tea"],
        "cart moon sun": ["global", False, "tea", "bread", "milk"],
    }


def test_a_basket_is_completed_by_command_without_a_model(night: dict[str, Any]) -> None:
    lines = [line.split() for line in night["printed"].splitlines()]
    assert lines[0] == ["what", "a", "basket", "lacks"]
    assert lines[2][:2] == ["1", "tea"]
    assert "Bought with bread in 2 of 10 baskets" in " ".join(lines[2])
    assert lines[3][:2] == ["2", "jam"]
    assert "list cart, tier item" in " ".join(lines[4])
