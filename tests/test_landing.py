import gzip
import io
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.errors import DataError
from lakehouse.landing import LandingFile, Layout, digest, find, inspect
from lakehouse.sources import SourceMapping
from tests.landed import EVENTS, HEADER

ORDERS = SourceMapping(**EVENTS)
COLUMNS = tuple(HEADER.split(","))
LINE = "u,i,2024-01-01,1,2"


def write(path: Path, text: str, encoding: str = "UTF-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def test_files_before_the_night_are_found_in_order(tmp_path: Path) -> None:
    for name in (
        "2024-01-02.csv",
        "2024-01-01.csv",
        "2024-01-03.csv",
        "2024-01-01.csv.part",
        "orders.csv",
        "deep/2024-01-01.csv",
        ".2024-01-01.csv",
        "_2024-01-01.csv",
    ):
        write(tmp_path / name, HEADER)
    found = find(ORDERS, tmp_path, before=date(2024, 1, 3))
    assert [path.name for path in found] == ["2024-01-01.csv", "2024-01-02.csv"]


def test_undated_files_are_always_found_but_not_hidden_ones(tmp_path: Path) -> None:
    mapping = SourceMapping(**EVENTS | {"path": "shop?/*.csv"})
    for name in ("shop1/a.csv", "shop2/b.csv", "shop10/c.csv", "shop1/.d.csv", "shop1/_e.csv"):
        write(tmp_path / name, HEADER)
    found = find(mapping, tmp_path, before=date(1970, 1, 1))
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "shop1/a.csv",
        "shop2/b.csv",
    ]


def test_a_date_that_does_not_exist_is_named(tmp_path: Path) -> None:
    write(tmp_path / "2024-02-30.csv", HEADER)
    with pytest.raises(DataError, match=r"2024-02-30\.csv: 2024-02-30 is no date"):
        find(ORDERS, tmp_path, before=date(2025, 1, 1))


def test_a_csv_file_tells_its_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"\ufeff{HEADER},note\n{LINE},\n")
    assert inspect(ORDERS, tmp_path, path) == LandingFile(
        path=path, name="a.csv", layout=Layout((*COLUMNS, "note")), is_empty=False
    )
    assert Layout((*COLUMNS, "note")).unknown_columns(ORDERS) == ("note",)


@pytest.mark.parametrize("text", ["", "\n", HEADER, f"{HEADER}\n", f"{HEADER}\n\n \n"])
def test_a_file_without_rows_is_empty(tmp_path: Path, text: str) -> None:
    assert inspect(ORDERS, tmp_path, write(tmp_path / "a.csv", text)).is_empty


def test_a_header_of_the_mapping_stands_in_for_a_missing_one(tmp_path: Path) -> None:
    mapping = SourceMapping(**EVENTS | {"header": COLUMNS})
    one_row = inspect(mapping, tmp_path, write(tmp_path / "a.csv", LINE))
    assert (one_row.layout.columns, one_row.is_empty) == (COLUMNS, False)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "user,item,time,amount\n")
    with pytest.raises(DataError) as raised:
        inspect(ORDERS, tmp_path, path)
    assert str(raised.value) == (
        "source orders: file a.csv has no column ['quantity', 'paid']; it has ['user', 'item', "
        "'time', 'amount']. Mend the file, or the source's `columns` in the configuration."
    )


def test_a_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"{HEADER},User\n")
    with pytest.raises(
        DataError, match=r"a\.csv cannot be read as csv: a column name stands twice"
    ):
        inspect(ORDERS, tmp_path, path)


def test_a_gzip_cut_short_is_refused(tmp_path: Path) -> None:
    rows = "\n".join([HEADER, *[f"{LINE}{number}" for number in range(100_000)]])
    whole = gzip.compress(rows.encode())
    path = tmp_path / "a.csv.gz"
    path.write_bytes(whole)
    assert not inspect(ORDERS, tmp_path, path).is_empty
    path.write_bytes(whole[:-20])
    with pytest.raises(DataError, match=r"source orders: file a\.csv\.gz cannot be read as csv"):
        inspect(ORDERS, tmp_path, path)


def parquet_bytes() -> bytes:
    columns = {name: pa.array([str(n) for n in range(5_000)]) for name in COLUMNS}
    columns["time"] = pa.array([0] * 5_000, pa.timestamp("ns"))
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream, write_page_checksum=True)
    return stream.getvalue()


def test_a_parquet_file_tells_its_columns_and_types(tmp_path: Path) -> None:
    mapping = SourceMapping(**EVENTS | {"format": "parquet"})
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet_bytes())
    assert inspect(mapping, tmp_path, path).layout == Layout(
        COLUMNS, ("string", "string", "timestamp[ns]", "string", "string")
    )


@pytest.mark.parametrize("damage", ["cut", "flipped", "text"])
def test_a_damaged_parquet_file_is_refused(tmp_path: Path, damage: str) -> None:
    mapping = SourceMapping(**EVENTS | {"format": "parquet"})
    content = bytearray(parquet_bytes())
    content[2_000] ^= 0xFF
    path = tmp_path / "a.parquet"
    path.write_bytes(
        {"cut": parquet_bytes()[:-100], "flipped": bytes(content), "text": b"user,item"}[damage]
    )
    with pytest.raises(DataError, match=r"file a\.parquet cannot be read as parquet"):
        inspect(mapping, tmp_path, path)


def test_json_lines_have_no_layout(tmp_path: Path) -> None:
    mapping = SourceMapping(**EVENTS | {"format": "jsonl"})
    full = inspect(mapping, tmp_path, write(tmp_path / "a.jsonl", '\n{"user": 1}\n'))
    assert (full.layout, full.is_empty) == (Layout(), False)
    assert inspect(mapping, tmp_path, write(tmp_path / "b.jsonl", "\n \n")).is_empty


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "abc")
    assert digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
