import os
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from lakehouse.errors import DataError
from lakehouse.ingest.files import (
    HASHED_EVERY_NIGHTS,
    FoundFile,
    RegisteredFile,
    find_file,
    interrupted,
    new_files,
    read_register,
    register_batch,
    repeats,
    write_register,
)
from lakehouse.tables import BRONZE_EVENTS

FIRST, SECOND = date(2024, 1, 2), date(2024, 1, 3)


def found(name: str, digest: str, source: str = "orders") -> FoundFile:
    return FoundFile(source, Path(name), name, digest, 10)


def registered(
    name: str, digest: str = "d", status: str = "loaded", night: date = FIRST
) -> RegisteredFile:
    return RegisteredFile("orders", name, digest, 10, status, f"{night}-batch", night)


def test_the_register_is_kept_by_night(tmp_path: Path) -> None:
    assert read_register(tmp_path) == []
    later, b, a = registered("c", night=SECOND), registered("b"), registered("a", status="empty")
    write_register(tmp_path, SECOND, [later])
    write_register(tmp_path, FIRST, [b, a])
    assert read_register(tmp_path) == [a, b, later]
    write_register(tmp_path, FIRST, [b])
    assert read_register(tmp_path) == [b, later]


def test_files_are_new_by_source_and_name() -> None:
    files = [found("a", "1"), found("b", "2"), found("a", "1", source="products")]
    assert new_files(files, [registered("a", "1")]) == files[1:]


def test_other_content_under_a_known_name_is_refused() -> None:
    with pytest.raises(DataError) as raised:
        new_files([found("a.csv", "new")], [registered("a.csv", "old")])
    assert str(raised.value) == (
        "source orders: file a.csv has other content than when it was taken in for 2024-01-02 "
        "(SHA-256 old then, new now). Put the first file back, and deliver the new content under "
        "a new name that the source's `path` matches, e.g. products-2018-01-03.csv for "
        "products*.csv."
    )


def test_a_file_that_keeps_size_and_time_is_hashed_once_in_so_many_nights(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"0123456789")
    hashed = []

    def digest(file: Path) -> str:
        hashed.append(file)
        return "new"

    def look(before: RegisteredFile | None, night: date) -> FoundFile:
        return find_file("orders", path, "a.csv", before=before, night=night, digest=digest)

    modified = path.stat().st_mtime_ns
    new = FoundFile("orders", path, "a.csv", "new", 10, modified)
    assert look(None, FIRST) == new
    before = replace(registered("a.csv", "old"), modified_ns=modified)
    hashed.clear()
    nights = [FIRST + timedelta(days=day) for day in range(HASHED_EVERY_NIGHTS)]
    assert [look(before, night).file_digest for night in nights].count("new") == 1
    assert hashed == [path]

    quiet = next(night for night in nights if look(before, night).file_digest == "old")
    assert look(replace(before, modified_ns=None), quiet) == new
    assert look(replace(before, bytes=9), quiet) == new
    os.utime(path, ns=(modified, modified + 1))
    assert look(before, quiet) == replace(new, modified_ns=modified + 1)


def test_a_batch_says_what_becomes_of_each_file() -> None:
    files = [found(name, digest) for name, digest in (("a", "1"), ("b", "0"), ("c", "1"))]
    files += [found("d", "0"), found("e", "2"), found("a", "1", source="products")]
    register = [registered("x", "2"), registered("y", "1", "duplicate")]
    rows = register_batch(files, [files[1], files[3]], register, FIRST)
    assert [(row.source, row.source_file, row.status) for row in rows] == [
        ("orders", "a", "loaded"),
        ("orders", "b", "empty"),
        ("orders", "c", "duplicate"),
        ("orders", "d", "empty"),
        ("orders", "e", "loaded"),
        ("products", "a", "loaded"),
    ]
    assert repeats(rows, register) == [(rows[2], rows[0]), (rows[4], register[0])]


@pytest.mark.parametrize("night", [FIRST, SECOND])
def test_a_file_that_is_corrected_back_is_loaded(night: date) -> None:
    right, wrong, again = (found(name, d) for name, d in (("1", "r"), ("2", "w"), ("3", "r")))
    first = register_batch([right, wrong], [], [], FIRST)
    later = register_batch([again], [], first, night)
    assert [row.status for row in first + later] == ["loaded", "loaded", "loaded"]
    assert repeats(later, first) == [(later[0], first[0])]
    assert register_batch([found("4", "r")], [], first + later, night)[0].status == "duplicate"


def test_a_past_night_knows_nothing_of_later_files() -> None:
    later = [registered("b", "r", night=SECOND)]
    [row] = register_batch([found("a", "r")], [], later, FIRST)
    assert row.status == "loaded"


def test_a_batch_is_named_by_its_night_and_files() -> None:
    a, b = found("a", "1"), found("b", "2")
    names = [
        register_batch(files, [], [], night)[0].ingest_batch
        for files, night in (([a, b], FIRST), ([b, a], FIRST), ([a], FIRST), ([a, b], SECOND))
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 3
    assert names[0].startswith("2024-01-02-")


def test_an_interrupted_batch_has_no_partition() -> None:
    whole, broken = registered("a"), registered("b", night=SECOND)
    empty, later = registered("c", status="empty"), registered("d", night=date(2024, 1, 4))
    rows = interrupted(
        [whole, broken, empty, later],
        {"orders": BRONZE_EVENTS},
        {"bronze.events": {("2024-01-02", "2024-01-02-batch"): 5}, "bronze.items": {}},
        until=SECOND,
    )
    assert rows == [broken]


def test_an_interrupted_batch_of_an_unknown_source_is_refused() -> None:
    with pytest.raises(DataError, match="source orders has files in"):
        interrupted([registered("a")], {}, {"bronze.events": {}}, until=FIRST)
    written: dict[str, dict[tuple[str, ...], int]] = {
        "bronze.events": {("2024-01-02", "2024-01-02-batch"): 5}
    }
    assert interrupted([registered("a")], {}, written, until=FIRST) == []
