"""What every store does with a deny list."""

import re
import time
from functools import partial
from pathlib import Path
from signal import SIGKILL

import pytest

from lakehouse.errors import InfrastructureError
from serving.format.denials import HEAD_BYTES, DenyList
from serving.lookup import lookup, lookup_all
from serving.publishing import publish, rollback
from serving.stores.opening import open_store
from serving.stores.store import Store
from tests.store_processes import start
from tests.stored_lists import (
    NEW,
    NEWER,
    NEWEST,
    OLD,
    SHOP,
    act,
    decide,
    flipped,
    make_release,
    put,
)


def ids(store: Store, user: str = "ann", list_name: str = "all") -> list[tuple[int, str]]:
    return [(item.rank, item.item_id) for item in lookup(store, user, list_name).items]


class DenyConformance:
    """For a class with the fixtures `address` and `store`."""

    def _read_raw(self, store: Store, what: str) -> bytes:
        raise NotImplementedError

    def _write_raw(self, store: Store, what: str, content: bytes) -> None:
        raise NotImplementedError

    def test_an_open_reader_hides_a_denied_item_at_its_next_look_and_spare_ones_move_up(
        self, store: Store, address: str
    ) -> None:
        put(store, OLD, spare=2)
        with open_store(address, SHOP) as reader:
            assert ids(reader) == [(1, "i1"), (2, "i2"), (3, "i3")]
            decide(store, "denied", "i2")
            for user, list_name in (("ann", "all"), ("bob", "discover"), ("nobody", "all")):
                assert ids(reader, user, list_name) == [(1, "i1"), (2, "i3"), (3, "i4")]
            decide(store, "denied", "i1", "i5")
            assert ids(reader) == [(1, "i3"), (2, "i4")]
            decide(store, "allowed", "i1", "i2", "i5")
            assert ids(reader) == [(1, "i1"), (2, "i2"), (3, "i3")]

    def test_another_process_acts_within_a_second(
        self, store: Store, address: str, tmp_path: Path
    ) -> None:
        put(store, OLD)
        reader = start("await_denial", address, "i2", str(tmp_path / "ready"))
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)
        started = time.time()
        decide(store, "denied", "i2")
        output, errors = reader.communicate(timeout=30)
        assert reader.returncode == 0, errors
        assert 0 <= float(output) - started < 1

    def test_what_is_denied_stays_so_whatever_is_published_rolled_back_or_dropped(
        self, store: Store
    ) -> None:
        decide(store, "denied", "i2")  # Before anything was published.
        for name in (OLD, NEW, NEWER, NEWEST):
            put(store, name, keep=2, spare=1)
            assert ids(store) == [(1, "i1"), (2, "i3"), (3, "i4")]
        rollback(store)
        assert ids(store) == [(1, "i1"), (2, "i3"), (3, "i4")]
        assert lookup(store, "ann").release == NEWER
        assert store.read((b"k",), NEWEST).denied == {"i2"}
        assert store.denials() == DenyList((act("denied", "i2"),))

    def test_who_denied_what_and_why_is_kept(self, store: Store) -> None:
        decide(store, "denied", "i1", "i2")
        store.deny(lambda known: known.after([act("allowed", "i1", "back on the shelf")]))
        assert store.denials().acts == (
            act("denied", "i1"),
            act("denied", "i2"),
            act("allowed", "i1", "back on the shelf"),
        )
        assert store.denials().items == {"i2"}

    def test_a_change_that_changes_nothing_writes_nothing(self, store: Store) -> None:
        decide(store, "denied", "i1")
        before = self._read_raw(store, "denied")
        self._write_raw(store, "denied", before)
        decide(store, "allowed", "i2")
        assert self._read_raw(store, "denied") == before

    def test_denials_of_two_processes_are_all_kept(self, store: Store, address: str) -> None:
        deniers = [start("deny", address, name, "40") for name in ("one", "other")]
        for denier in deniers:
            _, errors = denier.communicate(timeout=60)
            assert denier.returncode == 0, errors
        assert store.denials().items == {
            f"{name}-{number}" for name in ("one", "other") for number in range(40)
        }

    @pytest.mark.parametrize("point", ["deciding", "writing", "after_writing"])
    def test_a_killed_denial_is_whole_or_not_there_and_the_next_one_works(
        self, store: Store, address: str, point: str
    ) -> None:
        put(store, OLD)
        decide(store, "denied", "i1")
        denier = start("deny", address, "x", "1", point)
        _, errors = denier.communicate(timeout=60)
        assert denier.returncode == -SIGKILL, errors
        whole = {"x-0"} if point == "after_writing" else set()
        assert store.denials().items == {"i1"} | whole
        assert ids(store) == [(1, "i2"), (2, "i3")]
        decide(store, "denied", "i2")
        assert store.denials().items == {"i1", "i2"} | whole
        if address.startswith("lmdb:"):
            assert list(Path(address.removeprefix("lmdb:")).glob(".DENIED.*")) == []

    def test_a_flipped_byte_of_the_deny_list_is_found_and_nothing_is_served(
        self, store: Store, address: str
    ) -> None:
        put(store, OLD)
        decide(store, "denied", "i1")
        content = self._read_raw(store, "denied")
        for damaged in flipped(content):
            self._write_raw(store, "denied", damaged)
            with open_store(address, SHOP) as reader:
                for look in (partial(lookup, reader, "ann"), reader.denials):
                    with pytest.raises(InfrastructureError, match="the deny list, is damaged"):
                        look()
        self._write_raw(store, "denied", content)
        assert ids(store) == [(1, "i2"), (2, "i3")]

    def test_a_damaged_deny_list_names_the_remedy_and_is_not_written_over(
        self, store: Store, address: str
    ) -> None:
        put(store, OLD, spare=1)
        decide(store, "denied", "i1")
        with open_store(address, SHOP) as reader:
            assert ids(reader) == [(1, "i2"), (2, "i3"), (3, "i4")]
            content = self._read_raw(store, "denied")
            self._write_raw(store, "denied", content[:HEAD_BYTES])
            # Whoever knows the list of that head goes on with it.
            assert ids(reader) == [(1, "i2"), (2, "i3"), (3, "i4")]
        with pytest.raises(InfrastructureError) as caught:
            decide(store, "denied", "i2")
        (command,) = re.findall(r"delete it \((.*)\), then run `topshelf deny", str(caught.value))
        put(store, NEW, spare=1)  # Nights go on.
        with open_store(address, SHOP) as reader:
            with pytest.raises(InfrastructureError, match="the deny list, is damaged"):
                lookup(reader, "ann")
            self._delete(store, command)
            decide(store, "denied", "i1", "i2")
            assert ids(reader) == [(1, "i3"), (2, "i4")]

    def _delete(self, store: Store, command: str) -> None:
        """Do what the message says."""
        raise NotImplementedError

    def test_a_long_deny_list_hides_each_of_its_items(self, store: Store) -> None:
        manifest, records = make_release(OLD, size=3, spare=3)
        publish(store, manifest, records, keep=5)
        decide(store, "denied", *(f"x{number}" for number in range(2_000)), "i2")
        assert ids(store) == [(1, "i1"), (2, "i3"), (3, "i4")]
        assert len(store.denials().items) == 2_001

    def test_all_lists_of_a_user_come_from_one_release_and_one_deny_list(
        self, store: Store
    ) -> None:
        put(store, OLD, spare=1)
        put(store, NEW, spare=1)
        decide(store, "denied", "i1")
        lists = lookup_all(store, "ann")
        assert [(one.list, one.release, one.personal) for one in lists] == [
            ("all", NEW, True),
            ("discover", NEW, True),
        ]
        assert [[item.item_id for item in one.items] for one in lists] == [["i2", "i3", "i4"]] * 2
        assert [one.personal for one in lookup_all(store, "nobody")] == [False, False]
