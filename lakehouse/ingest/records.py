"""The physical lines of a text file as records; every line belongs to exactly one.

A CSV value in quotes may hold line breaks. An unclosed quote would swallow the file to its end, so
a row may span only so many lines: beyond that the line with the quote is a record of its own,
rejected by name, and reading goes on with the line after it.
"""

import csv
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, NamedTuple, TextIO

CORRUPT_RECORD: Final = "corrupt_record"
UNCLOSED_QUOTE: Final = "unclosed_quote"
TEXT_AFTER_OBJECT: Final = "text_after_object"
KEY_TWICE: Final = "key_twice"
NESTED_VALUE: Final = "nested_value"

MAX_LINE_CHARACTERS: Final = 1 << 20
_SEPARATOR_LINE: Final = re.compile(r'"?sep=([^"])"?', re.IGNORECASE)
_BLANK: Final = " \t\r\n\f\v\ufeff"


class Record(NamedTuple):
    """Consecutive lines that are one record; one without text is a blank line.

    ``values`` are a CSV row's values in order or a JSON object's by key. Where a record cannot be
    read, ``rule`` says why, and ``values`` are what could be made out.
    """

    line: int
    lines: int
    text: str
    values: Sequence[str | None] | dict[str, str | None]
    rule: str | None = None

    @property
    def is_blank(self) -> bool:
        """Whether the record is a line of white space."""
        return not self.text.strip(_BLANK)


def physical_lines(stream: TextIO) -> Iterator[str]:
    r"""The lines without their ends, which may be ``\n``, ``\r\n`` or ``\r``, and without a BOM.

    ``stream`` must be opened with ``newline=""``. Raises ``ValueError`` where a line is longer than
    ``MAX_LINE_CHARACTERS``: what is read at once is bounded.
    """
    number = 0
    while line := stream.readline(MAX_LINE_CHARACTERS + 1):
        number += 1
        if len(line) > MAX_LINE_CHARACTERS:
            raise ValueError(f"line {number} is longer than {MAX_LINE_CHARACTERS:,} characters")
        text = line.rstrip("\r\n")
        yield text if number > 1 else text.removeprefix("\ufeff")


