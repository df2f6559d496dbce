"""Two releases of three users, to the figure, and the limits of what may change."""

from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from serving.format.comparison import (
    Comparison,
    ListDifference,
    Mover,
    SegmentChurn,
    compare,
    joined,
)
from serving.format.guardrails import Guardrails, breaches
from serving.format.records import Item, Record, encode, key

POPULAR = "popularity"


def record(list_name: str, user: str, items: str, size: int = 2) -> Record:
    """A list of one-letter items; those in upper case are filled up by popularity."""
    record_key = key(list_name, user)
    places = [
        Item(
            rank,
            item.lower(),
            f"the {item.lower()}",
            1.0,
            POPULAR if item.isupper() else "counts",
            "",
        )
        for rank, item in enumerate(items, start=1)
    ]
    return record_key, encode(record_key, places, size)


# Of three places, two are shown.
BEFORE = sorted(
    [
        record("all", "ann", "abc"),
        record("all", "bob", "abc"),
        record("all", "cid", "abc"),
        record("discover", "ann", "de"),
        record("fallback", "", "AB"),
    ]
)
AFTER = sorted(
    [
        record("all", "ann", "abd"),  # The same two are shown.
        record("all", "bob", "aXc"),  # One of two is another.
        record("all", "dan", "xya"),  # cid is gone, dan is new.
        record("discover", "ann", "ED"),  # The same items in another order.
        record("fallback", "", "XY"),
    ]
)


def test_each_figure() -> None:
    segments = {"ann": "often", "bob": "seldom"}
    assert compare(BEFORE, AFTER, segment_of=segments.get) == Comparison(
        lists=(
            ListDifference(
                list_name="all",
                before=3,
                after=3,
                both=2,
                identical=1,
                compared=2,
                churn=0.25,
                empty=1,
                places=6,
                filled_up=1,
                items_in=2,
                items_out=0,
            ),
            ListDifference("discover", 1, 1, 1, 0, 1, 0.0, 0, 2, 2, 0, 0),
            ListDifference("fallback", 1, 1, 1, 0, 1, 1.0, 0, 2, 2, 2, 2),
        ),
        segments=(SegmentChurn("often", 2, 0.0), SegmentChurn("seldom", 1, 0.5)),
        movers=(
            Mover("b", "the b", 3, 1),
            Mover("x", "the x", 0, 2),
            Mover("a", "the a", 3, 2),
            Mover("y", "the y", 0, 1),
        ),
        items_before=4,
        items_after=6,
    )


def test_what_guardrails_look_at_leaves_the_fallback_lists_out() -> None:
    found = compare(BEFORE, AFTER)
    assert found.empty_share == 1 / 5
    assert found.fallback_share == 3 / 8
    assert found.coverage_ratio == 6 / 4
    assert found.churn == (0.0 + 0.5 + 0.0) / 3
    assert [(one.changed, one.either) for one in found.lists] == [(1, 4), (1, 1), (1, 1)]


def test_lists_of_contexts_are_no_user_s_whatever_they_are_called() -> None:
    contexts = [record("popular", "ann", "xy"), record("trending", "", "z")]
    found = compare(sorted([*BEFORE, *contexts]), AFTER, segment_of={"ann": "often"}.get)
    plain = compare(BEFORE, AFTER, segment_of={"ann": "often"}.get)
    assert found.segments == plain.segments == (SegmentChurn("often", 2, 0.0),)
    assert (found.empty_share, found.movers) == (plain.empty_share, plain.movers)
    assert {one.list_name for one in found.lists} >= {"popular", "trending"}


def test_denied_items_are_shown_in_neither_and_spare_ones_are() -> None:
    found = compare(BEFORE, AFTER, denied={"b", "d", "e"})
    everybody, discover, _ = found.lists
    assert (everybody.identical, everybody.churn, everybody.places) == (0, 0.25, 5)
    assert (discover.empty, discover.compared, discover.churn) == (1, 0, None)


def test_a_release_and_itself_are_the_same_and_nothing_is_compared_with_nothing() -> None:
    same = compare(BEFORE, BEFORE)
    assert (same.churn, same.coverage_ratio, same.empty_share, same.movers) == (0, 1, 0, ())
    assert sum(one.changed for one in same.lists) == 0
    nothing = compare([], [])
    assert nothing == Comparison((), (), (), 0, 0)
    assert (nothing.churn, nothing.coverage_ratio, nothing.empty_share) == (0, 1, 0)


def test_a_user_whose_id_is_only_known_as_a_digest_has_no_segment() -> None:
    records = [record("all", "x" * 600, "ab")]
    assert compare(records, records, segment_of=lambda user: user).segments == ()


def test_records_are_met_in_key_order_and_taken_one_by_one() -> None:
    taken = []

    def counted(side: str, keys: str) -> Iterator[Record]:
        for name in keys:
            taken.append(side)
            yield name.encode(), b""

    meeting = joined(counted("before", "abd"), counted("after", "bce"))
    assert next(meeting) == (b"a", b"", None)
    assert len(taken) <= 4
    assert list(meeting) == [
        (b"b", b"", b""),
        (b"c", None, b""),
        (b"d", b"", None),
        (b"e", None, b""),
    ]


class TestGuardrails:
    def test_each_limit_is_inclusive_and_names_figure_and_limit(self) -> None:
        found = compare(BEFORE, AFTER)
        kept = Guardrails(empty_share=0.2, fallback_share=0.375, coverage_ratio=1.5, churn=0.5)
        assert list(breaches(kept, found)) == []
        broken = Guardrails(empty_share=0.1, fallback_share=0.3, coverage_ratio=1.6, churn=0.1)
        assert [line.split(":")[0] for line in breaches(broken, found)] == [
            "empty_share is 0.2, at most 0.1 is allowed",
            "fallback_share is 0.375, at most 0.3 is allowed",
            "coverage_ratio is 1.5, at least 1.6 is allowed",
            "churn is 0.1667, at most 0.1 is allowed",
        ]
        assert list(breaches(Guardrails(), found)) == []

    @pytest.mark.parametrize("wrong", [{"churn": 2}, {"churn": True}, {"x": 1}, {"churn": "1"}])
    def test_what_is_no_limit_is_refused(self, wrong: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            Guardrails.model_validate(wrong)
