"""Files on disk: written whole or not at all; what was written comes back, or damage is named."""

import json
from contextlib import suppress
from pathlib import Path

import pytest

from lakehouse.errors import DataError
from lakehouse.files import read_json, replacing, write_json, write_new_text, write_text

CONTENT = {"b": {"10": 1, "9": [0.1, None, True]}, "a": "naïve"}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.txt"
    write_text(path, "old")
    with replacing(path) as new:
        new.write_bytes(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(path.parent) == ["x.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    write_text(path, "old")
    with suppress(OSError), replacing(path) as new:
        new.write_bytes(b"ne")
        raise OSError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x.txt"]


def test_a_new_file_never_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    write_new_text(path, "mine")
    with pytest.raises(FileExistsError):
        write_new_text(path, "other")
    assert path.read_text() == "mine"
    assert names(tmp_path) == ["x.txt"]


def test_what_was_written_comes_back_in_one_stable_form(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.json"
    write_json(path, CONTENT)
    first = path.read_bytes()
    assert read_json(path, "") == CONTENT
    write_json(path, dict(reversed(CONTENT.items())))
    assert path.read_bytes() == first
    assert names(path.parent) == ["x.json"]


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
