"""Whose a folder is, also when several processes ask at once or one is killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.errors import ConfigurationError, DataError, InfrastructureError
from lakehouse.ownership import MARKER, check_owner, claim


def test_a_folder_belongs_to_the_first_shop_that_claims_it(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "lake"
    check_owner(folder, "bakery")
    assert not folder.exists()
    claim(folder, "corner")
    claim(folder, "corner")
    check_owner(folder, "corner")
    for refused in (claim, check_owner):
        with pytest.raises(ConfigurationError, match=r"belongs to the shop 'corner'.* of 'bakery'"):
            refused(folder, "bakery")
    assert (folder / MARKER).read_text() == "corner\n"


def test_a_folder_with_contents_but_no_marker_is_adopted(tmp_path: Path) -> None:
    (tmp_path / "bronze").mkdir()
    claim(tmp_path, "corner")
    assert (tmp_path / MARKER).read_text() == "corner\n"


def test_a_marker_left_empty_by_a_kill_is_filled_by_the_next(tmp_path: Path) -> None:
    (tmp_path / MARKER).touch()
    claim(tmp_path, "corner")
    assert (tmp_path / MARKER).read_text() == "corner\n"


@pytest.mark.parametrize("damage", [b"c" * 41, b"cor\x00ner", b"corn\xe9r", b"one\ntwo"])
def test_a_damaged_marker_is_named_and_not_quoted(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / MARKER).write_bytes(damage)
    for refused in (claim, check_owner):
        with pytest.raises(DataError) as error:
            refused(tmp_path, "corner")
        assert str(error.value) == (
            f"{tmp_path / MARKER} is damaged: it names no shop. Write the name of the shop that "
            f"{tmp_path} belongs to into it."
        )
    assert (tmp_path / MARKER).read_bytes() == damage


def test_of_shops_that_claim_at_once_one_wins(tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    code = (
        "import sys; from pathlib import Path; from lakehouse.ownership import claim; "
        f"sys.stdin.readline(); claim(Path({str(folder)!r}), sys.argv[1])"
    )
    shops = [f"shop_{number}" for number in range(6)]
    racing = [
        subprocess.Popen(
            [sys.executable, "-c", code, shop], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for shop in shops
    ]
    errors = [process.communicate(b"\n")[1].decode() for process in racing]
    winners = [shop for shop, process in zip(shops, racing, strict=True) if not process.returncode]
    assert len(winners) == 1
    assert (folder / MARKER).read_text() == f"{winners[0]}\n"
    told = [error for error in errors if f"belongs to the shop '{winners[0]}'" in error]
    assert len(told) == len(shops) - 1


def test_a_folder_that_cannot_be_made_is_an_infrastructure_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_owner(tmp_path / "file" / "lake", "corner")
    with pytest.raises(InfrastructureError, match=r"cannot write to .*file/lake"):
        claim(tmp_path / "file" / "lake", "corner")
