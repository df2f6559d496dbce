"""Lines as records: broken quotes lose nothing, and every line is in exactly one record."""

import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.ingest import records
from lakehouse.ingest.records import (
    CORRUPT_RECORD,
    KEY_TWICE,
    NESTED_VALUE,
    TEXT_AFTER_OBJECT,
    UNCLOSED_QUOTE,
    Record,
    csv_records,
    json_records,
    physical_lines,
)


def read(text: str, *, columns: int | None = 3, max_lines: int = 4) -> list[tuple[object, ...]]:
    lines = physical_lines(io.StringIO(text, newline=""))
    return [
        (r.line, r.lines, r.rule or r.values)
        for r in csv_records(lines, ",", columns=columns, max_lines=max_lines)
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_any_way(end: str) -> None:
    assert read(f'a,b,c{end}"d{end}e",f,""{end}{end}g,h,i') == [
        (1, 1, ["a", "b", "c"]),
        (2, 2, ["d\ne", "f", ""]),
        (4, 1, CORRUPT_RECORD),
        (5, 1, ["g", "h", "i"]),
    ]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ('a,5" nail,c', ["a", '5" nail', "c"]),
        ('a,"5"" nail",c', ["a", '5" nail', "c"]),
        ('"5" nail",b,c', ['"5" nail"', "b", "c"]),
        ('"","",""', ["", "", ""]),
        ('"a,b"," c ",d"e"', ["a,b", " c ", 'd"e"']),
        ("a, b ,", ["a", " b ", ""]),
        ('"a""","""",""""""', ['a"', '"', '""']),
    ],
)
def test_quotes_within_a_line(line: str, values: list[str]) -> None:
    assert read(line) == [(1, 1, values)]


def test_an_unclosed_quote_rejects_its_line_alone() -> None:
    rows = [f"u{n},i{n},x" for n in range(1, 5_000)]
    rows[9] = 'u10,"i10,x'
    found = read("\n".join(rows))
    assert found[9] == (10, 1, UNCLOSED_QUOTE)
    assert [row for n, row in enumerate(found) if n != 9] == [
        (n, 1, [f"u{n}", f"i{n}", "x"]) for n in range(1, 5_000) if n != 10
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a,b,"c', [(1, 1, UNCLOSED_QUOTE)]),
        ('a,b,c\nd,e,"', [(1, 1, ["a", "b", "c"]), (2, 1, UNCLOSED_QUOTE)]),
        # The next quote opens another value: it cannot have closed this one.
        ('a,"b,c\nd,"e",f', [(1, 1, UNCLOSED_QUOTE), (2, 1, ["d", "e", "f"])]),
        ('a,"b,c\nd,"",f\n', [(1, 1, UNCLOSED_QUOTE), (2, 1, ["d", "", "f"])]),
        # Several in one file, one directly after the other.
        (
            'a,"b,c\nd,"e,f\ng,h,i\n"j,k,l',
            [
                (1, 1, UNCLOSED_QUOTE),
                (2, 1, UNCLOSED_QUOTE),
                (3, 1, ["g", "h", "i"]),
                (4, 1, UNCLOSED_QUOTE),
            ],
        ),
        # Closed, but the row would then have too many or too few values.
        (
            'a,"b,c\nd,e",f,g',
            [(1, 1, UNCLOSED_QUOTE), (2, 1, CORRUPT_RECORD)],
        ),
        # As many lines as a row may have, and one more.
        ('a,b,"1\n2\n3\n4"', [(1, 4, ["a", "b", "1\n2\n3\n4"])]),
        (
            'a,b,"1\n2\n3\n4\n5"',
            [(1, 1, UNCLOSED_QUOTE), *[(n, 1, CORRUPT_RECORD) for n in range(2, 6)]],
        ),
        # A value may hold an empty line, and two values of a row may span lines.
        ('"a\n\nb","c\nd",e\n', [(1, 4, ["a\n\nb", "c\nd", "e"])]),
    ],
)
def test_quotes_over_lines(text: str, expected: list[tuple[object, ...]]) -> None:
    assert read(text) == expected


def test_other_delimiters_and_numbers_of_values() -> None:
    [record] = csv_records(['"a|b"|c'], "|", columns=None, max_lines=1, first=7)
    assert record == Record(7, 1, '"a|b"|c', ["a|b", "c"])
    assert read("a\nb,c", columns=None) == [(1, 1, ["a"]), (2, 1, ["b", "c"])]


@given(st.text(alphabet='ab",\n\r ', max_size=60), st.integers(1, 4))
def test_every_line_is_in_exactly_one_record(text: str, max_lines: int) -> None:
    lines = list(physical_lines(io.StringIO(text, newline="")))
    found = list(csv_records(lines, ",", columns=3, max_lines=max_lines))
    assert [line for record in found for line in record.text.split("\n")] == lines
    assert [record.line for record in found] == [
        1 + sum(r.lines for r in found[:place]) for place in range(len(found))
    ]
    assert all(record.lines <= max_lines for record in found)
    assert all(len(record.values) == 3 for record in found if record.rule is None)


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_LINE_CHARACTERS", 5)

    def lines(text: str) -> Iterator[str]:
        return physical_lines(io.StringIO(text, newline=""))

    assert list(lines("\ufeffabc\nabcd\n")) == ["abc", "abcd"]
    with pytest.raises(ValueError, match="line 2 is longer than 5 characters"):
        list(lines("a\nabcdef"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            '{"id": 7, "n": 1.50, "e": 1e3, "t": true, "x": null, "s": "a"}',
            {"id": "7", "n": "1.50", "e": "1e3", "t": "true", "x": None, "s": "a"},
        ),
        (
            '{"id": "7", "more": [1, {"a": 1.50, "b": [null, "\u00e9\\n"]}]}',
            {"id": "7", "more": '[1,{"a":1.50,"b":[null,"\u00e9\\n"]}]'},
        ),
        ('{"id": "\\ud83c\\udf4e"}', {"id": "\U0001f34e"}),
        ('{"id": "\\ud800"}', CORRUPT_RECORD),
        ('{"\\ud800": 7}', CORRUPT_RECORD),
        ("{}", {}),
        ('{"id": 7} ', {"id": "7"}),
        ('{"id": 7} {"id": 8}', TEXT_AFTER_OBJECT),
        ('{"id": 7}, ', TEXT_AFTER_OBJECT),
        ('{"id": 7, "id": 8}', KEY_TWICE),
        ('{"id": 7, "more": {"a": 1, "a": 2}}', KEY_TWICE),
        ('{"id": {"a": 7}}', NESTED_VALUE),
        ('{"id": [7]}', NESTED_VALUE),
        ('{"id": 7', CORRUPT_RECORD),
        ("[7]", CORRUPT_RECORD),
        ("7", CORRUPT_RECORD),
        ("[" * 100_000, CORRUPT_RECORD),
        ('{"id": "a\tb"}', CORRUPT_RECORD),
    ],
)
def test_json_lines(line: str, expected: object) -> None:
    [record] = json_records([line], scalars=frozenset({"id"}))
    assert (record.rule or record.values) == expected


def test_blank_lines_are_records_without_values() -> None:
    assert [r.is_blank for r in json_records(["", " \t", "{}"], scalars=frozenset())] == [
        True,
        True,
        False,
    ]
