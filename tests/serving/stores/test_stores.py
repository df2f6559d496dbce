import json
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL
from time import perf_counter

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lakehouse.errors import ConfigurationError, InfrastructureError
from serving.format.records import FALLBACK_KEY, DamagedReleaseError, decode, key, summarise
from serving.format.releases import Pointer
from serving.lookup import lookup, lookup_all
from serving.publishing import list_releases, publish, rollback, verify
from serving.stores import redis_store
from serving.stores.lmdb_store import LmdbStore
from serving.stores.opening import open_store, public_address
from serving.stores.redis_store import RedisStore
from serving.stores.store import Store
from tests.redis_server import RedisServer
from tests.serving.stores.denying import DenyConformance
from tests.serving.stores.rolling_out import RolloutConformance
from tests.store_processes import MANY_USERS, interrupted, release_with_many_users, start
from tests.stored_lists import (
    NEW,
    NEWER,
    NEWEST,
    OLD,
    SHOP,
    decide,
    flipped,
    item,
    make_release,
    put,
)

IDS = st.text(max_size=40) | st.sampled_from(
    ["", "\0", "a\0", "all", "../../etc", "'; DROP", "=1+1", "🛒" * 9, "x" * 10_240, "x" * 10_241]
)


class StoreConformance:
    """What every store does; a store's test class inherits it and gives `address` and `store`."""

    @pytest.fixture
    def store(self, address: str) -> Iterator[Store]:
        with open_store(address, SHOP) as opened:
            yield opened

    def test_an_empty_store_says_what_to_do(self, store: Store) -> None:
        assert store.pointer() == Pointer()
        assert store.manifests() == {}
        with pytest.raises(InfrastructureError, match=r"has no current release.*topshelf publish"):
            store.read((b"k",))

    def test_a_written_release_is_listed_and_read_by_name_but_does_not_serve(
        self, store: Store
    ) -> None:
        manifest, records = make_release(NEW)
        with store.publishing():
            store.write(manifest, iter(records))

        assert store.manifests() == {NEW: manifest}
        assert list(store.records(NEW)) == records
        reading = store.read((records[0][0], b"nobody"), NEW)
        assert (reading.release, reading.values) == (NEW, (records[0][1], None))
        with pytest.raises(InfrastructureError, match="has no current release"):
            store.read((b"k",))

    def test_all_keys_are_read_from_the_release_that_serves(self, store: Store) -> None:
        put(store, OLD)
        put(store, NEW)

        keys = (key("all", "ann"), key("discover", "bob"))
        reading = store.read(keys)
        assert reading.release == NEW
        lists = [decode(k, v) for k, v in zip(keys, reading.values, strict=True) if v is not None]
        assert lists == [tuple(item(NEW, rank) for rank in (1, 2, 3))] * 2
        assert store.read(keys, OLD).release == OLD

    def test_fallbacks_are_read_where_a_key_has_no_value(self, store: Store) -> None:
        put(store, OLD)
        found = dict(make_release(OLD)[1])
        own, stranger = key("all", "ann"), key("all", "nobody")
        reading = store.read((own,), fallbacks=(FALLBACK_KEY,))
        assert (reading.values, reading.fallbacks) == ((found[own],), ())
        reading = store.read((own, stranger), fallbacks=(b"nothing", FALLBACK_KEY))
        assert reading.values == (found[own], None)
        assert reading.fallbacks == (None, found[FALLBACK_KEY])

    def test_a_release_that_reads_back_otherwise_is_not_sealed(self, store: Store) -> None:
        put(store, OLD)
        manifest, records = make_release(NEW)
        for wrong in (replace(manifest, checksum="0" * 64), replace(manifest, records=99)):
            with (
                pytest.raises(InfrastructureError, match=r"reads back as 7 records.*nothing was"),
                store.publishing(),
            ):
                store.write(wrong, records)

        assert set(store.manifests()) == {OLD}
        assert lookup(store, "ann").release == OLD

    def test_a_release_of_the_same_name_is_replaced_whole(self, store: Store) -> None:
        put(store, OLD, text="first")
        put(store, OLD, text="second")
        assert [i.title for i in lookup(store, "ann").items] == [
            f"title {n} of second" for n in (1, 2, 3)
        ]
        assert list(store.records(OLD)) == make_release(OLD, text="second")[1]

    def test_dropping_spares_the_current_release(self, store: Store) -> None:
        put(store, OLD)
        put(store, NEW)
        store.drop([OLD, NEW])

        assert set(store.manifests()) == {NEW}
        assert lookup(store, "ann").release == NEW
        with pytest.raises(DamagedReleaseError, match=f"release {OLD} is missing"):
            store.read((b"k",), OLD)
        with pytest.raises(DamagedReleaseError, match=f"release {OLD} is missing"):
            store.records(OLD)

    def test_an_update_that_changes_nothing_writes_nothing(self, store: Store) -> None:
        put(store, OLD)
        before = store.pointer()
        assert store.update(lambda pointer: pointer) == before
        assert store.pointer() == before == Pointer(1, (OLD,), ())

    def test_updates_of_two_processes_are_all_kept(self, store: Store, address: str) -> None:
        put(store, OLD)
        counters = [start("count", address, "40") for _ in range(2)]
        for counter in counters:
            _, errors = counter.communicate(timeout=60)
            assert counter.returncode == 0, errors
        assert store.pointer() == Pointer(81, (OLD,), ())

    def test_two_publishers_at_once_leave_what_one_after_the_other_leaves(
        self, store: Store, address: str
    ) -> None:
        publishers = [start("publish", address, name, "never") for name in (NEW, NEWER, NEW)]
        for publisher in publishers:
            _, errors = publisher.communicate(timeout=60)
            assert publisher.returncode == 0, errors
        assert set(store.manifests()) == {NEW, NEWER}
        assert store.pointer().current == NEWER
        for name in (NEW, NEWER):
            verify(store, name)

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,  # Each example replaces the last one's release.
            HealthCheck.differing_executors,
        ],
    )
    @given(users=st.sets(IDS, min_size=1, max_size=8))
    @example(users={"x" * 505, "x" * 506, "x" * 507, "x" * 508, "\0x", "x\0", "é", "e\u0301"})
    def test_any_id_survives_and_never_gets_anothers_list(
        self, store: Store, users: set[str]
    ) -> None:
        records = []
        for user in users:
            manifest, one = make_release(NEW, [user], text=f"<{user}>")
            records += [record for record in one if record[0] != key("fallback", "")]
        _, fallback = make_release(NEW, [])
        records = sorted(records + fallback)
        summary = summarise(records)
        manifest = replace(manifest, records=summary.records, checksum=summary.checksum)
        publish(store, manifest, records, keep=2)

        for user in users:
            answer = lookup(store, user)
            assert answer.personal
            assert [i.title for i in answer.items] == [f"title {n} of <{user}>" for n in (1, 2, 3)]
        assert not lookup(store, "a user who is not there").personal

    def test_readers_see_whole_releases_while_publishers_are_killed_and_people_roll_back(
        self, store: Store, address: str, tmp_path: Path
    ) -> None:
        put(store, OLD)
        reader = start("poll", address, str(tmp_path / "stop"))
        serves = OLD
        for name, point in ((NEW, "writing"), (NEWER, "before_switch"), (NEWEST, "after_switch")):
            publisher = start("publish", address, name, point)
            _, errors = publisher.communicate(timeout=60)
            assert publisher.returncode == -SIGKILL, errors
            assert (name in store.manifests()) == (point != "writing")
            assert lookup(store, "ann").release == (name if point == "after_switch" else serves)

            publish(store, *release_with_many_users(name), keep=3)
            assert lookup(store, "ann").release == name
            verify(store, name)
            assert self._leftovers(store) == []
            serves = name
        seconds = []
        for target in (NEWER, NEWEST) * 15:
            before = perf_counter()
            rollback(store, target)
            seconds.append(perf_counter() - before)
            assert lookup(store, "ann").release == target
        (tmp_path / "stop").touch()
        output, errors = reader.communicate(timeout=30)

        assert reader.returncode == 0, errors
        assert {NEWER, NEWEST} <= set(json.loads(output))
        assert max(seconds) < 1

    def test_threads_that_share_a_store_get_whole_lists_while_the_pointer_moves(
        self, store: Store
    ) -> None:
        put(store, OLD)
        put(store, NEW)
        moved = threading.Event()

        def read() -> set[str]:
            releases = set()
            while not moved.is_set():
                answer = lookup(store, "ann")
                assert answer.notice is None
                assert {i.title for i in answer.items} == {
                    f"title {n} of {answer.release}" for n in (1, 2, 3)
                }
                releases.add(answer.release)
            return releases

        with ThreadPoolExecutor(4) as pool:
            readers = [pool.submit(read) for _ in range(4)]
            for target in (OLD, NEW) * 15:
                rollback(store, target)
            moved.set()
            assert set().union(*(reader.result() for reader in readers)) == {OLD, NEW}

    @pytest.mark.parametrize("serves", ["newest", "rolled back to", "previous"])
    def test_an_open_reader_sees_at_once_what_was_written_anew_under_a_name(
        self, store: Store, address: str, serves: str
    ) -> None:
        for name in (OLD, NEW):
            put(store, name)
        if serves == "rolled back to":
            rollback(store, OLD)
        name = NEW if serves == "newest" else OLD
        with open_store(address, SHOP) as reader:
            assert titles(reader, name)[0] == f"title 1 of {name}"
            before = reader.pointer()
            put(store, name, text="second")
            assert titles(reader, name)[0] == "title 1 of second"
            assert reader.pointer() == replace(before, generation=before.generation + 1)

    def test_an_open_reader_sees_what_a_killed_publisher_wrote_anew(
        self, store: Store, address: str
    ) -> None:
        put(store, OLD)
        with open_store(address, SHOP) as reader:
            assert titles(reader, OLD)[0] == f"title 1 of {OLD}"
            with store.publishing():
                store.write(*make_release(OLD, text="second"))
            assert titles(reader, OLD)[0] == "title 1 of second"

    def test_a_flipped_byte_of_the_pointer_is_found_or_harmless(
        self, store: Store, address: str
    ) -> None:
        put(store, OLD)
        put(store, NEW)
        rollback(store, OLD)
        intact = store.pointer()
        content = self._read_raw(store, "pointer")
        found = 0
        for damaged in flipped(content):
            self._write_raw(store, "pointer", damaged)
            with open_store(address, SHOP) as reader:
                try:
                    assert reader.pointer() == intact
                except InfrastructureError as error:
                    assert re.search(r"is damaged\. Delete it", str(error))  # noqa: PT017
                    found += 1
        assert found > 0.9 * len(content)
        self._write_raw(store, "pointer", content)
        assert store.pointer() == intact

    def test_a_flipped_byte_of_a_manifest_is_found_or_harmless(
        self, store: Store, address: str
    ) -> None:
        put(store, OLD)
        put(store, NEW)
        intact = store.manifests()
        content = self._read_raw(store, NEW)
        found = 0
        for damaged in flipped(content):
            self._write_raw(store, NEW, damaged)
            with open_store(address, SHOP) as reader:
                manifests = reader.manifests()
                assert reader.damaged() == (() if NEW in manifests else (NEW,))
                assert manifests == {name: intact[name] for name in manifests}
                assert lookup(reader, "ann").release in (NEW, OLD)
                found += NEW not in manifests
        assert found > 0.9 * len(content)

    def test_an_unreadable_manifest_blocks_nothing_and_is_named(self, store: Store) -> None:
        put(store, OLD)
        put(store, NEW)
        for name in (NEW, "9999-12-31-ffffffff", "no name"):
            self._write_raw(store, name, b"{")
        assert set(store.manifests()) == {OLD}
        assert set(store.damaged()) == {NEW, "9999-12-31-ffffffff", "no name"}
        listed = [(e.release, e.manifest is None, e.state) for e in list_releases(store)]
        assert listed == [
            ("no name", True, "stored"),
            ("9999-12-31-ffffffff", True, "stored"),
            (NEW, True, "current"),
            (OLD, False, "previous"),
        ]
        with pytest.raises(
            DamagedReleaseError, match="'no name' is damaged: its manifest is not r"
        ):
            rollback(store, "no name")
        assert rollback(store).current == OLD
        done = publish(store, *make_release(NEWER), keep=5)
        assert (done.current, done.dropped) == (NEWER, ())
        assert set(done.damaged) == {NEW, "9999-12-31-ffffffff", "no name"}
        done = publish(store, *make_release(NEWEST), keep=3)
        assert done.dropped == (NEW, "9999-12-31-ffffffff", "no name")
        assert (done.current, done.damaged) == (NEWEST, ())
        assert set(store.manifests()) == {OLD, NEWER, NEWEST}

    def test_what_an_earlier_version_wrote_is_read_and_written_anew_at_the_next_update(
        self, store: Store, address: str
    ) -> None:
        put(store, OLD)
        manifests, pointer = store.manifests(), store.pointer()
        now = {what: self._read_raw(store, what) for what in ("pointer", OLD)}
        for what, content in now.items():
            without = {n: v for n, v in json.loads(content).items() if n != "self_crc32"}
            self._write_raw(store, what, json.dumps(without).encode())
        with open_store(address, SHOP) as reader:
            assert (reader.manifests(), reader.pointer()) == (manifests, pointer)
            assert titles(reader, OLD)[0] == f"title 1 of {OLD}"
        assert not publish(store, *make_release(OLD), keep=5).written
        assert self._read_raw(store, "pointer") == now["pointer"]

    def _leftovers(self, store: Store) -> list[str]:
        raise NotImplementedError

    def _read_raw(self, store: Store, what: str) -> bytes:
        """How the store holds ``pointer``, or what seals a release."""
        raise NotImplementedError

    def _write_raw(self, store: Store, what: str, content: bytes) -> None:
        raise NotImplementedError