def csv_records(
    lines: Iterable[str], delimiter: str, *, columns: int | None, max_lines: int, first: int = 1
) -> Iterator[Record]:
    """Lines of a CSV file as records; ``first`` is the number of the first line.

    A quote opens a value only at its beginning; where text follows the closing quote, the value is
    taken as it stands, quotes included. A row spans several lines (at most ``max_lines``) only if
    it then has ``columns`` values; ``None`` allows any number.
    """
    split = _splitter(delimiter)
    source = iter(lines)
    ahead: deque[str] = deque()
    number = first
    while (line := ahead.popleft() if ahead else next(source, None)) is not None:
        values = split(line) if '"' in line else line.split(delimiter)
        if values is None:
            record = Record(number, 1, line, (), UNCLOSED_QUOTE)
            seen: list[str] = []
            text = line
            while values is None and len(seen) < max_lines - 1:
                following = ahead.popleft() if ahead else next(source, None)
                if following is None:
                    break
                seen.append(following)
                text = f"{text}\n{following}"
                values = split(text)
            if values and columns in (None, len(values)):
                record = Record(number, 1 + len(seen), text, values)
            else:
                ahead.extendleft(reversed(seen))
        elif columns in (None, len(values)):
            record = Record(number, 1, line, values)
        else:
            record = Record(number, 1, line, values, CORRUPT_RECORD)
        yield record
        number += record.lines


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file's records, what their columns are, and how many lines come before them.

    JSON lines have neither columns nor a head.
    """

    columns: tuple[str, ...]
    head_lines: int
    records: Iterator[Record]


def csv_table(
    lines: Iterable[str], delimiter: str, *, header: tuple[str, ...] | None, max_lines: int
) -> TextFile:
    """Begin to read a CSV file, whose header line ``header`` stands in for if it has none.

    Blank lines before the header are left out, and a line such as ``sep=;`` names the delimiter.
    Raises ``ValueError`` where the header has an unclosed quote.
    """
    source = iter(lines)
    columns, taken = header, 0
    for line in source:
        if named := _SEPARATOR_LINE.fullmatch(line):
            delimiter = named[1]
        elif line.strip(_BLANK):
            source = chain([line], source)
            break
        taken += 1
    if columns is None:
        names = csv_records(source, delimiter, columns=None, max_lines=max_lines, first=taken + 1)
        record = next(names, Record(taken + 1, 0, "", ()))
        if record.rule is not None:
            raise ValueError(f"the header, line {record.line}, has a quote that is not closed")
        columns = tuple(name or "" for name in record.values)
        taken += record.lines
    return TextFile(
        columns,
        taken,
        csv_records(source, delimiter, columns=len(columns), max_lines=max_lines, first=taken + 1),
    )


def json_records(lines: Iterable[str], *, scalars: frozenset[str]) -> Iterator[Record]:
    """JSON lines as records: values as text, numbers as they are spelled, the rest as JSON.

    The keys ``scalars`` may hold neither an object nor an array.
    """
    for number, line in enumerate(lines, 1):
        text, rule = line.strip(_BLANK), None
        values: dict[str, str | None] = {}
        try:
            values = _json_values(text, scalars) if text else values
        except _RejectedError as error:
            rule = str(error)
        except (ValueError, RecursionError):
            rule = CORRUPT_RECORD
        yield Record(number, 1, line, values, rule)


def _splitter(delimiter: str) -> Callable[[str], list[str] | None]:
    """A function that splits a row into its values.

    It returns ``None`` where a quote is still open at the end, and nothing where no further line
    can make a row of the text: a line break stands outside of quotes.
    """
    mark = re.escape(delimiter)
    value = re.compile(
        rf'"(?P<quoted>(?:[^"]|"")*+)"(?={mark}|\Z)'
        rf'|(?P<open>"(?:[^"]|"")*+\Z)'
        rf"|(?P<plain>[^{mark}\n]*)"
    )

    def split(text: str) -> list[str] | None:
        try:
            # The library's reader is ten times as fast, where quotes are as they should be.
            return next(csv.reader((text,), delimiter=delimiter, strict=True))
        except csv.Error:
            values, place = [], 0
        while (match := value.match(text, place)) and match["open"] is None:
            quoted = match["quoted"]
            values.append(match["plain"] if quoted is None else quoted.replace('""', '"'))
            place = match.end()
            if place == len(text):
                return values
            if text[place] != delimiter:
                return []
            place += 1
        return None

    return split


class _RejectedError(ValueError):
    """A line breaks a rule; the message is the rule's name."""


class _Number(str):
    """A number as it is spelled."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _RejectedError(KEY_TWICE)
    return found


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_Number, parse_int=_Number, parse_constant=_Number
)


def _json_values(text: str, scalars: frozenset[str]) -> dict[str, str | None]:
    """A JSON object's values as text; ``ValueError`` where the text is anything else."""
    found, end = _DECODER.raw_decode(text)
    if not isinstance(found, dict):
        raise _RejectedError(CORRUPT_RECORD)
    if end < len(text):
        raise _RejectedError(TEXT_AFTER_OBJECT)
    if any(isinstance(found[key], dict | list) for key in scalars & found.keys()):
        raise _RejectedError(NESTED_VALUE)
    values = {key: _json_text(value) for key, value in found.items()}
    if "\\u" in text:
        # Half a surrogate pair can be spelled, but it is no text.
        "".join([*values, *filter(None, values.values())]).encode()
    return values


def _json_text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else _json_source(value)


def _json_source(value: object) -> str:
    """JSON without spaces, its numbers as they were spelled."""
    if isinstance(value, _Number):
        return value
    if isinstance(value, dict):
        inside = [f"{_json_source(key)}:{_json_source(part)}" for key, part in value.items()]
        return f"{{{','.join(inside)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_json_source, value))}]"
    return json.dumps(value, ensure_ascii=False)
