"""What every store does with a release that is for a share of the users first."""

import json
import time
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from signal import SIGKILL

import pytest

from lakehouse.errors import ConfigurationError, DataQualityError, InfrastructureError
from serving.format.guardrails import Guardrails
from serving.format.records import Record, decode, encode, key, summarise
from serving.format.releases import Decision, Manifest, Pointer, in_share
from serving.lookup import lookup, lookup_all
from serving.publishing import Publication, list_releases, publish, rollback, verify
from serving.rollout import Signed, abort, finish, set_share
from serving.stores.opening import open_store
from serving.stores.store import Store
from tests.store_processes import release_with_many_users, start
from tests.stored_lists import (
    NEW,
    NEWER,
    NEWEST,
    OLD,
    SHOP,
    USERS,
    decide,
    flipped,
    make_release,
    put,
)

SHARE = 10.0
ANN = Signed("ann", "to look at it", "2024-03-02 10:00:00")
MOVING_SECONDS = 3.0
SEEN_SECONDS = 0.01


def decided(release: str, share: float) -> Decision:
    return Decision(release, share, ANN.who, ANN.why, ANN.when)


def propose(
    store: Store,
    name: str,
    share: float = SHARE,
    *,
    limits: Guardrails | None = None,
    spare: int = 0,
    text: str | None = None,
) -> Publication:
    """Publish a release for a share of the users."""
    manifest, records = make_release(name, spare=spare, text=text)
    return publish(store, manifest, records, keep=5, share=share, limits=limits)


def other_items(name: str) -> tuple[Manifest, list[Record]]:
    """A release in which two of three users have lists, with two other items of three each."""
    manifest, records = make_release(name, USERS[:2])
    changed = []
    for record_key, value in records:
        first, *others = decode(record_key, value)
        items = [first, *(replace(item, item_id=f"x{item.rank}") for item in others)]
        changed.append((record_key, encode(record_key, items, 3)))
    return replace(manifest, checksum=summarise(changed).checksum), changed


