"""Table care on a small gold table: what is dropped and deleted, and what must stay readable."""

from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable

from lakehouse.io import arrow, care
from lakehouse.tables import RECOMMENDATIONS
from tests.rows import row

FIRST, SECOND, THIRD = (date(2024, 5, day) for day in (1, 2, 3))
NOW = timedelta(0)


def write(root: Path, night: date, *items: str) -> int:
    rows = [
        row(RECOMMENDATIONS, run_date=night, user_id="u", rank=rank, item_id=item)
        for rank, item in enumerate(items, 1)
    ]
    table = pa.Table.from_pylist(rows, arrow.arrow_schema(RECOMMENDATIONS))
    return arrow.replace(root, RECOMMENDATIONS, table, {"run_date": night})


def items(root: Path, version: int | None = None) -> dict[date, list[str]]:
    found: dict[date, list[str]] = {}
    read = arrow.read(root, RECOMMENDATIONS, columns=["run_date", "item_id"], version=version)
    for night, item in zip(*(read[name].to_pylist() for name in read.column_names), strict=True):
        found.setdefault(night, []).append(item)
    return found


def test_the_state_counts_what_is_used_and_what_former_versions_left(tmp_path: Path) -> None:
    write(tmp_path, FIRST, "a", "b")
    (former,) = (tmp_path / RECOMMENDATIONS.path).rglob("*.parquet")
    write(tmp_path, FIRST, "c")
    write(tmp_path, SECOND, "d", "e")
    (used,) = {
        sum(
            file.stat().st_size
            for file in (tmp_path / RECOMMENDATIONS.path).rglob("*.parquet")
            if file != former
        )
    }
    assert care.state(tmp_path, RECOMMENDATIONS) == care.TableState(
        table=RECOMMENDATIONS,
        rows=3,
        files=2,
        bytes=used,
        former_files=1,
        former_bytes=former.stat().st_size,
        version=3,
        commits=4,
    )
    care.checkpoint(tmp_path, RECOMMENDATIONS)
    assert care.state(tmp_path, RECOMMENDATIONS).commits == 0
    write(tmp_path, SECOND, "d")
    assert care.state(tmp_path, RECOMMENDATIONS).commits == 1
    assert items(tmp_path) == {FIRST: ["c"], SECOND: ["d"]}


def test_old_nights_go_in_one_commit_but_for_those_to_keep(tmp_path: Path) -> None:
    for night, item in ((FIRST, "a"), (SECOND, "b"), (THIRD, "c")):
        version = write(tmp_path, night, item)
    dropped = care.drop_nights(tmp_path, RECOMMENDATIONS, before=THIRD, keep={SECOND})
    assert dropped == (FIRST,)
    assert items(tmp_path) == {SECOND: ["b"], THIRD: ["c"]}
    assert arrow.version(tmp_path, RECOMMENDATIONS) == version + 1
    assert items(tmp_path, version) == {FIRST: ["a"], SECOND: ["b"], THIRD: ["c"]}
    assert care.drop_nights(tmp_path, RECOMMENDATIONS, before=THIRD, keep={SECOND}) == ()
    assert arrow.version(tmp_path, RECOMMENDATIONS) == version + 1


def test_only_files_that_nobody_needs_are_deleted(tmp_path: Path) -> None:
    kept, _, newest = (write(tmp_path, FIRST, item) for item in ("a", "b", "c"))
    folder = tmp_path / RECOMMENDATIONS.path / f"run_date={FIRST}"
    sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
    (in_use,) = DeltaTable(tmp_path / RECOMMENDATIONS.path).file_uris()
    checksum = Path(in_use).with_name(f".{Path(in_use).name}.crc")
    checksum.write_text("Hadoop's")
    (folder / "part-of-a-killed-run.parquet").write_bytes(b"half")

    week = timedelta(days=7)
    assert care.vacuum(tmp_path, RECOMMENDATIONS, retention=week, keep=[]) == care.Deleted(0, 0)
    deleted = care.vacuum(tmp_path, RECOMMENDATIONS, retention=NOW, keep=[kept])
    assert deleted.files == 2
    left = {file.name for file in folder.iterdir()}
    assert deleted.bytes == 4 + sum(sizes[name] for name in sizes.keys() - left)
    assert checksum.exists()
    assert items(tmp_path) == {FIRST: ["c"]}
    assert items(tmp_path, kept) == {FIRST: ["a"]}
    assert arrow.version(tmp_path, RECOMMENDATIONS) == newest

    # Of a version that the log does not hold nothing can be kept.
    assert care.vacuum(tmp_path, RECOMMENDATIONS, retention=NOW, keep=[newest + 7]).files == 1
    assert items(tmp_path) == {FIRST: ["c"]}
