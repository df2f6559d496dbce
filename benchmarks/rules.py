"""What 200 business rules cost beside the top-N stage that they arrange the lists of.

Made-up factors of 25,000 users and 25,000 items, lists of 20 places. The rules: blocks, boosts and
buries on attributes and people, caps by brand and category, quotas, pins, repeat policies. Prints a
table: the stage without rules, with each group of rules, and with all of them, each timed so many
times in turn.
"""

import resource
import time
from datetime import date
from statistics import median
from typing import Final

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy import sparse

from lakehouse.lists import ALL
from models.core.assortment import Assortment
from models.core.base import Known
from models.core.interactions import UNKNOWN, Ids
from models.core.lists import Lists
from models.lists.path import Policy, make_lists
from models.lists.rules.book import RuleBook
from models.lists.rules.night import NightRules
from models.lists.rules.shelf import Shelf
from models.recommenders.als import ImplicitAls

USERS, ITEMS, FACTORS, SIZE = 25_000, 25_000, 64, 20
ROUNDS: Final = 5
HEAD: Final = '[[rules]]\nowner = "benchmark"\nreason = "to be timed"\n'


def main() -> None:
    """Print the medians of seconds and CPU seconds of making everybody's lists, in turn."""
    random = np.random.default_rng(1)
    method, assortment, shelf = shop(random)
    users = np.arange(USERS, dtype=np.int32)
    groups = rules()
    groups["all"] = "".join(groups.values())
    books = {name: RuleBook.parse(text) for name, text in {"none": "", **groups}.items()}

    def lists(book: RuleBook) -> Lists:
        # What is looked up of a night's rules is part of the cost.
        night = NightRules.of(book, ALL.name, fresh(shelf)) if book.rules else None
        return make_lists(method, ALL, users, assortment, Policy(size=SIZE), rules=night)

    wall: dict[str, list[float]] = {name: [] for name in books}
    cpu: dict[str, list[float]] = {name: [] for name in books}
    # The libraries' first call is slower than any later one.
    made = lists(books["all"])
    short = int((made.item == UNKNOWN).any(axis=1).sum())
    for _ in range(ROUNDS):
        for name, book in books.items():
            started, spent = time.perf_counter(), time.process_time()
            lists(book)
            wall[name].append(time.perf_counter() - started)
            cpu[name].append(time.process_time() - spent)
    table = Table("rules", "how many", "seconds", "CPU seconds", "of the stage")
    for name, book in books.items():
        ratios = [one / none for one, none in zip(cpu[name], cpu["none"], strict=True)]
        table.add_row(
            name,
            str(len(book.rules)),
            f"{median(wall[name]):.2f}",
            f"{median(cpu[name]):.2f}",
            f"{median(ratios) - 1:+.0%}",
        )
    Console().print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{short} of {USERS} lists short under all rules; {peak:.0f} MiB at most")


def fresh(shelf: Shelf) -> Shelf:
    """The same shelf, of which nothing has been looked up."""
    ids = shelf.items["item_id"].to_numpy(dtype=object)
    age = shelf.items["age_days"].to_numpy(dtype=float)
    return Shelf.build(ids, age, shelf.items, shelf.users, shelf.days_since)


def shop(random: np.random.Generator) -> tuple[ImplicitAls, Assortment, Shelf]:
    """A method with random factors, and attributes of items and people."""
    ids = (_ids("u", USERS), _ids("i", ITEMS))
    taken = sparse.random_array((USERS, ITEMS), density=0.002, format="csr", rng=random)
    sellable = np.ones(ITEMS, dtype=np.bool_)
    method = ImplicitAls(factors=FACTORS)
    method._known = Known(*ids, sparse.csr_array(taken, dtype=np.bool_), sellable)
    method._user_vectors = random.normal(size=(USERS, FACTORS)).astype(np.float32)
    method._item_vectors = random.normal(size=(ITEMS, FACTORS)).astype(np.float32)
    items = pd.DataFrame(
        {
            "department": [f"D{place}" for place in random.integers(0, 20, ITEMS)],
            "category": [f"C{place}" for place in random.integers(0, 300, ITEMS)],
            "product_type": [f"T{place}" for place in random.integers(0, 2000, ITEMS)],
            "brand": [f"B{place}" for place in random.integers(0, 500, ITEMS)],
            "unit_price": random.gamma(2, 2, ITEMS),
            "price_band": random.integers(1, 6, ITEMS).astype(float),
        }
    )
    people = pd.DataFrame({"club": random.choice(["gold", "silver", "none"], USERS)})
    age = random.integers(0, 400, ITEMS).astype(float)
    days = sparse.csr_array(taken)
    days.data = random.integers(1, 300, days.nnz)
    popularity = random.gamma(0.5, 10, ITEMS)
    night = Assortment(_today(), sellable, popularity, age.astype(np.int32))
    return method, night, Shelf.build(ids[1], age, items, people, days)


def rules() -> dict[str, str]:
    """200 rules by what they do."""

    def many(group: str, count: int, kind: str, body: str, **more: str) -> str:
        said = "".join(f"{name} = {value}\n" for name, value in more.items())
        return "".join(
            f'{HEAD}kind = "{kind}"\nid = "{group}-{kind}-{place}"\n'
            f"{said}{body.replace('#', str(place))}\n"
            for place in range(count)
        )

    in_d1 = 'items = { department = "D1" }\nper = "category"'
    pinned = 'item = "i0000#"\nplace = 3\nusers = { club = "silver" }'
    gold = '{ club = "gold" }'
    return {
        "blocks": many("blocks", 60, "block", 'items = { category = "C#" }'),
        "moves": many("up", 60, "boost", 'items = { brand = "B#" }', places="3.0")
        + many("down", 30, "bury", 'items = { product_type = "T#" }', places="5.0"),
        "for some": many(
            "some", 20, "boost", 'items = { category = "C2#" }', places="4.0", users=gold
        ),
        "caps": many("brand", 1, "at_most", 'per = "brand"', limit="2")
        + many("in-d1", 1, "at_most", in_d1, limit="3"),
        "quotas": many("share", 3, "quota", 'items = { department = "D#" }', at_least="2"),
        "pins": many("pins", 15, "pin", pinned),
        "repeats": many("days", 10, "repeat", 'items = { department = "D#" }', after_days="30"),
    }


def _ids(letter: str, count: int) -> Ids:
    return np.array([f"{letter}{place:05}" for place in range(count)], dtype=object)


def _today() -> date:
    return date(2024, 1, 1)


if __name__ == "__main__":
    main()
