import io
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.errors import DataError
from lakehouse.ingest.landing import LandingFile, Layout, digest, find, inspect, shown
from lakehouse.ingest.parquet_types import WALL_NANOSECONDS
from lakehouse.ingest.sources import SourceMapping
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


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "2024-01-01.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(DataError, match=r"2024-01-01\.csv is a link to a file that does not exist"):
        find(ORDERS, tmp_path, before=date(2025, 1, 1))


def test_a_csv_file_tells_its_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"\ufeff{HEADER},note\n{LINE},\n")
    assert inspect(ORDERS, tmp_path, path) == LandingFile(
        path=path, name="a.csv", layout=Layout((*COLUMNS, "note")), rows=1, lines=2
    )
    assert Layout((*COLUMNS, "note")).unknown_columns(ORDERS) == ("note",)


@pytest.mark.parametrize(
    ("text", "lines"),
    [("", 0), ("\n", 1), ("\ufeff\n \n", 2), (HEADER, 1), (f"{HEADER}\n\n \n", 3)],
)
def test_a_file_without_rows_is_empty(tmp_path: Path, text: str, lines: int) -> None:
    file = inspect(ORDERS, tmp_path, write(tmp_path / "a.csv", text))
    assert (file.is_empty, file.lines) == (True, lines)


@pytest.mark.parametrize("before", ["\n", "\n\n", "   \n\t\n", "\ufeff\n", "\ufeff \r\n\r\n", "\r"])
def test_blank_lines_before_the_header_are_left_out(tmp_path: Path, before: str) -> None:
    path = write(tmp_path / "a.csv", f"{before}{HEADER}\n\n{LINE}\n \n{LINE}\n")
    file = inspect(ORDERS, tmp_path, path)
    blank = len(before.splitlines())
    assert (file.layout.columns, file.rows, file.lines) == (COLUMNS, 2, blank + 5)


@pytest.mark.parametrize("named", ["sep=;", '"sep=;"', "SEP=;", "\ufeffsep=;"])
def test_a_first_line_may_name_the_delimiter(tmp_path: Path, named: str) -> None:
    text = f"{named}\n{HEADER}\n{LINE}\n".replace(",", ";")
    file = inspect(ORDERS, tmp_path, write(tmp_path / "a.csv", text))
    assert (file.layout.columns, file.rows, file.lines) == (COLUMNS, 1, 3)


def test_a_header_with_an_unclosed_quote_is_refused(tmp_path: Path) -> None:
    rows = "\n".join([f"user-{n},i,2024-01-01,1,2" for n in range(100)])
    path = write(tmp_path / "a.csv", f'user,item,"time,quantity,paid\n{rows}\n')
    with pytest.raises(DataError) as raised:
        inspect(ORDERS, tmp_path, path)
    assert str(raised.value) == (
        "source orders: file a.csv cannot be read as csv: the header, line 1, has a quote that is "
        "not closed. Deliver it again, or take it out of the landing folder."
    )


def test_a_row_in_the_place_of_the_header_is_not_shown(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "anna@example.org,i1,2024-01-01,1,2\n" * 2)
    with pytest.raises(DataError) as raised:
        inspect(ORDERS, tmp_path, path)
    assert str(raised.value) == (
        "source orders: file a.csv has no column user, item, time, quantity, paid; the 5 names "
        "that it has look like data and are not shown (a file without a header line needs the "
        "source's `header`). Mend the file, or the source's `columns` in the configuration."
    )
    assert shown(["user", "x" * 41, "Stück (kg)", "17850", "a\nb"]) == (
        "user, (number 2, not shown), Stück (kg), (number 4, not shown), (number 5, not shown)"
    )
    assert shown([f"c{n}" for n in range(32)]).endswith("c28, c29 and 2 more")


def test_lines_are_counted_with_broken_quotes(tmp_path: Path) -> None:
    lines = [HEADER, *[LINE] * 5_000]
    lines[11] = 'u,"i,2024-01-01,1,2'
    lines[20:22] = ['u,"i', 'j",2024-01-01,1,2']
    file = inspect(ORDERS, tmp_path, write(tmp_path / "a.csv", "\n".join(lines)))
    assert (file.rows, file.lines) == (4_999, 5_001)


def test_other_encodings(tmp_path: Path) -> None:
    for name in ("cp1252", "latin1", "ISO8859_1", "utf8", "utf-8-sig", "utf-16", "UTF-16LE"):
        mapping = SourceMapping(**EVENTS | {"encoding": name, "header": None})
        path = write(tmp_path / "a.csv", f"{HEADER},größe\n{LINE},1\n", name)
        assert inspect(mapping, tmp_path, path).layout == Layout((*COLUMNS, "größe"))


def test_a_header_of_the_mapping_stands_in_for_a_missing_one(tmp_path: Path) -> None:
    mapping = SourceMapping(**EVENTS | {"header": COLUMNS})
    one_row = inspect(mapping, tmp_path, write(tmp_path / "a.csv", LINE))
    assert (one_row.layout.columns, one_row.is_empty) == (COLUMNS, False)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "user,item,time,amount\n")
    with pytest.raises(DataError) as raised:
        inspect(ORDERS, tmp_path, path)
    assert str(raised.value) == (
        "source orders: file a.csv has no column quantity, paid; it has user, item, "
        "time, amount. Mend the file, or the source's `columns` in the configuration."
    )


def test_a_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"{HEADER},User\n")
    with pytest.raises(
        DataError, match=r"a\.csv cannot be read as csv: a column name stands twice"
    ):
        inspect(ORDERS, tmp_path, path)


@pytest.mark.parametrize(("ending", "codec"), [("gz", "gzip"), ("zst", "zstd")])
def test_packed_files(tmp_path: Path, ending: str, codec: str) -> None:
    rows = "\n".join([HEADER, *[f"{LINE}{number}" for number in range(50_000)], ""])
    whole = pa.compress(rows.encode(), codec=codec, asbytes=True)
    path = tmp_path / f"a.csv.{ending}"
    path.write_bytes(whole + pa.compress(LINE.encode(), codec=codec, asbytes=True))
    assert inspect(ORDERS, tmp_path, path).rows == 50_001
    path.write_bytes(whole[:-20])
    with pytest.raises(DataError, match=rf"file a\.csv\.{ending} cannot be read as csv"):
        inspect(ORDERS, tmp_path, path)
    path.write_bytes(b"user,item")
    with pytest.raises(DataError, match=rf"file a\.csv\.{ending} cannot be read as csv"):
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
        COLUMNS, ("string", "string", WALL_NANOSECONDS, "string", "string")
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
    assert (full.layout, full.rows, full.lines) == (Layout(), 1, 2)
    assert inspect(mapping, tmp_path, write(tmp_path / "b.jsonl", "\n \n")).is_empty


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "abc")
    assert digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
