import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from jobs.operate.lookup import show_answer, show_releases
from lakehouse.errors import ConfigurationError
from serving.format.records import Item, encode, key, summarise
from serving.lookup import Answer, lookup
from serving.publishing import ListedRelease, list_releases, publish, rollback
from serving.stores.opening import open_store
from tests.stored_lists import SHOP, decide, item, make_release, one_list

ONE, TWO = "2024-03-01-aaaaaaaa", "2024-03-02-bbbbbbbb"


@pytest.fixture
def address(tmp_path: Path) -> str:
    address = f"lmdb:{tmp_path}/store"
    with open_store(address, SHOP) as store:
        for name in (ONE, TWO):
            publish(store, *make_release(name), keep=5)
    return address


def shown(content: RenderableType) -> list[str]:
    console = Console(width=100, force_terminal=False)
    with console.capture() as capture:
        console.print(content)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_known_user_gets_their_list(address: str) -> None:
    with open_store(address, SHOP) as store:
        items = tuple(item(TWO, rank) for rank in (1, 2, 3))
        assert lookup(store, "ann") == Answer(TWO, "all", True, items)
        assert lookup(store, "bob", "discover") == Answer(TWO, "discover", True, items)


def test_an_unknown_user_gets_the_fallback_list(address: str) -> None:
    with open_store(address, SHOP) as store:
        for stranger in ("", "nobody", "all\0ann", "x" * 10_000, "\udcff"):
            answer = lookup(store, stranger)
            assert (answer.personal, answer.items[0].title) == (False, f"title 1 of {TWO}")


def test_an_unknown_user_gets_the_list_of_their_context_if_there_is_one(tmp_path: Path) -> None:
    manifest, records = make_release(ONE)
    records = sorted([*records, one_list("the north", "popular", "store_id=north")])
    summary = summarise(records)
    manifest = replace(manifest, records=summary.records, checksum=summary.checksum)
    with open_store(f"lmdb:{tmp_path}/store", SHOP) as store:
        publish(store, manifest, records, keep=5)
        north = lookup(store, "nobody", contexts=["store_id=north"])
        assert (north.personal, north.items[0].title) == (False, "title 1 of the north")
        assert lookup(store, "nobody", contexts=["store_id=moon"]) == lookup(store, "nobody")
        assert lookup(store, "ann", contexts=["store_id=north"]) == lookup(store, "ann")
        # Of what rises there is no list, so that what sells there answers.
        rising = lookup(store, "", "trending", contexts=["store_id=north"])
        assert (rising.personal, rising.items) == (False, north.items)
        assert lookup(store, "", "popular", contexts=["store_id=north"]).personal


def test_a_user_may_be_called_as_a_context_is(tmp_path: Path) -> None:
    manifest, records = make_release(ONE, ("store_id=north",))
    records = sorted([*records, one_list("the north", "popular", "store_id=north")])
    summary = summarise(records)
    manifest = replace(manifest, records=summary.records, checksum=summary.checksum)
    with open_store(f"lmdb:{tmp_path}/store", SHOP) as store:
        publish(store, manifest, records, keep=5)
        theirs = lookup(store, "store_id=north")
        assert (theirs.tier, theirs.personal) == ("user", True)
        assert theirs.items[0].title == f"title 1 of {ONE}"
        north = lookup(store, "nobody", contexts=["store_id=north"])
        assert (north.tier, north.items[0].title) == ("context", "title 1 of the north")


def test_contexts_of_one_name_are_mixed_and_others_asked_in_their_order(tmp_path: Path) -> None:
    manifest, records = make_release(ONE)
    further = {
        "category=BEER": "abc",
        "category=MILK": "cdef",
        "store_id=north": "gh",
    }
    for context, items in further.items():
        record_key = key("popular", context)
        places = [Item(n, one, None, 1.0, "s", "r") for n, one in enumerate(items, start=1)]
        records.append((record_key, encode(record_key, places, len(items))))
    records.sort()
    summary = summarise(records)
    manifest = replace(manifest, records=summary.records, checksum=summary.checksum)
    with open_store(f"lmdb:{tmp_path}/store", SHOP) as store:
        publish(store, manifest, records, keep=5)

        def listed(*contexts: str) -> list[str]:
            answer = lookup(store, "nobody", contexts=contexts)
            assert [item.rank for item in answer.items] == [*range(1, len(answer.items) + 1)]
            return [item.item_id for item in answer.items]

        assert listed("category=MILK", "category=BEER", "store_id=north") == ["c", "a", "d", "b"]
        assert listed("store_id=north", "category=MILK", "category=BEER") == ["g", "h"]
        assert listed("category=MOON", "category=BEER") == ["a", "b", "c"]
        assert listed("category=MOON", "store_id=north") == ["g", "h"]
        # What is denied is in no list before they are mixed.
        decide(store, "denied", "c")
        assert listed("category=MILK", "category=BEER") == ["d", "a", "e"]