def titles(store: Store, release: str) -> list[str | None]:
    """What ann is served, read as a lookup does it or, if another release serves, by name."""
    named = None if store.pointer().current == release else release
    (value,) = store.read((key("all", "ann"),), named).values
    assert value is not None
    return [item.title for item in decode(key("all", "ann"), value)]


class TestLmdb(StoreConformance, DenyConformance, RolloutConformance):
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / "store"

    @pytest.fixture
    def address(self, folder: Path) -> str:
        return f"lmdb:{folder}"

    def _leftovers(self, store: Store) -> list[str]:
        folder = Path(store.name.removeprefix("lmdb:")) / "releases"
        return sorted(
            path.name
            for path in folder.iterdir()
            if path.name.startswith(".") or path.name.split(".")[0] not in store.manifests()
        )

    def _read_raw(self, store: Store, what: str) -> bytes:
        return self._raw(store, what).read_bytes()

    def _write_raw(self, store: Store, what: str, content: bytes) -> None:
        self._raw(store, what).write_bytes(content)

    def _raw(self, store: Store, what: str) -> Path:
        folder = Path(store.name.removeprefix("lmdb:"))
        names = {"pointer": "CURRENT", "denied": "DENIED"}
        return folder / names.get(what, f"releases/{what}.json")

    def _delete(self, store: Store, command: str) -> None:
        subprocess.run(shlex.split(command), check=True)

    def _damage(self, store: Store, release: str) -> None:
        folder = Path(store.name.removeprefix("lmdb:"))
        next(folder.glob(f"releases/{release}.*.mdb")).write_bytes(b"")

    def test_a_reader_in_the_middle_of_a_release_outlives_ten_publishes(
        self, store: Store, folder: Path
    ) -> None:
        put(store, "2024-01-01-00000000", keep=2)
        reader = store.records("2024-01-01-00000000")
        started = [next(reader)]
        for day in range(2, 12):
            put(store, f"2024-01-{day:02}-00000000", keep=2)
            assert lookup(store, "ann").release == f"2024-01-{day:02}-00000000"

        assert len(list(folder.glob("releases/*.mdb"))) == 2
        assert deleted_but_mapped(folder) == 1
        assert started + list(reader) == make_release("2024-01-01-00000000")[1]
        del reader
        lookup(store, "ann")
        assert deleted_but_mapped(folder) == 0

    def test_wherever_a_byte_flips_the_former_release_answers(
        self, store: Store, folder: Path
    ) -> None:
        put(store, OLD)
        put(store, NEW)
        file = next(folder.glob(f"releases/{NEW}.*.mdb"))
        intact = file.read_bytes()
        for place in range(0, len(intact), 331):
            flip(file, place)
            with open_store(store.name, SHOP) as reader:
                answer = lookup(reader, "ann")
            assert (answer.release, answer.personal) == (OLD, True)
            assert answer.notice is not None
            assert "is damaged (release 2024-03-02-bbbbbbbb" in answer.notice
            flip(file, place)
        assert file.read_bytes() == intact
        assert lookup(store, "ann").release == NEW

    def test_a_byte_that_flips_under_an_open_reader_is_found_by_the_record(
        self, store: Store, folder: Path
    ) -> None:
        put(store, OLD)
        put(store, NEW)
        assert lookup(store, "ann").release == NEW
        file = next(folder.glob(f"releases/{NEW}.*.mdb"))
        for place in places(file.read_bytes(), b"title 2 of"):
            flip(file, place)

        answer = lookup(store, "ann")
        assert answer.release == OLD
        assert answer.notice is not None
        assert "checksum does not match" in answer.notice

    @pytest.mark.parametrize("what", ["records", "seal", "missing records", "missing seal"])
    def test_publishing_again_repairs_a_damaged_release(
        self, store: Store, folder: Path, what: str
    ) -> None:
        put(store, OLD)
        put(store, NEW)
        pattern = f"{NEW}.*.mdb" if "records" in what else f"{NEW}.json"
        victim = next(folder.glob(f"releases/{pattern}"))
        if "missing" in what:
            victim.unlink()
        else:
            flip(victim, victim.stat().st_size // 2)
        with open_store(store.name, SHOP) as reader:
            assert lookup(reader, "ann").release == OLD
            assert publish(store, *make_release(NEW), keep=5).written
            assert lookup(reader, "ann") == lookup(store, "ann")
            assert lookup(reader, "ann").release == NEW
        assert not publish(store, *make_release(NEW), keep=5).written

    def test_no_intact_release_is_an_error_that_says_what_to_do(
        self, store: Store, folder: Path
    ) -> None:
        put(store, OLD)
        flip(next(folder.glob("releases/*.mdb")), 5000)
        with pytest.raises(InfrastructureError, match=r"no older one is intact. Run `topshelf pub"):
            lookup(store, "ann")

    def test_an_unreadable_pointer_names_the_file_and_the_remedy(
        self, store: Store, folder: Path
    ) -> None:
        put(store, OLD)
        (folder / "CURRENT").write_text("{")
        with pytest.raises(InfrastructureError, match=r"CURRENT is damaged\. Delete it, then"):
            lookup(store, "ann")
        (folder / "CURRENT").unlink()
        assert rollback(store, OLD).current == OLD
        assert lookup(store, "ann").release == OLD

    def test_the_folder_belongs_to_the_first_shop_that_publishes(
        self, store: Store, folder: Path
    ) -> None:
        with open_store(store.name, "bakery") as other:
            put(store, OLD)
            with pytest.raises(ConfigurationError, match="belongs to the shop 'corner'"):
                put(other, NEW)
        with pytest.raises(ConfigurationError, match=f"{folder} belongs to the shop 'corner'"):
            open_store(store.name, "bakery")
        assert set(store.manifests()) == {OLD}

    def test_a_folder_published_to_before_shops_had_names_is_adopted(
        self, store: Store, folder: Path
    ) -> None:
        put(store, OLD)
        (folder / ".shop").unlink()
        with open_store(store.name, "bakery") as adopting:
            put(adopting, NEW)
            assert lookup(adopting, "ann").release == NEW
        assert (folder / ".shop").read_text() == "bakery\n"

    def test_a_release_beyond_the_limit_is_refused_by_name(
        self, store: Store, folder: Path
    ) -> None:
        put(store, OLD)
        small = LmdbStore(folder, SHOP, limit_bytes=100_000)
        with pytest.raises(
            InfrastructureError, match=r"limit of 100,000 bytes.*nothing was switch"
        ):
            publish(small, *make_release(NEW, MANY_USERS), keep=5)
        assert lookup(store, "ann").release == OLD
        assert set(store.manifests()) == {OLD}
        assert self._leftovers(store) == []

    def test_a_full_disk_is_named_and_nothing_is_switched(self, tmp_path: Path) -> None:
        script = textwrap.dedent(f"""
            from lakehouse.errors import InfrastructureError
            from serving.lookup import lookup, lookup_all
            from serving.publishing import publish
            from serving.stores.opening import open_store
            from tests.store_processes import MANY_USERS
            from tests.stored_lists import make_release
            store = open_store("lmdb:{tmp_path}/disk/store", "{SHOP}")
            publish(store, *make_release("{OLD}"), keep=5)
            try:
                publish(store, *make_release("{NEW}", MANY_USERS, size=20), keep=5)
            except InfrastructureError as error:
                print(error)
            print(lookup(store, "ann").release, *store.manifests())
            publish(store, *make_release("{NEW}"), keep=5)
            print(lookup(store, "ann").release, *store.manifests())
        """)
        (tmp_path / "disk").mkdir()
        mount = f'mount -t tmpfs -o size=1m none {tmp_path}/disk && exec "$0" -c "$1"'
        if not may_mount():
            pytest.skip("this system lets nobody mount a small tmpfs")
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", mount, sys.executable, script],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        error, before, after = done.stdout.splitlines()
        assert "the disk is full" in error
        assert "bytes free" in error
        assert before == f"{OLD} {OLD}"
        assert after == f"{NEW} {OLD} {NEW}"

    def test_a_folder_that_may_only_be_read_serves_and_takes_nothing(self, tmp_path: Path) -> None:
        script = textwrap.dedent(f"""
            from lakehouse.errors import InfrastructureError
            from serving.lookup import lookup, lookup_all
            from serving.publishing import list_releases, publish, rollback
            from serving.stores.opening import open_store
            from tests.stored_lists import make_release
            store = open_store("lmdb:{tmp_path}/disk/store", "corner")
            print(lookup(store, "ann").release, *(e.release for e in list_releases(store)))
            for act in (rollback, lambda store: publish(store, *make_release("{NEWER}"), keep=5)):
                try:
                    act(store)
                except InfrastructureError as error:
                    print(error)
        """)
        for name in (OLD, NEW):
            with open_store(f"lmdb:{tmp_path}/disk/store", "corner") as store:
                put(store, name)
        mount = (
            f"mount --bind {tmp_path}/disk {tmp_path}/disk && "
            f'mount -o remount,bind,ro {tmp_path}/disk && exec "$0" -c "$1"'
        )
        if not may_mount():
            pytest.skip("this system lets nobody mount a folder")
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", mount, sys.executable, script],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        served, *errors = done.stdout.splitlines()
        assert served == f"{NEW} {NEW} {OLD}"
        assert len(errors) == 2
        for error in errors:
            assert "Read-only file system" in error
            assert "Let this user write its folder, then run again." in error

    @pytest.mark.parametrize("what", ["CURRENT", "seal", "records"])
    def test_what_is_no_file_is_named(self, store: Store, folder: Path, what: str) -> None:
        put(store, OLD)
        put(store, NEW)
        pattern = {"CURRENT": "CURRENT", "seal": f"releases/{NEW}.json"}.get(
            what, f"releases/{NEW}.*.mdb"
        )
        (victim,) = folder.glob(pattern)
        victim.unlink()
        victim.mkdir()
        if what == "CURRENT":
            with pytest.raises(
                InfrastructureError, match=f"cannot read {victim}: Is a directory. Mend"
            ):
                lookup(store, "ann")
        else:
            answer = lookup(store, "ann")
            assert answer.release == OLD
            assert answer.notice is not None

    def test_a_server_may_fork_after_it_has_read(self, store: Store) -> None:
        put(store, OLD)
        script = textwrap.dedent(f"""
            import os
            from serving.lookup import lookup, lookup_all
            from serving.stores.opening import open_store
            store = open_store("{store.name}", "{SHOP}")
            lookup(store, "ann")
            child = os.fork()
            assert lookup(store, "bob").release == "{OLD}"
            if child:
                assert os.waitpid(child, 0)[1] == 0
        """)
        subprocess.run([sys.executable, "-c", script], check=True)


class TestRedis(StoreConformance, DenyConformance, RolloutConformance):
    @pytest.fixture
    def redis_server(self) -> Iterator[RedisServer]:
        with RedisServer() as server:
            yield server

    @pytest.fixture
    def address(self, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setattr(redis_store, "ANSWER_SECONDS", 1.0)
        monkeypatch.setattr(redis_store, "LEASE_SECONDS", 1.0)
        return redis_server.address

    def _leftovers(self, store: Store) -> list[str]:
        return [name.decode() for name in store._client.scan_iter(f"topshelf:{SHOP}:staging:*")]  # type: ignore[attr-defined]

    def test_shops_that_share_a_database_do_not_meet(
        self, store: Store, redis_server: RedisServer
    ) -> None:
        with open_store(redis_server.address, "bakery") as other:
            put(store, OLD, text="rolls of the corner shop")
            put(other, OLD, text="rolls of the bakery")
            put(other, NEW)
            assert (store.pointer().current, other.pointer().current) == (OLD, NEW)
            assert (list(store.manifests()), list(other.manifests())) == ([OLD], [OLD, NEW])
            assert lookup(store, "ann").items[0].title == "title 1 of rolls of the corner shop"
            rollback(other)
            assert lookup(other, "ann").items[0].title == "title 1 of rolls of the bakery"
        names = {name.decode() for name in redis_server.admin.scan_iter("*")}
        assert names == {
            f"topshelf:{shop}:{name}"
            for shop, names in {
                "corner": ("pointer", "manifests", f"records:{OLD}"),
                "bakery": ("pointer", "manifests", f"records:{OLD}", f"records:{NEW}"),
            }.items()
            for name in names
        }

    def _read_raw(self, store: Store, what: str) -> bytes:
        client = store._client  # type: ignore[attr-defined]
        if what == "denied":
            return client.get(f"topshelf:{SHOP}:denied")  # type: ignore[no-any-return]
        return client.hget(*self._raw(what))  # type: ignore[no-any-return]

    def _write_raw(self, store: Store, what: str, content: bytes) -> None:
        client = store._client  # type: ignore[attr-defined]
        if what == "denied":
            client.set(f"topshelf:{SHOP}:denied", content)
        else:
            client.hset(*self._raw(what), content)

    def _delete(self, store: Store, command: str) -> None:
        program, action, name = shlex.split(command)
        assert (program, action) == ("redis-cli", "DEL")
        assert store._client.delete(name) == 1  # type: ignore[attr-defined]

    def _damage(self, store: Store, release: str) -> None:
        store._client.delete(f"topshelf:{SHOP}:records:{release}")  # type: ignore[attr-defined]

    def test_a_look_up_is_one_round_trip_whatever_is_denied_or_rolled_out(
        self, store: Store, redis_server: RedisServer
    ) -> None:
        put(store, OLD, spare=1)
        publish(store, *make_release(NEW, spare=1), keep=5, share=50)
        decide(store, "denied", "i1")
        lookup(store, "ann")  # The server learns the script.
        redis_server.admin.config_resetstat()
        answers = lookup_all(store, "ann", contexts=["store_id=367"])
        calls = redis_server.admin.info("commandstats")
        assert calls["cmdstat_evalsha"]["calls"] == 1
        assert len(answers) == 2
        # What the script asks of the server, and what asks for the statistics.
        asked = {
            "evalsha",
            "hmget",
            "getrange",
            "get",
            "exists",
            "client|setinfo",
            "config|resetstat",
        }
        assert {name.removeprefix("cmdstat_") for name in calls} <= asked

    def test_a_reader_is_spared_a_deny_list_that_it_knows(
        self, store: Store, redis_server: RedisServer
    ) -> None:
        put(store, OLD, spare=1)
        decide(store, "denied", *(f"x{number}" for number in range(1_000)))
        lookup(store, "ann")
        before = redis_server.admin.info("stats")["total_net_output_bytes"]
        assert lookup(store, "ann").items
        assert redis_server.admin.info("stats")["total_net_output_bytes"] - before < 10_000

    def _raw(self, what: str) -> tuple[str, str]:
        name, field = ("pointer", "state") if what == "pointer" else ("manifests", what)
        return f"topshelf:{SHOP}:{name}", field

    def test_a_flipped_byte_of_the_current_name_is_found(
        self, store: Store, redis_server: RedisServer
    ) -> None:
        put(store, OLD)
        for damaged in flipped(OLD.encode()):
            redis_server.admin.hset(f"topshelf:{SHOP}:pointer", "current", damaged)
            for act in (lambda: lookup(store, "ann"), store.pointer, lambda: put(store, NEW)):
                with pytest.raises(InfrastructureError, match="corner:pointer is damaged"):
                    act()
        redis_server.admin.delete(f"topshelf:{SHOP}:pointer")
        assert rollback(store, OLD).current == OLD
        assert lookup(store, "ann").release == OLD

    def test_a_name_that_is_no_text_is_listed_and_dropped(
        self, store: Store, redis_server: RedisServer
    ) -> None:
        redis_server.admin.hset(f"topshelf:{SHOP}:manifests", b"\xff", b"x")
        assert store.damaged() == ("\udcff",)
        put(store, OLD)
        put(store, NEW, keep=2)
        assert store.damaged() == ()

    def test_refused_then_started_again(self, store: Store, redis_server: RedisServer) -> None:
        redis_server.kill()
        for act in (lambda: lookup(store, "ann"), lambda: put(store, OLD), lambda: rollback(store)):
            with pytest.raises(InfrastructureError, match=r"is not to be reached.*Start it or"):
                act()
        redis_server.start()
        put(store, OLD)
        assert lookup(store, "ann").release == OLD

    def test_a_hanging_server_is_given_up_and_the_old_release_goes_on(
        self, store: Store, redis_server: RedisServer
    ) -> None:
        put(store, OLD)
        manifest, records = make_release(NEW, MANY_USERS[:600], size=1)
        with pytest.raises(InfrastructureError, match="does not answer within 1 s: it hangs"):
            publish(store, manifest, interrupted(records, redis_server.hang), keep=5)
        redis_server.go_on()
        assert lookup(store, "ann").release == OLD
        assert set(store.manifests()) == {OLD}
        assert publish(store, manifest, records, keep=5).current == NEW
        assert self._leftovers(store) == []

    @pytest.mark.parametrize("fault", ["dies", "is flushed"])
    def test_a_server_that_loses_its_data_in_the_middle_is_filled_by_the_next_publish(
        self, store: Store, redis_server: RedisServer, fault: str
    ) -> None:
        put(store, OLD)
        manifest, records = make_release(NEW, MANY_USERS[:600], size=1)
        strike = redis_server.kill if fault == "dies" else redis_server.flush
        with pytest.raises(InfrastructureError, match=r"not to be reached|lease is gone"):
            publish(store, manifest, interrupted(records, strike), keep=5)
        if fault == "dies":
            redis_server.start()
        with pytest.raises(InfrastructureError, match="has no current release"):
            lookup(store, "ann")
        assert publish(store, manifest, records, keep=5).current == NEW
        verify(store, NEW)

    def test_a_flush_between_writing_and_sealing_is_found(
        self, store: Store, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = RedisStore._run

        def flush_before_seal(self: RedisStore, script: str, *arguments: str | bytes) -> object:
            if script == redis_store._SEAL:
                redis_server.admin.delete(f"topshelf:{SHOP}:staging:{self._token}")
            return run(self, script, *arguments)

        monkeypatch.setattr(RedisStore, "_run", flush_before_seal)
        with pytest.raises(InfrastructureError, match="lost what was written"):
            put(store, OLD)
        assert store.manifests() == {}

    def test_out_of_memory_names_the_limit_and_the_old_release_goes_on(
        self, store: Store, redis_server: RedisServer
    ) -> None:
        put(store, OLD)
        redis_server.limit_memory(300_000)
        manifest, records = make_release(NEW, MANY_USERS)
        with pytest.raises(InfrastructureError, match=r"out of memory .maxmemory.*nothing was sw"):
            publish(store, manifest, records, keep=5)
        assert lookup(store, "ann").release == OLD
        assert set(store.manifests()) == {OLD}
        assert self._leftovers(store) == []

        redis_server.limit_memory(0)
        assert publish(store, manifest, records, keep=5).current == NEW

    def test_an_evicted_release_falls_back_and_is_restored(
        self, store: Store, redis_server: RedisServer
    ) -> None:
        put(store, OLD)
        put(store, NEW)
        redis_server.admin.delete(f"topshelf:{SHOP}:records:{NEW}")
        answer = lookup(store, "ann")
        assert (answer.release, answer.personal) == (OLD, True)
        assert answer.notice is not None
        assert publish(store, *make_release(NEW), keep=5).written
        assert lookup(store, "ann").release == NEW

    def test_a_lost_lease_stops_the_publisher_before_the_seal(
        self, store: Store, redis_server: RedisServer
    ) -> None:
        manifest, records = make_release(NEW, MANY_USERS[:600], size=1)

        def other_takes_over() -> None:
            redis_server.admin.set(f"topshelf:{SHOP}:publisher", "another")

        with pytest.raises(InfrastructureError, match="lease is gone"):
            publish(store, manifest, interrupted(records, other_takes_over), keep=5)
        assert store.manifests() == {}
        assert redis_server.admin.get(f"topshelf:{SHOP}:publisher") == b"another"

    def test_the_password_is_never_shown(self) -> None:
        with RedisServer("--requirepass", "s3cret/ö") as server:
            place = f"127.0.0.1:{server.port}/0"
            with open_store(f"redis://:s3cret%2F%C3%B6@{place}", SHOP) as store:
                put(store, OLD)
                assert lookup(store, "ann").release == OLD
                assert store.name == f"redis://{place}"
            with (
                open_store(f"redis://:wr0ng@{place}", SHOP) as store,
                pytest.raises(InfrastructureError, match="refuses the login") as caught,
            ):
                lookup(store, "ann")
            assert "wr0ng" not in str(caught.value)

    def test_an_error_of_the_server_does_not_quote_the_data(
        self, store: Store, redis_server: RedisServer
    ) -> None:
        put(store, OLD)
        redis_server.admin.set(f"topshelf:{SHOP}:manifests", "of another type")
        with pytest.raises(InfrastructureError) as caught:
            put(store, NEW)
        assert "refuses a command (ResponseError: WRONGTYPE)" in str(caught.value)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        *[(text, "must be `lmdb:PATH` or") for text in ("", "file:x", "s3cret", "u:s3cret@h:1")],
        *[(text, "has no valid path") for text in ("lmdb", "lmdb:", "lmdb://s3cret/x", "lmdb:a\0")],
        *[
            (f"redis:{rest}", "is no valid Redis address")
            for rest in (
                "",
                "h:1/0",
                "//",
                "///0",
                "//h:port/0",
                "//h:0/0",
                "//h:65536/0",
                "//h:1/one",
                "//h:1/-1",
                "//h:1/1/2",
                "//h:1/ 1",
                "//:s3cret@[::1/0",
                "//:s3cret/0@h:1/0",
                "//:12/s3cret@h:1/0",
                "//:s3cret#0@h:1/0",
            )
        ],
        ("redis://:s3cret@h:1/0?foo=1", "has options after"),
        ("rediss://:s3cret@h:1/0#1", "has options after"),
    ],
)
def test_a_wrong_address_is_a_configuration_error_that_quotes_nothing(
    address: str, reason: str
) -> None:
    for reading in (public_address, lambda address: open_store(address, SHOP)):
        with pytest.raises(ConfigurationError, match=f"^serving.store {reason}") as caught:
            reading(address)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("lmdb:.topshelf/store", "lmdb:.topshelf/store"),
        ("lmdb:///srv/store", "lmdb:/srv/store"),
        ("redis://h", "redis://h:6379/0"),
        ("redis://user:s3cret%2F@h:7000/3", "redis://h:7000/3"),
        ("rediss://:s3@cret@[::1]:1/", "rediss://[::1]:1/0"),
    ],
)
def test_an_address_is_shown_without_user_and_password(address: str, shown: str) -> None:
    assert public_address(address) == shown
    with open_store(address, SHOP) as store:
        assert store.name == shown


def flip(file: Path, place: int) -> None:
    with file.open("r+b") as stream:
        stream.seek(place)
        byte = stream.read(1)[0]
        stream.seek(place)
        stream.write(bytes([byte ^ 0x10]))


def places(content: bytes, wanted: bytes) -> list[int]:
    found, start_at = [], content.find(wanted)
    while start_at >= 0:
        found.append(start_at)
        start_at = content.find(wanted, start_at + 1)
    return found


def deleted_but_mapped(folder: Path) -> int:
    """How many files below ``folder`` this process keeps alive after they were deleted."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return sum(str(folder) in line and line.endswith("(deleted)") for line in lines)


def may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    probe = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0
