"""JSON files on disk: what was written comes back, or the damage is named."""

import json
from contextlib import suppress
from pathlib import Path

import pytest

from lakehouse.atomic import read_json, write_json
from lakehouse.errors import DataError

CONTENT = {"b": {"10": 1, "9": [0.1, None, True]}, "a": "naïve"}


def test_what_was_written_comes_back_in_one_stable_form(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.json"
    write_json(path, CONTENT)
    first = path.read_bytes()
    assert read_json(path, "") == CONTENT
    write_json(path, dict(reversed(CONTENT.items())))
    assert path.read_bytes() == first
    assert [file.name for file in path.parent.iterdir()] == ["x.json"]


def test_keys_are_text_afterwards(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"counts": {10: "a", 9: "b"}})
    assert read_json(tmp_path / "x.json", "") == {"counts": {"10": "a", "9": "b"}}


def test_every_flipped_byte_of_the_content_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, CONTENT)
    whole = path.read_bytes()
    own = whole.index(b'"sha256"')
    unseen = set()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with suppress(DataError):
            if read_json(path, "") != CONTENT:
                unseen.add(place)
    # Under another key the checksum is text like any other.
    assert unseen <= set(range(own, own + len('"sha256"')))


def test_a_file_from_before_the_checksum_is_taken(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(CONTENT))
    assert read_json(tmp_path / "x.json", "") == CONTENT


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b"\xff"])
def test_what_is_no_object_is_damaged(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "x.json").write_bytes(damage)
    with pytest.raises(DataError, match="is damaged: it is no JSON"):
        read_json(tmp_path / "x.json", "")