class RolloutConformance:
    """For a class with the fixtures `address` and `store`."""

    def _read_raw(self, store: Store, what: str) -> bytes:
        raise NotImplementedError

    def _write_raw(self, store: Store, what: str, content: bytes) -> None:
        raise NotImplementedError

    def test_a_candidate_serves_its_share_whole_and_the_current_release_the_others(
        self, store: Store
    ) -> None:
        put(store, OLD)
        done = propose(store, NEW)
        assert (done.current, done.candidate, done.share) == (OLD, NEW, SHARE)
        users = [*USERS, *(f"stranger {number}" for number in range(200))]
        for user in users:
            answers = lookup_all(store, user)
            release = NEW if in_share(user, NEW, SHARE) else OLD
            assert {answer.release for answer in answers} == {release}
            for answer in answers:
                assert answer.notice is None
                assert answer.items[0].title == f"title 1 of {release}"
                assert answer.personal == (user in USERS)
        inside = {user for user in users if lookup(store, user).release == NEW}
        assert 5 <= len(inside) <= 40

        set_share(store, 50, None, by=ANN)
        assert inside < {user for user in users if lookup(store, user).release == NEW}
        assert store.read((key("all", "ann"),)).release == OLD  # Nobody is in no share.
        assert store.read((key("all", "ann"),), NEW).release == NEW

    def test_finishing_lets_the_candidate_serve_everybody(self, store: Store) -> None:
        put(store, OLD)
        propose(store, NEW)
        assert finish(store, None, by=ANN) == Pointer(3, (OLD, NEW), decisions=(decided(NEW, 100),))
        assert {lookup(store, user).release for user in USERS} == {NEW}
        assert rollback(store).current == OLD

    def test_aborting_withdraws_the_candidate_for_good(self, store: Store) -> None:
        put(store, OLD)
        propose(store, NEW)
        assert abort(store, by=ANN) == Pointer(3, (OLD,), (NEW,), decisions=(decided(NEW, 0),))
        assert {lookup(store, user).release for user in USERS} == {OLD}
        # A retry of the step doesn't bring it back, a person does.
        done = propose(store, NEW)
        assert (done.written, done.candidate) == (False, None)
        # Who decided what, and why, is kept with it.
        assert set_share(store, 20, None, NEW, by=ANN) == Pointer(
            4, (OLD,), (), NEW, 20, (decided(NEW, 0), decided(NEW, 20))
        )
        assert store.pointer().decisions[0].why == "to look at it"

    def test_a_rollback_during_a_rollout_ends_it(self, store: Store) -> None:
        for name in (OLD, NEW):
            put(store, name)
        propose(store, NEWER)
        assert rollback(store) == Pointer(4, (OLD, NEW), (NEWER,))
        set_share(store, 5, None, NEWER, by=ANN)
        assert rollback(store, OLD) == Pointer(
            6, (OLD,), (NEW, NEWER), decisions=(decided(NEWER, 5),)
        )

    def test_what_cannot_be_rolled_out_is_refused(self, store: Store) -> None:
        with pytest.raises(InfrastructureError, match="has no current release"):
            set_share(store, 5, None, by=ANN)
        assert propose(store, OLD).current == OLD  # The first of all serves everybody.
        acts = (partial(set_share, store, 5, None, by=ANN), partial(finish, store, None, by=ANN))
        for act in (*acts, partial(abort, store, by=ANN)):
            with pytest.raises(ConfigurationError, match=r"no rollout is on. `topshelf publish"):
                act()
        with pytest.raises(ConfigurationError, match=f"{OLD} serves everybody already"):
            set_share(store, 5, None, OLD, by=ANN)
        with pytest.raises(ConfigurationError, match=r"has no release 'x'\. It has: 2024-03-01"):
            set_share(store, 5, None, "x", by=ANN)
        assert store.pointer() == Pointer(1, (OLD,))

    def test_a_night_during_a_rollout_is_stored_only(self, store: Store) -> None:
        put(store, OLD)
        propose(store, NEW)
        put(store, NEWER)
        assert store.pointer() == Pointer(2, (OLD,), (), NEW, SHARE)
        assert [(entry.release, entry.state) for entry in list_releases(store)] == [
            (NEWER, "stored"),
            (NEW, "candidate"),
            (OLD, "current"),
        ]
        finish(store, None, by=ANN)
        put(store, NEWER)
        assert store.pointer().current == NEWER

    def test_the_candidate_is_never_dropped(self, store: Store) -> None:
        for name in (OLD, NEW, NEWER):
            put(store, name)
        set_share(store, SHARE, None, OLD, by=ANN)
        put(store, NEWEST, keep=2)
        assert set(store.manifests()) == {OLD, NEW, NEWER}
        store.drop([OLD, NEW, NEWER])
        assert set(store.manifests()) == {OLD, NEWER}
        inside = next(user for user in map(str, range(999)) if in_share(user, OLD, SHARE))
        assert (lookup(store, inside).release, lookup(store, inside).notice) == (OLD, None)

    def test_a_candidate_written_anew_keeps_its_share_and_is_seen_at_once(
        self, store: Store, address: str
    ) -> None:
        put(store, OLD)
        propose(store, NEW, 99.0)
        with open_store(address, SHOP) as reader:
            assert lookup(reader, "ann").items[0].title == f"title 1 of {NEW}"
            propose(store, NEW, 5.0, text="second")
            assert lookup(reader, "ann").items[0].title == "title 1 of second"
        assert store.pointer() == Pointer(3, (OLD,), (), NEW, 99.0)

    @pytest.mark.parametrize(
        ("limits", "line"),
        [
            (Guardrails(churn=0.3), r"churn is 0\.6667, at most 0\.3 is allowed"),
            (Guardrails(coverage_ratio=1.5), r"coverage_ratio is 1, at least 1\.5 is allowed"),
            (Guardrails(empty_share=0.2), r"empty_share is 0\.3333, at most 0\.2 is allowed"),
        ],
    )
    def test_a_candidate_beyond_its_guardrails_serves_nobody(
        self, store: Store, limits: Guardrails, line: str
    ) -> None:
        put(store, OLD)
        with pytest.raises(DataQualityError, match=line) as caught:
            publish(store, *other_items(NEW), keep=5, share=SHARE, limits=limits)
        assert f"{NEW} breaks 1 guardrail(s) and is withdrawn; {OLD} serves" in str(caught.value)
        assert store.pointer() == Pointer(2, (OLD,), (NEW,))
        verify(store, NEW)
        # A person may begin all the same; every further step asks again.
        set_share(store, SHARE, None, NEW, by=ANN)
        for act in (
            partial(set_share, store, 50, limits, by=ANN),
            partial(finish, store, limits, by=ANN),
        ):
            with pytest.raises(DataQualityError, match=line):
                act()
            assert store.pointer().candidate is None
            assert NEW in store.pointer().withdrawn
            set_share(store, SHARE, None, NEW, by=ANN)
        kept = Guardrails(churn=0.7, coverage_ratio=1.0, empty_share=0.4)
        assert finish(store, kept, by=ANN).current == NEW

    def test_users_of_a_damaged_candidate_get_the_current_release_and_a_notice(
        self, store: Store
    ) -> None:
        put(store, OLD)
        propose(store, NEW, 99.0)
        self._damage(store, NEW)
        answer = lookup(store, "ann")
        assert (answer.release, answer.personal) == (OLD, True)
        assert answer.notice is not None
        assert f"{OLD} answers instead" in answer.notice
        with pytest.raises(InfrastructureError):
            set_share(store, 50, Guardrails(churn=1.0), by=ANN)
        assert store.pointer().candidate == NEW

    def _damage(self, store: Store, release: str) -> None:
        """Let the release's records be gone or wrong."""
        raise NotImplementedError

    def test_a_flipped_byte_of_the_pointer_of_a_rollout_is_found_or_harmless(
        self, store: Store, address: str
    ) -> None:
        put(store, OLD)
        propose(store, NEW)
        intact = store.pointer()
        content = self._read_raw(store, "pointer")
        found = 0
        for damaged in flipped(content):
            self._write_raw(store, "pointer", damaged)
            with open_store(address, SHOP) as reader:
                try:
                    assert lookup(reader, "ann").release in (OLD, NEW)
                    assert reader.pointer() == intact
                except InfrastructureError as error:
                    assert "is damaged. Delete it" in str(error)  # noqa: PT017
                    found += 1
        assert found > 0.9 * len(content)

    @pytest.mark.parametrize("point", ["writing", "before_switch", "after_switch"])
    def test_a_killed_publisher_of_a_candidate_leaves_all_or_nothing_and_a_retry_completes(
        self, store: Store, address: str, point: str
    ) -> None:
        put(store, OLD)
        publisher = start("publish", address, NEW, point, str(SHARE))
        _, errors = publisher.communicate(timeout=60)
        assert publisher.returncode == -SIGKILL, errors
        assert store.pointer().candidate == (NEW if point == "after_switch" else None)
        assert store.pointer().current == OLD
        publish(store, *release_with_many_users(NEW), keep=3, share=SHARE)
        assert store.pointer() == Pointer(2, (OLD,), (), NEW, SHARE)
        verify(store, NEW)

    def test_no_answer_is_torn_while_people_deny_roll_out_and_roll_back(
        self, store: Store, address: str, tmp_path: Path
    ) -> None:
        put(store, OLD, spare=1)
        put(store, NEW, spare=1)
        readers = [start("poll", address, str(tmp_path / "stop")) for _ in range(2)]
        propose(store, NEWER, 99, spare=1)
        while len(list(tmp_path.glob("stop.*"))) < len(readers):
            time.sleep(SEEN_SECONDS)
        deadline = time.monotonic() + MOVING_SECONDS
        for number in count():
            decide(store, "denied", "i1")
            set_share(store, 50 + number % 50, None, NEWER, by=ANN)
            time.sleep(SEEN_SECONDS)
            decide(store, "allowed", "i1")
            if number % 2:
                finish(store, None, by=ANN)
                rollback(store, NEW)
            else:
                abort(store, by=ANN)
            rollback(store, OLD)
            time.sleep(SEEN_SECONDS)
            rollback(store, NEW)
            if time.monotonic() > deadline:
                break
        (tmp_path / "stop").touch()
        for reader in readers:
            output, errors = reader.communicate(timeout=30)
            assert reader.returncode == 0, errors
            assert {OLD, NEW, NEWER, "i1", "i2"} <= set(json.loads(output))