@pytest.mark.parametrize("name", ["worst", "", "ALL"])
def test_an_unknown_list_is_a_wrong_call(address: str, name: str) -> None:
    with (
        open_store(address, SHOP) as store,
        pytest.raises(ConfigurationError, match=f"no list '{name}'; the lists are all, discover"),
    ):
        lookup(store, "ann", name)


def test_a_release_without_a_fallback_list_is_damaged_for_strangers_only(address: str) -> None:
    manifest, records = make_release("2024-03-03-cccccccc")
    records = [record for record in records if not record[0].startswith(b"fallback")]
    summary = summarise(records)
    manifest = type(manifest)(
        **{name: getattr(manifest, name) for name in manifest.__slots__}
        | {"records": summary.records, "checksum": summary.checksum}
    )
    with open_store(address, SHOP) as store:
        publish(store, manifest, records, keep=5)
        assert lookup(store, "ann").release == "2024-03-03-cccccccc"
        answer = lookup(store, "nobody")
        assert answer.release == TWO
        assert answer.notice is not None
        assert "has no fallback list" in answer.notice


def test_a_list_is_shown_with_names_reasons_release_and_time() -> None:
    items = (
        Item(1, "i1", "Milk [bold]2 %[/bold]", 0.25, "counts", "bought 9 times"),
        Item(2, "i2", None, 1234.5, "fm", "new \x1b[31m\u202e"),
    )
    assert shown(show_answer(Answer(ONE, "all", True, items), "7", 0.42)) == [
        "user 7",
        " #  product                     why                 score  from",
        " 1  Milk [bold]2 %[/bold] (i1)  bought 9 times      0.25   counts",
        " 2  i2                          new \\x1b[31m\\u202e  1234   fm",
        "list all, tier user, release 2024-03-01-aaaaaaaa, 0.4 ms",
    ]


def test_a_stranger_and_a_notice_are_shown() -> None:
    answer = Answer(ONE, "all", False, (), "the current release is damaged")
    lines = shown(show_answer(answer, "a\nb", 1))
    assert lines[0] == "user a\\nb is unknown, so the popular items"
    assert lines[-1] == "warning: the current release is damaged"


def test_the_releases_are_shown_with_their_state(address: str, tmp_path: Path) -> None:
    with open_store(address, SHOP) as store:
        rollback(store)
        next((tmp_path / "store/releases").glob(f"{ONE}.json")).unlink()
        lines = shown(show_releases(list_releases(store)))
    lists = "all 3, discover 3, fallback 1"
    assert lines == [
        " release              state             run date    model       lists",
        f" 2024-03-02-bbbbbbbb  rolled back       2024-03-02  topshelf/7  {lists}",
        " 2024-03-01-aaaaaaaa  current, damaged",
    ]
    assert shown(show_releases((ListedRelease("a\udcff", None, "stored"),)))[1].split() == [
        "a\\udcff",
        "stored,",
        "damaged",
    ]
    assert shown(show_releases(())) == ["no releases yet: run `topshelf publish --run-date D`"]


@pytest.mark.parametrize(
    ("scheme", "absent"),
    [
        ("lmdb:x", "redis"),
        ("redis://127.0.0.1:1/0", "lmdb"),
    ],
)
def test_looking_up_loads_nothing_heavy(scheme: str, absent: str) -> None:
    code = (
        "import sys, jobs.operate.lookup, serving.lookup; "
        "from serving.stores.opening import open_store; "
        f"open_store({scheme!r}, 'corner'); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"pandas", "pyarrow", "numpy", "mlflow", "pyspark", "deltalake", "great_expectations"}
    assert (heavy | {absent}) & set(done.stdout.split()) == set()
