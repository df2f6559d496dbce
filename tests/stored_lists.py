"""Small releases for the tests of the stores: every title carries the release's name."""

from collections.abc import Iterator, Sequence
from datetime import date

from lakehouse.lists import FALLBACK
from serving.format.denials import Act, Action
from serving.format.records import FORMAT, Item, Record, encode, key, summarise
from serving.format.releases import Manifest
from serving.publishing import publish
from serving.stores.store import Store

SHOP = "corner"
USERS = ("ann", "bob", "cy")
OLD, NEW = "2024-03-01-aaaaaaaa", "2024-03-02-bbbbbbbb"
NEWER, NEWEST = "2024-03-03-cccccccc", "2024-03-04-dddddddd"


def item(release: str, rank: int = 1) -> Item:
    return Item(rank, f"i{rank}", f"title {rank} of {release}", 1 / rank, "counts", "bought often")


def one_list(release: str, list_name: str, user: str, size: int = 3, spare: int = 0) -> Record:
    record_key = key(list_name, user)
    items = [item(release, rank + 1) for rank in range(size + spare)]
    return record_key, encode(record_key, items, size)


def make_release(
    name: str,
    users: Sequence[str] = USERS,
    *,
    size: int = 3,
    spare: int = 0,
    text: str | None = None,
) -> tuple[Manifest, list[Record]]:
    """A release ``YYYY-MM-DD-…`` with both lists of each user and the fallback list.

    Titles carry ``text``, by default the name.
    """
    content = text or name
    keys = [(kind, user) for kind in ("all", "discover") for user in users] + [(FALLBACK.name, "")]
    records = sorted(one_list(content, kind, user, size, spare) for kind, user in keys)
    summary = summarise(records)
    manifest = Manifest(
        release=name,
        run_date=date.fromisoformat(name[:10]),
        model_version="topshelf/7",
        table_versions={"gold.user_features": 4},
        configuration="c0ffee",
        seed=42,
        lists={"all": len(users), "discover": len(users), FALLBACK.name: 1},
        records=summary.records,
        checksum=summary.checksum,
        format=FORMAT,
    )
    return manifest, records


def put(store: Store, name: str, *, keep: int = 5, text: str | None = None, spare: int = 0) -> None:
    publish(store, *make_release(name, text=text, spare=spare), keep=keep)


def act(action: Action, item_id: str, why: str = "recall") -> Act:
    return Act(action, item_id, "ann", why, "2024-03-02 10:00:00")


def decide(store: Store, action: Action, *item_ids: str) -> None:
    """Deny or allow items."""
    store.deny(lambda known: known.after(act(action, item_id) for item_id in item_ids))


def flipped(content: bytes) -> Iterator[bytes]:
    """The content with one bit wrong, once for every byte."""
    for place, byte in enumerate(content):
        yield content[:place] + bytes([byte ^ 1 << place % 8]) + content[place + 1 :]
