"""LMDB and Redis side by side: seconds to publish a release, reads a second, time of a switch.

The data are generated: 5,000 lists of 20 items, about 3 kB each. Both stores run on this machine;
Redis answers over loopback, LMDB inside the process. Reads are whole look-ups of random known
users: pointer, deny list, value, checksum and JSON. They are measured once with nothing denied, and
once with 5 spare places, 1,000 denied items and a rollout to half of the users.
"""

import random
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from serving.format.denials import Act
from serving.format.records import FALLBACK_KEY, FORMAT, Item, Record, encode, key, summarise
from serving.format.releases import EVERYBODY, Manifest
from serving.lookup import lookup
from serving.publishing import publish, rollback, verify
from serving.stores.opening import open_store
from serving.stores.store import Store
from tests.redis_server import RedisServer

LISTS = 5_000
ITEMS = 20
READ_SECONDS = 2.0
SWITCHES = 50
DENIED = 1_000
SEED = 42
SHOP = "benchmark"


def generated_release(day: int, spare: int = 0) -> tuple[Manifest, list[Record]]:
    """A release of ``LISTS`` lists that differs from night to night."""
    rng = random.Random(SEED + day)  # noqa: S311 (not for secrets)

    def items() -> list[Item]:
        return [
            Item(
                rank,
                str(rng.randrange(10**7)),
                f"PRODUCT TYPE {rng.randrange(2_000)}",
                rng.random(),
                "decayed_counts",
                f"bought {rng.randrange(1, 50)} times, last {rng.randrange(90)} days ago",
            )
            for rank in range(1, ITEMS + spare + 1)
        ]

    keys = sorted([FALLBACK_KEY, *(key("all", str(user)) for user in range(LISTS))])
    records = [(record_key, encode(record_key, items(), ITEMS)) for record_key in keys]
    summary = summarise(records)
    manifest = Manifest(
        release=f"2024-01-{day:02}-00000000",
        run_date=date(2024, 1, day),
        model_version="benchmark/1",
        table_versions={},
        configuration="",
        seed=SEED,
        lists={"all": LISTS, "fallback": 1},
        records=summary.records,
        checksum=summary.checksum,
        format=FORMAT,
    )
    return manifest, records


def seconds_of(act: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def look_ups(store: Store) -> list[float]:
    """Sorted seconds of look-ups of random users, for ``READ_SECONDS`` in all."""
    rng = random.Random(SEED)  # noqa: S311 (not for secrets)
    times = []
    started = time.perf_counter()
    while time.perf_counter() - started < READ_SECONDS:
        user = str(rng.randrange(LISTS))
        times.append(seconds_of(partial(lookup, store, user)))
    return sorted(times)


def deny_and_roll_out(store: Store) -> None:
    """Deny 1,000 items, and let a release with spare places serve half of the users."""
    for day, share in ((3, EVERYBODY), (4, EVERYBODY / 2)):
        publish(store, *generated_release(day, spare=5), keep=5, share=share)
    acts = [Act("denied", str(item), "nobody", "a benchmark", "now") for item in range(DENIED)]
    store.deny(lambda known: known.after(acts))


def measure(address: str) -> dict[str, str]:
    """One store's column of the table."""
    first, second = generated_release(1), generated_release(2)
    with open_store(address, SHOP) as store, open_store(address, SHOP) as new_reader:
        publish(store, *first, keep=5)
        published = seconds_of(lambda: publish(store, *second, keep=5))
        verified = seconds_of(lambda: verify(store, second[0].release))
        opened = seconds_of(lambda: lookup(new_reader, "1"))
        times = look_ups(store)
        names = [release[0].release for release in (first, second)]
        switched = max(
            seconds_of(partial(rollback, store, name)) for name in names * (SWITCHES // len(names))
        )
        deny_and_roll_out(store)
        busy = look_ups(store)
    return {
        "publish, verify and switch (s)": f"{published:.2f}",
        "verify a release again (s)": f"{verified:.3f}",
        "first look-up of a new reader (ms)": f"{opened * 1e3:.2f}",
        "look-ups a second, one process": f"{len(times) / READ_SECONDS:,.0f}",
        "look-up, median (µs)": f"{times[len(times) // 2] * 1e6:.0f}",
        "look-up, 99th percentile (µs)": f"{times[len(times) * 99 // 100] * 1e6:.0f}",
        "look-up during a rollout, items denied, median (µs)": f"{busy[len(busy) // 2] * 1e6:.0f}",
        f"rollback, slowest of {SWITCHES} (ms)": f"{switched * 1e3:.1f}",
    }


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder, RedisServer() as server:
        columns = [measure(f"lmdb:{Path(folder) / 'store'}"), measure(server.address)]
    size = sum(len(value) for _, value in generated_release(1)[1])
    table = Table(
        "",
        Column("LMDB", justify="right"),
        Column("Redis (loopback)", justify="right"),
        title=f"{LISTS:,} lists of {ITEMS} items, {size / 1e6:.1f} MB",
    )
    for row in columns[0]:
        table.add_row(row, columns[0][row], columns[1][row])
    Console().print(table)


if __name__ == "__main__":
    main()
