"""A small made shop: its configuration, and the files it lands with two rows that are not clean."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np

from serving.feedback.events import Event, EventType
from serving.feedback.journal import Journal

NIGHT = date(2024, 2, 10)
FIRST_DAY = date(2024, 1, 1)
UNDELIVERED = date(2024, 1, 20)
USERS, ITEMS, SIZE, VISITS = 60, 42, 3, 0.3
DISMISSED = ("u3", "0")
DEPARTMENTS = ("BAKERY", "DAIRY", "PRODUCE", "FUEL")

CONFIG = """
[shop]
name = "corner"

[paths]
lake = "FOLDER/lake"
landing = "FOLDER/landing"
runs = "FOLDER/runs"
data_quality = "FOLDER/data_quality"

[[sources]]
name = "till"
target = "events"
path = "till/{date}.csv"
format = "csv"
constants = { event_type = "purchase" }
[sources.columns]
user_id = "card"
item_id = "article"
event_time = "at"
quantity = "units"
value = "paid"
order_id = "receipt"

[[sources]]
name = "catalogue"
target = "items"
path = "catalogue.csv"
format = "csv"
columns = { item_id = "article", title = "name", department = "department" }

[features]
excluded_departments = ["FUEL"]

[train]
test_days = 7
validation_days = 7

[models.hybrid_lightfm]
components = 4
max_epochs = 2

[recommend]
size = SIZE

[serving]
store = "lmdb:FOLDER/store"

[mlflow]
tracking_uri = "sqlite:///FOLDER/mlflow.db"
artifacts = "FOLDER/artifacts"
"""


def configure(folder: Path) -> str:
    """The configuration of the shop whose state is in ``folder``."""
    return CONFIG.replace("FOLDER", str(folder)).replace("SIZE", str(SIZE))


def receipt_lines(day: date, chance: np.random.Generator) -> list[str]:
    """Some users come; each takes two articles of those that its number shares a remainder with."""
    return [
        f"u{user},{article},{day} 1{hour}:00:00,1,2.5,{day}-{user}"
        for user in range(USERS)
        if chance.random() < VISITS
        for hour in (1, 2)
        for article in [int(ITEMS * chance.random() ** 2) // 3 * 3 + user % 3]
    ]


def land(folder: Path) -> int:
    """Write the files; return the rows of the till, of which the last two are not clean."""
    (folder / "till").mkdir(parents=True)
    chance = np.random.default_rng(7)
    rows = 0
    for day in (FIRST_DAY + timedelta(days=n) for n in range((NIGHT - FIRST_DAY).days)):
        if day == UNDELIVERED:
            continue
        lines = receipt_lines(day, chance)
        if day == NIGHT - timedelta(days=1):
            lines += [lines[0], f",7,{day} 12:00:00,1,2.5,x"]
        rows += len(lines)
        text = "\n".join(["card,article,at,units,paid,receipt", *lines])
        (folder / "till" / f"{day}.csv").write_text(text + "\n")
    goods = [f"{n},Article {n},{DEPARTMENTS[n % len(DEPARTMENTS)]}" for n in range(ITEMS)]
    (folder / "catalogue.csv").write_text("\n".join(["article,name,department", *goods]) + "\n")
    return rows


def react(folder: Path) -> None:
    """Keep, as the API does, what a user did on the last day with a list of a former release."""
    user, item = DISMISSED
    then = datetime.combine(NIGHT - timedelta(days=1), time(12), UTC)
    kinds: tuple[EventType, ...] = ("impression", "click", "dismissal")
    journal = Journal(folder / "feedback", lambda: then)
    journal.append(
        [
            Event(
                event_id=f"web-{kind}",
                event_type=kind,
                user_id=user,
                item_id=item,
                event_time=then,
                recommendation_id=f"{then.date()}-0a1b2c3d.all.user.-.0badcafe",
                position=1,
            )
            for kind in kinds
        ]
    )
    journal.close()
