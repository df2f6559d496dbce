"""Small releases for the tests of the stores: every title carries the release's name."""

from collections.abc import Sequence
from datetime import date

from lakehouse.lists import FALLBACK
from serving.format.records import FORMAT, Item, Record, encode, key, summarise
from serving.format.releases import Manifest

SHOP = "corner"
USERS = ("ann", "bob", "cy")


def item(release: str, rank: int = 1) -> Item:
    return Item(rank, f"i{rank}", f"title {rank} of {release}", 1 / rank, "counts", "bought often")


def one_list(release: str, list_name: str, user: str, size: int = 3) -> Record:
    record_key = key(list_name, user)
    return record_key, encode(record_key, [item(release, rank + 1) for rank in range(size)])


def make_release(
    name: str, users: Sequence[str] = USERS, *, size: int = 3, text: str | None = None
) -> tuple[Manifest, list[Record]]:
    """A release ``YYYY-MM-DD-…`` with both lists of each user and the fallback list.

    Titles carry ``text``, by default the name.
    """
    content = text or name
    keys = [(kind, user) for kind in ("all", "discover") for user in users] + [(FALLBACK.name, "")]
    records = sorted(one_list(content, kind, user, size) for kind, user in keys)
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
