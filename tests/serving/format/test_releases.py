import json
import zlib
from dataclasses import asdict, replace
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import DataError
from serving.format.records import (
    FORMAT,
    DamagedReleaseError,
    Item,
    decode,
    encode,
    key,
    mentions,
    shown,
    summarise,
    user_of,
)
from serving.format.releases import (
    EVERYBODY,
    Manifest,
    Pointer,
    in_share,
    night,
    published,
    state,
    surplus,
    takes_over,
)
from tests.stored_lists import make_release

ONE, TWO, THREE = "2024-03-01-aaaaaaaa", "2024-03-02-bbbbbbbb", "2024-03-03-cccccccc"
TWO_AGAIN = "2024-03-02-0000ffff"
ITEMS = [
    Item(1, "i1", "Bread & 'butter' 🥖", 0.5, "counts", "bought 3 times"),
    Item(2, "i2", None, -1.0, "a", ""),
]


class TestRecords:
    def test_a_record_is_a_crc_and_json(self) -> None:
        value = encode(key("all", "u"), ITEMS[1:], 2)
        assert value[8:] == (
            b'{"format":2,"size":2,"items":[{"rank":2,"item_id":"i2","title":null,"score":-1.0,'
            b'"source":"a","reason":""}]}'
        )
        assert value[:8] == b"%08x" % int(value[:8], 16)

    def test_items_come_back(self) -> None:
        assert decode(key("all", "u"), encode(key("all", "u"), ITEMS, 2)) == tuple(ITEMS)

    @given(
        items=st.lists(
            st.builds(
                Item,
                rank=st.integers(1, 1000),
                title=st.none() | st.text(),
                score=st.floats(allow_nan=False, allow_infinity=False),
            ),
            max_size=3,
        )
    )
    def test_a_record_is_what_jsons_own_encoder_writes(self, items: list[Item]) -> None:
        content = {"format": 2, "size": 2, "items": [asdict(item) for item in items]}
        expected = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        assert encode(b"k", items, 2)[8:] == expected.encode("utf-8", "surrogatepass")

    @given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
    def test_any_flipped_bit_is_found(self, place: int, bit: int) -> None:
        value = bytearray(encode(b"k", ITEMS, 2))
        value[place % len(value)] ^= 1 << bit
        with pytest.raises(DamagedReleaseError, match="checksum does not match"):
            decode(b"k", bytes(value))

    def test_the_places_shown_come_first_and_spare_ones_take_those_of_denied_items(self) -> None:
        items = [Item(n, f"i{n}", None, 1.0, "counts", "") for n in (1, 2, 3, 4)]
        value = encode(b"k", items, 2)
        assert shown(b"k", value) == tuple(items[:2])
        assert shown(b"k", value, {"i1", "x"}) == (
            replace(items[1], rank=1),
            replace(items[2], rank=2),
        )
        assert shown(b"k", value, {"i1", "i2", "i3"}) == (replace(items[3], rank=1),)
        assert shown(b"k", value, {item.item_id for item in items}) == ()
        assert decode(b"k", value) == tuple(items)

    def test_a_record_of_format_1_has_no_spare_places(self) -> None:
        body = encode(b"k", ITEMS, 1)[8:].replace(b'"format":2,"size":1,', b'"format":1,')
        value = b"%08x" % zlib.crc32(b"k" + body) + body
        assert decode(b"k", value) == shown(b"k", value) == tuple(ITEMS)
        assert shown(b"k", value, {"i1"}) == (replace(ITEMS[1], rank=1),)

    @given(item_id=st.text(), other=st.text(), title=st.text())
    def test_an_item_is_found_in_a_record_and_nowhere_else_in_it(
        self, item_id: str, other: str, title: str
    ) -> None:
        value = encode(b"k", [Item(1, item_id, f'{title}"item_id":"{other}",', 1.0, "", title)], 1)
        assert mentions(value, item_id)
        assert mentions(value, other) == (other == item_id)

    def test_a_key_tells_whose_it_is_unless_the_id_was_long(self) -> None:
        for user in ("ann", "", "a\0b", "\1", "x" * 507, "\udcff"):
            assert user_of(key("all", user)) == user
        assert user_of(key("all", "x" * 508)) is None

    def test_a_value_under_another_key_is_found(self) -> None:
        value = encode(key("all", "ann"), ITEMS, 2)
        with pytest.raises(DamagedReleaseError, match="checksum does not match"):
            decode(key("all", "bob"), value)

    def test_a_later_format_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("serving.format.records.FORMAT", 3)
        value = encode(b"k", ITEMS, 2)
        monkeypatch.undo()
        with pytest.raises(
            DamagedReleaseError, match="have format 3, this reader knows formats 1 and"
        ):
            decode(b"k", value)

    @pytest.mark.parametrize("score", [float("nan"), float("inf")])
    def test_a_score_that_is_no_number_is_a_data_error(self, score: float) -> None:
        with pytest.raises(DataError, match=r"gold\.recommendations: a score is NaN or infinite"):
            encode(b"k", [replace(ITEMS[0], score=score)], 2)

    def test_keys(self) -> None:
        assert key("all", "ann") == b"all\0ann"
        assert len(key("all", "x" * 507)) == 511
        assert len(key("all", "x" * 508)) == 36
        assert key("all", "x" * 508) != key("discover", "x" * 508)

    @given(users=st.lists(st.text(max_size=600), min_size=2, max_size=4, unique=True))
    def test_keys_fit_and_never_collide(self, users: list[str]) -> None:
        keys = [key(kind, user) for kind in ("all", "discover") for user in users]
        assert len(set(keys)) == len(keys)
        assert max(map(len, keys)) <= 511

    def test_an_id_that_is_no_utf8_is_a_key_like_any_other(self) -> None:
        assert key("all", b"\xff".decode(errors="surrogateescape")) == b"all\0\xed\xb3\xbf"

    def test_the_checksum_tells_sets_of_records_apart(self) -> None:
        checksums = [
            summarise(records).checksum
            for records in (
                [],
                [(b"a", b"")],
                [(b"", b"a")],
                [(b"ab", b"c")],
                [(b"a", b"bc")],
                [(b"a", b"b"), (b"c", b"d")],
                [(b"c", b"d"), (b"a", b"b")],
            )
        ]
        assert len(set(checksums)) == len(checksums)


