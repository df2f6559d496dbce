"""A small shop's night trained again and again, each time in a process of its own.

Made-up purchases of two years. LightGBM ended 4 of 10 trainings of such a shop by a segmentation
fault before `models/ranking/boosters.py` fixed its threads. Prints how the trainings ended, and
exits with 1 where a signal ended one.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from datetime import date, timedelta
from multiprocessing.connection import Connection
from typing import Final

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from models.core.context import Context
from models.core.interactions import Interactions
from models.lists.path import Policy
from models.selection.choice import Terms
from models.selection.recipe import Recipe
from models.selection.split import Nights
from models.selection.training import train

USERS, ITEMS, DAYS = 500, 167, 730
EVENTS: Final = 8_000
OF_OWN_TASTE: Final = 0.6
RUN_DATE: Final = date(2024, 1, 1)
WINDOW: Final = timedelta(days=28)
METHODS: Final = ("popularity", "decayed_counts", "two_stage", "hybrid_lightfm")


def main() -> int:
    """Print a row per way in which trainings ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=60, help="trainings")
    count = parser.parse_args().count
    endings = [training() for _ in range(count)]
    table = Table("ended", "trainings", "seconds each", "CPU seconds each", "peak MiB")
    for ended in sorted({ending[0] for ending in endings}):
        alike = np.array([ending[1:] for ending in endings if ending[0] == ended])
        table.add_row(
            "well" if ended == 0 else f"with {ended}",
            str(len(alike)),
            f"{alike[:, 0].mean():.1f}",
            f"{alike[:, 1].mean():.1f}",
            f"{alike[:, 2].max():.0f}",
        )
    Console().print(table)
    return int(any(ended < 0 for ended, *_ in endings))


def training() -> tuple[int, float, float, float]:
    """Train once; the exit code (minus the signal that ended it), wall and CPU seconds, peak."""
    reading, writing = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_train, args=(writing,))
    started = time.perf_counter()
    process.start()
    writing.close()
    try:
        cpu_seconds, peak = reading.recv()
    except EOFError:
        cpu_seconds, peak = np.nan, np.nan
    process.join()
    return process.exitcode or 0, time.perf_counter() - started, cpu_seconds, peak


def _train(done: Connection) -> None:
    train(
        [Recipe(name, {}) for name in METHODS],
        _nights(),
        Terms(seed=42, constant_share=0.95),
        newcomers=Recipe("ease", {}),
        policy=Policy(),
    )
    used = resource.getrusage(resource.RUSAGE_SELF)
    done.send((used.ru_utime + used.ru_stime, used.ru_maxrss / 1024))


def _nights() -> Nights:
    random = np.random.default_rng(1)
    taste = random.integers(ITEMS, size=(USERS, 5))
    user = random.integers(USERS, size=EVENTS)
    own = taste[user, random.integers(5, size=EVENTS)]
    anything = np.floor(random.beta(1, 3, size=EVENTS) * ITEMS).astype(np.int64)
    item = np.where(random.random(EVENTS) < OF_OWN_TASTE, own, anything)
    events = Interactions.from_frame(
        pd.DataFrame(
            {
                "user_id": [f"u{index}" for index in user],
                "item_id": [f"i{index}" for index in item],
                "event_date": pd.Timestamp(RUN_DATE)
                - pd.to_timedelta(1 + random.integers(DAYS, size=EVENTS), unit="D"),
                "quantity": random.integers(1, 4, size=EVENTS).astype(float),
                "value": random.uniform(0.5, 20, size=EVENTS),
            }
        ),
        item_ids=[f"i{index}" for index in range(ITEMS)],
    )
    items = pd.DataFrame(
        {
            "item_id": [f"i{index}" for index in range(ITEMS)],
            "department": [f"D{index % 7}" for index in range(ITEMS)],
            "product_type": [f"T{index % 31}" for index in range(ITEMS)],
            "sellable": True,
        }
    )
    validation, test, today = (
        Context.build(events, as_of=RUN_DATE - WINDOW * back, item_features=items)
        for back in (2, 1, 0)
    )
    return Nights(events, validation, test, today)


if __name__ == "__main__":
    sys.exit(main())
