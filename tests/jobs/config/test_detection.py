"""Guesses from samples of files, each with the doubt that belongs to it."""

import pytest

from jobs.config.detection import (
    NAMES,
    CsvShape,
    NumberStyle,
    Sample,
    TimeStyle,
    csv_shape,
    encoding_of,
    meaning_of,
    number_style,
    plain,
    roles,
    time_style,
)
from jobs.config.settings import Settings
from lakehouse.ingest.sources import TARGETS, mappable_columns


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        (b"", "UTF-8"),
        (b"plain", "UTF-8"),
        ("\ufeffCafé".encode(), "UTF-8"),
        ("Café €".encode(), "UTF-8"),
        ("Café au lait".encode("windows-1252"), "windows-1252"),
        ("Café".encode("windows-1252"), "windows-1252"),
        ("Café".encode("UTF-16"), "UTF-16"),
    ],
)
def test_the_encoding(head: bytes, encoding: str) -> None:
    assert encoding_of(head, is_cut=False) == encoding


def test_a_sample_may_end_within_a_character() -> None:
    head = "Café €".encode()[:-1]
    assert encoding_of(head, is_cut=True) == "UTF-8"
    assert encoding_of(head, is_cut=False) == "windows-1252"


@pytest.mark.parametrize(
    ("lines", "shape"),
    [
        (["a,b", "1,2"], CsvShape(",", True)),
        (["a;b", "1,5;2,5", "2,5;3,5"], CsvShape(";", True)),
        (["a\tb c, d", "1\tx"], CsvShape("\t", True)),
        (["196\t242\t3\t881250949"] * 2, CsvShape("\t", False)),
        (["1|Toy Story (1995)|x|1", "2|Heat|y|0"], CsvShape("|", False)),
        (["sep=;", "a;b", "1;2"], CsvShape(";", True, 1)),
        (["", "a,b", "1,2"], CsvShape(",", True, 1)),
        (["name", "x"], CsvShape(",", True)),
        (["a,b", '"x, y",2', '"z;w",3'], CsvShape(",", True)),
        (["a,a", "x,y"], CsvShape(",", False)),
        (["2024-01-01,x", "2024-01-02,y"], CsvShape(",", False)),
    ],
)
def test_separator_and_header_of_a_csv_file(lines: list[str], shape: CsvShape) -> None:
    assert csv_shape(lines) == shape


@pytest.mark.parametrize(
    ("values", "style"),
    [
        (["1", "-2", "+3"], NumberStyle(".", "")),
        (["1.5", "2"], NumberStyle(".", "")),
        (["1,5", "2"], NumberStyle(",", "")),
        (["1.234,56", "2,5"], NumberStyle(",", ".")),
        (["1,234.56", "2.5"], NumberStyle(".", ",")),
        (["1'234.5"], NumberStyle(".", "'")),
        (["1 234,5"], NumberStyle(",", " ")),
        (["0.250", "1.125"], NumberStyle(".", "")),
        (["1,234,567"], NumberStyle(".", ",")),
        (["1e3"], None),
        (["1", "x"], None),
        ([], None),
    ],
)
def test_signs_in_numbers(values: list[str], style: NumberStyle | None) -> None:
    assert number_style(values) == style


@pytest.mark.parametrize(("sign", "other"), [(",", "."), (".", ",")])
def test_a_sign_before_three_digits_is_doubtful(sign: str, other: str) -> None:
    style = number_style([f"1{sign}234", "7"])
    assert style == NumberStyle(
        other, sign, f"`1{sign}234` is taken for thousands; if these are decimals, swap both"
    )


@pytest.mark.parametrize(
    ("values", "style"),
    [
        (["2024-01-31"], TimeStyle("iso")),
        (["2024-01-31 10:00", "2024-01-31T10:00:59.5Z"], TimeStyle("iso")),
        (["2024-01-31T10:00:00+01:00"], TimeStyle("iso")),
        (["881250949"], TimeStyle("epoch_seconds")),
        (["981250949", "1700000000"], TimeStyle("epoch_seconds")),
        (["1700000000123"], TimeStyle("epoch_millis")),
        (["1700000000123456"], TimeStyle("epoch_micros")),
        (["31.01.2024 10:00"], TimeStyle("dd.MM.yyyy HH:mm")),
        (["31/1/2024"], TimeStyle("d/M/yyyy")),
        (["1/31/2024 1:05 PM"], TimeStyle("M/d/yyyy h:mm a")),
        (["2024/01/31 10:00:01"], TimeStyle("yyyy/MM/dd HH:mm:ss")),
        (["31.01.2024 9:05"], TimeStyle("dd.MM.yyyy H:mm")),
        (["31.01.24"], TimeStyle("dd.MM.yy")),
        (
            ["01/02/2024", "03/04/2024"],
            TimeStyle("dd/MM/yyyy", "days and months could be swapped: `MM/dd/yyyy`"),
        ),
        (["17", "18"], None),
        (["2024-01-31", "soon"], None),
        ([], None),
    ],
)
def test_how_times_are_written(values: list[str], style: TimeStyle | None) -> None:
    assert time_style(values) == style


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("CustomerID", "user_id"),
        ("customer_id", "user_id"),
        ("Kunden-Nr", "user_id"),
        ("StockCode", "item_id"),
        ("movieId", "item_id"),
        ("Stückpreis", "unit_price"),
        ("InvoiceDate", "event_time"),
        ("Genres", "tags"),
        ("Colour", None),
    ],
)
def test_what_a_name_means(name: str, meaning: str | None) -> None:
    assert meaning_of(name) == meaning


def test_meanings_are_columns_that_can_be_mapped() -> None:
    known = {name for target in TARGETS for name in mappable_columns(target)}
    assert set(NAMES) <= known
    spelt = [name for names in NAMES.values() for name in names]
    assert len(set(spelt)) == len(spelt)
    assert [plain(name) for name in spelt] == spelt
    assert "sources" in Settings.model_fields


def test_roles_go_to_the_likelier_column_whose_contents_fit() -> None:
    sample = Sample(
        {
            "Date": ["soon", "later"],  # no time, whatever its name
            "Customer": ["Ann", "Bob"],
            "Customer ID": ["1", "2"],
            "Price": ["1.5", "free"],  # no number
            "Total": ["1.5", "2"],
            "Article": ["x", "y"],
            "done": ["01.02.2024", "13.02.2024"],
        }
    )
    assert roles(sample, {}) == {
        "user_id": "Customer ID",
        "value": "Total",
        "item_id": "Article",
        "event_time": "done",
    }
    assert roles(sample, {"user_id": "Customer"})["user_id"] == "Customer"