class TestManifest:
    def test_it_comes_back_from_json(self) -> None:
        manifest, _ = make_release(ONE)
        assert Manifest.from_json(manifest.to_json()) == manifest
        assert manifest.run_date == date(2024, 3, 1)
        assert manifest.format == FORMAT

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"run_date": "2024-03-01"}', "null"])
    def test_anything_else_is_damage(self, text: str) -> None:
        with pytest.raises(DamagedReleaseError, match="manifest is not readable"):
            Manifest.from_json(text)


class TestPointer:
    def test_publishing_appends(self) -> None:
        pointer = Pointer().activated(ONE).activated(TWO)
        assert pointer == Pointer(2, (ONE, TWO), ())
        assert (pointer.current, pointer.previous) == (TWO, ONE)

    def test_a_release_published_again_serves_once_more_in_the_history(self) -> None:
        pointer = Pointer().activated(TWO).activated(TWO_AGAIN).activated(TWO)
        assert pointer.history == (TWO_AGAIN, TWO)

    def test_rolling_back_twice_and_forward_again(self) -> None:
        pointer = Pointer(0, (ONE, TWO, THREE))
        once = pointer.rolled_back(TWO)
        assert once == Pointer(1, (ONE, TWO), (THREE,))
        twice = once.rolled_back(ONE)
        assert twice == Pointer(2, (ONE,), (THREE, TWO))
        assert twice.rolled_back(THREE) == Pointer(3, (ONE, THREE), (TWO,))

    def test_choosing_a_backfilled_night_withdraws_what_is_later(self) -> None:
        pointer = Pointer(0, (ONE, TWO, THREE)).rolled_back(TWO_AGAIN)
        assert pointer == Pointer(1, (ONE, TWO, TWO_AGAIN), (THREE,))

    def test_dropped_releases_leave_the_pointer(self) -> None:
        assert Pointer(4, (ONE, THREE), (TWO,)).without([ONE, TWO]) == Pointer(5, (THREE,), ())

    def test_a_dropped_release_of_a_later_night_stays_rolled_back(self) -> None:
        pointer = Pointer(4, (ONE,), (TWO, THREE)).without([TWO, THREE])
        assert pointer == Pointer(5, (ONE,), (TWO, THREE))
        assert not takes_over(THREE, pointer)

    def test_it_comes_back_from_json(self) -> None:
        pointer = Pointer(3, (ONE, TWO), (THREE,))
        assert Pointer.from_json(pointer.to_json()) == pointer

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{}",
            "[]",
            "null",
            '{"generation": 1, "history": ["today"], "withdrawn": []}',
            '{"generation": "1", "history": [], "withdrawn": []}',
            '{"generation": 1, "history": [], "withdrawn": [], "more": 1}',
            '{"generation": 1, "history": [1], "withdrawn": []}',
            '{"generation": 1, "history": [], "withdrawn": [], "candidate": "today", "share": 5}',
            '{"generation": 1, "history": [], "withdrawn": [], "candidate": null, "share": 5}',
            f'{{"generation": 1, "history": [], "withdrawn": [], "candidate": "{ONE}", '
            '"share": "all"}',
        ],
    )
    def test_anything_else_is_no_pointer(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            Pointer.from_json(text)

    def test_a_rollout_begins_grows_and_finishes(self) -> None:
        pointer = Pointer(1, (ONE,), (TWO,)).proposed(TWO, 5)
        assert pointer == Pointer(2, (ONE,), (), TWO, 5)
        assert pointer.proposed(TWO, 50) == Pointer(3, (ONE,), (), TWO, 50)
        assert pointer.renewed() == Pointer(3, (ONE,), (), TWO, 5)
        assert pointer.activated(TWO) == Pointer(3, (ONE, TWO), ())

    def test_a_rollout_that_is_aborted_or_rolled_back_withdraws_its_candidate(self) -> None:
        pointer = Pointer(1, (ONE, TWO), (), THREE, 5)
        aborted = Pointer(2, (ONE, TWO), (THREE,))
        assert pointer.withdrawing(THREE) == pointer.rolled_back(TWO) == aborted
        assert pointer.rolled_back(ONE) == Pointer(2, (ONE,), (TWO, THREE))
        assert pointer.rolled_back(THREE) == Pointer(2, (ONE, TWO, THREE), ())
        assert pointer.withdrawing(ONE) == Pointer(2, (TWO,), (ONE,), THREE, 5)

    def test_without_a_rollout_it_is_written_as_before_there_were_any(self) -> None:
        text = json.dumps({"generation": 3, "history": [ONE], "withdrawn": []})
        assert Pointer(3, (ONE,)).to_json() == text
        assert Pointer.from_json(text) == Pointer(3, (ONE,))
        rollout = Pointer(3, (ONE,), (), TWO, 12.5)
        assert Pointer.from_json(rollout.to_json()) == rollout

    @given(
        acts=st.lists(
            st.tuples(st.sampled_from("prcaw"), st.sampled_from([ONE, TWO, TWO_AGAIN, THREE])),
            max_size=12,
        )
    )
    def test_whatever_people_do_the_pointer_is_sound(self, acts: list[tuple[str, str]]) -> None:
        pointers = [Pointer(0, (ONE,))]
        for act, release in acts:
            last = pointers[-1]
            if act == "p":
                pointers.append(last.activated(release))
            elif act == "r":
                pointers.append(last.rolled_back(release))
            elif act == "c" and release != last.current:
                pointers.append(last.proposed(release, 5))
            elif act == "w" and release != last.current:
                pointers.append(last.withdrawing(release))
            elif act == "a":
                pointers.append(published(last, release, share=5, written=True))
            if act in "pr":
                assert pointers[-1].current == release
        for before, after in pairwise(pointers):
            assert after.generation == before.generation + (after is not before)
            assert len(set(after.history)) == len(after.history)
            assert len(set(after.withdrawn)) == len(after.withdrawn)
            assert not {after.current, after.candidate} & {*after.withdrawn}
            assert after.candidate is None or after.candidate != after.current
            assert {*before.history} <= {*after.history, *after.withdrawn, after.candidate}
            assert Pointer.from_json(after.to_json()) == after


class TestWhatServes:
    def test_a_newer_night_takes_over_a_past_one_does_not(self) -> None:
        assert takes_over(THREE, Pointer(1, (ONE, TWO)))
        assert not takes_over(ONE, Pointer(1, (TWO,)))

    def test_another_release_of_the_same_night_takes_over(self) -> None:
        assert takes_over(TWO_AGAIN, Pointer(1, (ONE, TWO)))

    def test_a_retry_does_not_undo_a_rollback_but_a_new_release_of_that_night_serves(self) -> None:
        pointer = Pointer(1, (ONE, TWO)).rolled_back(ONE)
        assert not takes_over(TWO, pointer)
        assert takes_over(TWO_AGAIN, pointer)
        assert takes_over(THREE, pointer)

    def test_a_rolled_back_night_of_the_future_is_not_compared_with(self) -> None:
        future = "2030-01-01-ffffffff"
        served = Pointer(1, (ONE, future))
        assert not takes_over(TWO, served)
        back = served.rolled_back(ONE)
        assert takes_over(TWO, back)
        assert not takes_over(future, back)
        assert takes_over(THREE, back.activated(TWO))

    def test_states(self) -> None:
        pointer = Pointer(1, (ONE, TWO), (THREE,), "2024-03-04-dddddddd", 5)
        names = (ONE, TWO, THREE, TWO_AGAIN, "2024-03-04-dddddddd")
        assert [state(name, pointer) for name in names] == [
            "previous",
            "current",
            "rolled back",
            "stored",
            "candidate",
        ]

    def test_who_is_served_by_what(self) -> None:
        pointer = Pointer(1, (ONE, TWO), (), THREE, 50)
        users = [f"user {number}" for number in range(1000)]
        inside = [user for user in users if pointer.serving(user) == (THREE, TWO, ONE)]
        outside = [user for user in users if pointer.serving(user) == (TWO, ONE)]
        assert len(inside) + len(outside) == 1000
        assert 450 < len(inside) < 550
        assert pointer.serving(None) == Pointer(1, (ONE, TWO)).serving(inside[0]) == (TWO, ONE)
        assert Pointer().serving("ann") == ()

    def test_the_same_users_are_in_on_any_machine(self) -> None:
        inside = [user for user in map(str, range(100)) if in_share(user, TWO, 5)]
        assert inside == ["8", "21", "40", "76"]

    @given(user=st.text(st.characters(exclude_categories=())), low=st.floats(0, 100))
    def test_who_is_in_stays_in_while_the_share_grows(self, user: str, low: float) -> None:
        if in_share(user, TWO, low):
            assert in_share(user, TWO, (low + 100) / 2)
        assert in_share(user, TWO, EVERYBODY)
        assert not in_share(user, TWO, 0)


class TestPublished:
    """What publishing ``TWO`` or ``THREE`` does to a pointer."""

    def test_for_a_share_it_is_the_candidate(self) -> None:
        pointer = Pointer(1, (ONE,))
        assert published(pointer, TWO, share=5, written=True) == Pointer(2, (ONE,), (), TWO, 5)

    def test_again_it_keeps_the_share_that_it_has_by_now(self) -> None:
        pointer = Pointer(1, (ONE,), (), TWO, 50)
        for share in (5.0, EVERYBODY):
            assert published(pointer, TWO, share=share, written=False) == pointer
            assert published(pointer, TWO, share=share, written=True) == pointer.renewed()

    def test_the_first_release_of_all_serves_everybody(self) -> None:
        assert published(Pointer(), TWO, share=5, written=True) == Pointer(1, (TWO,))

    def test_while_a_rollout_is_on_a_release_for_everybody_is_stored_only(self) -> None:
        pointer = Pointer(1, (ONE,), (), TWO, 5)
        assert published(pointer, THREE, share=EVERYBODY, written=True) == pointer
        assert published(pointer, ONE, share=EVERYBODY, written=False) == pointer
        assert published(pointer, ONE, share=EVERYBODY, written=True) == pointer.renewed()

    def test_a_later_candidate_takes_the_place_of_an_earlier_one(self) -> None:
        pointer = Pointer(1, (ONE,), (), TWO, 50)
        later = published(pointer, THREE, share=5, written=True)
        assert later == Pointer(2, (ONE,), (), THREE, 5)
        assert published(later, TWO, share=5, written=False) == later

    def test_what_was_withdrawn_or_is_of_a_past_night_is_no_candidate(self) -> None:
        pointer = Pointer(1, (TWO,), (THREE,))
        for release in (ONE, THREE, TWO):
            assert published(pointer, release, share=5, written=False) == pointer


class TestSurplus:
    def test_the_oldest_nights_go(self) -> None:
        names = [f"2024-03-{day:02}-aaaaaaaa" for day in range(1, 6)]
        pointer = Pointer(1, tuple(names))
        assert surplus(names, pointer, keep=3) == tuple(names[:2])
        assert surplus(names, pointer, keep=5) == ()

    def test_current_and_previous_stay_however_old(self) -> None:
        names = [f"2024-03-{day:02}-aaaaaaaa" for day in range(1, 6)]
        pointer = Pointer(1, tuple(names)).rolled_back(names[1])
        assert surplus(names, pointer, keep=2) == tuple(names[2:])

    def test_the_candidate_stays(self) -> None:
        pointer = Pointer(1, (TWO, TWO_AGAIN), (), ONE, 5)
        assert surplus([ONE, TWO, TWO_AGAIN, THREE], pointer, keep=2) == (THREE,)

    def test_of_one_night_those_that_never_served_go_first(self) -> None:
        assert surplus([ONE, TWO, TWO_AGAIN], Pointer(1, (ONE, TWO_AGAIN)), keep=2) == (TWO,)

    def test_damaged_releases_go_first_but_not_the_one_that_serves(self) -> None:
        pointer = Pointer(1, (ONE, TWO))
        assert surplus([ONE, THREE], pointer, keep=2, damaged=[TWO, "x"]) == ("x", THREE)

    @given(
        days=st.sets(st.integers(1, 28), min_size=1, max_size=9),
        served=st.integers(0, 9),
        keep=st.integers(2, 6),
    )
    def test_no_more_stay_than_kept(self, days: set[int], served: int, keep: int) -> None:
        names = [f"2024-03-{day:02}-aaaaaaaa" for day in sorted(days)]
        pointer = Pointer(1, tuple(names[:served]))
        left = set(names) - set(surplus(names, pointer, keep=keep))
        assert len(left) == min(keep, len(names))
        assert {pointer.current, pointer.previous} - {None} <= left


def test_the_night_is_in_the_name() -> None:
    assert night(ONE) == date(2024, 3, 1)
