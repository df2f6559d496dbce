"""What is denied, who said so, and how it is stored."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.format import denials
from serving.format.denials import HEAD_BYTES, Act, DenyList
from tests.stored_lists import act


def test_the_last_act_on_an_item_counts() -> None:
    known = DenyList().after([act("denied", "milk"), act("denied", "eggs")])
    known = known.after([act("allowed", "milk"), act("denied", "eggs", "another reason")])
    assert known.in_force == {"eggs": act("denied", "eggs", "another reason")}
    assert known.items == {"eggs"}
    assert [(one.action, one.item_id) for one in known.acts] == [
        ("denied", "milk"),
        ("denied", "eggs"),
        ("allowed", "milk"),
        ("denied", "eggs"),
    ]
    assert known.after([act("denied", "milk")]).items == {"eggs", "milk"}


def test_to_allow_what_is_not_denied_changes_nothing() -> None:
    known = DenyList().after([act("denied", "milk")])
    assert known.after([act("allowed", "eggs")]) == known


def test_acts_that_are_over_are_forgotten_in_the_end_those_in_force_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(denials, "KEPT_ACTS", 2)
    known = DenyList().after([act("denied", "first")])
    for item in ("a", "b", "c"):
        known = known.after([act("denied", item), act("allowed", item)])
    assert [(one.action, one.item_id) for one in known.acts] == [
        ("denied", "first"),
        ("denied", "c"),
        ("allowed", "c"),
    ]


@given(
    acts=st.lists(
        st.builds(
            Act,
            st.sampled_from(["denied", "allowed"]),
            *(st.text(st.characters(exclude_categories=())),) * 4,
        ),
        max_size=5,
    )
)
def test_it_comes_back_whatever_people_write(acts: list[Act]) -> None:
    known = DenyList().after(acts)
    stored = known.to_bytes()
    assert DenyList.from_bytes(stored) == known
    assert stored[HEAD_BYTES : HEAD_BYTES + 1] == b"\n"


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_any_flipped_bit_is_found(place: int, bit: int) -> None:
    stored = bytearray(DenyList().after([act("denied", "milk")]).to_bytes())
    stored[place % len(stored)] ^= 1 << bit
    with pytest.raises(ValueError, match="checksum does not match"):
        DenyList.from_bytes(bytes(stored))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"acts": [1]}', b'{"acts": [{"x": 1}]}'])
def test_another_content_is_no_deny_list_though_its_checksum_is_right(body: bytes) -> None:
    stored = sha256(body).hexdigest().encode() + b"\n" + body
    with pytest.raises(ValueError, match=r"checksum|no deny list|Expecting value"):
        DenyList.from_bytes(stored)
