import json
from dataclasses import asdict, replace
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import DataError
from serving.format.records import FORMAT, DamagedReleaseError, Item, decode, encode, key, summarise
from serving.format.releases import Manifest, Pointer, night, state, surplus, takes_over
from tests.stored_lists import make_release

ONE, TWO, THREE = "2024-03-01-aaaaaaaa", "2024-03-02-bbbbbbbb", "2024-03-03-cccccccc"
TWO_AGAIN = "2024-03-02-0000ffff"
ITEMS = [
    Item(1, "i1", "Bread & 'butter' 🥖", 0.5, "counts", "bought 3 times"),
    Item(2, "i2", None, -1.0, "a", ""),
]


class TestRecords:
    def test_a_record_is_a_crc_and_json(self) -> None:
        value = encode(key("all", "u"), ITEMS[1:])
        assert value[8:] == (
            b'{"format":1,"items":[{"rank":2,"item_id":"i2","title":null,"score":-1.0,'
            b'"source":"a","reason":""}]}'
        )
        assert value[:8] == b"%08x" % int(value[:8], 16)

    def test_items_come_back(self) -> None:
        assert decode(key("all", "u"), encode(key("all", "u"), ITEMS)) == tuple(ITEMS)

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
        content = {"format": 1, "items": [asdict(item) for item in items]}
        expected = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        assert encode(b"k", items)[8:] == expected.encode("utf-8", "surrogatepass")

    @given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
    def test_any_flipped_bit_is_found(self, place: int, bit: int) -> None:
        value = bytearray(encode(b"k", ITEMS))
        value[place % len(value)] ^= 1 << bit
        with pytest.raises(DamagedReleaseError, match="checksum does not match"):
            decode(b"k", bytes(value))

    def test_a_value_under_another_key_is_found(self) -> None:
        value = encode(key("all", "ann"), ITEMS)
        with pytest.raises(DamagedReleaseError, match="checksum does not match"):
            decode(key("all", "bob"), value)

    def test_a_later_format_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("serving.format.records.FORMAT", 2)
        value = encode(b"k", ITEMS)
        monkeypatch.undo()
        with pytest.raises(DamagedReleaseError, match="have format 2, this reader knows format 1"):
            decode(b"k", value)

    @pytest.mark.parametrize("score", [float("nan"), float("inf")])
    def test_a_score_that_is_no_number_is_a_data_error(self, score: float) -> None:
        with pytest.raises(DataError, match=r"gold\.recommendations: a score is NaN or infinite"):
            encode(b"k", [replace(ITEMS[0], score=score)])

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
        ],
    )
    def test_anything_else_is_no_pointer(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            Pointer.from_json(text)

    @given(
        acts=st.lists(
            st.tuples(st.sampled_from("pr"), st.sampled_from([ONE, TWO, TWO_AGAIN, THREE])),
            max_size=12,
        )
    )
    def test_whatever_people_do_the_pointer_is_sound(self, acts: list[tuple[str, str]]) -> None:
        pointers = [Pointer()]
        for act, release in acts:
            last = pointers[-1]
            pointers.append(last.activated(release) if act == "p" else last.rolled_back(release))
            assert pointers[-1].current == release
        for before, after in pairwise(pointers):
            assert after.generation == before.generation + 1
            assert len(set(after.history)) == len(after.history)
            assert len(set(after.withdrawn)) == len(after.withdrawn)
            assert after.current not in after.withdrawn
            assert {*before.history} <= {*after.history, *after.withdrawn}


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
        pointer = Pointer(1, (ONE, TWO), (THREE,))
        found = [state(name, pointer) for name in (ONE, TWO, THREE, TWO_AGAIN)]
        assert found == ["previous", "current", "rolled back", "stored"]


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
