"""Guesses of what a landing file looks like, from a sample of it; pure functions of text.

Each guess comes with its doubts, so that a person knows where to look.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Final, NamedTuple

DELIMITERS: Final = (",", ";", "\t", "|")
_SEPARATOR_LINE: Final = re.compile(r'"?sep=([^"])"?', re.IGNORECASE)

# Canonical column -> names that people give it, without case and signs; the likelier ones first.
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "user_id": (
        *("userid", "customerid", "customer", "user", "memberid", "member", "clientid", "client"),
        *("householdid", "householdkey", "household", "visitorid", "accountid", "buyerid"),
        *("cardid", "cardno", "card", "kundennummer", "kundennr", "kundenid", "kunde"),
    ),
    "item_id": (
        *("itemid", "productid", "stockcode", "sku", "articleid", "item", "product", "article"),
        *("movieid", "bookid", "trackid", "songid", "asin", "isbn", "ean", "gtin", "upc"),
        *("artikelnummer", "artikelnr", "artikelid", "artikel", "produkt"),
    ),
    "event_time": (
        *(
            "eventtime",
            "timestamp",
            "transactiontimestamp",
            "invoicedate",
            "orderdate",
            "ordertime",
        ),
        *("purchasedate", "transactiondate", "createdat", "orderedat", "datetime", "time", "ts"),
        *("date", "at", "zeitpunkt", "bestelldatum", "kaufdatum", "datum", "zeit"),
    ),
    "event_type": ("eventtype", "event", "action", "interaction"),
    "quantity": ("quantity", "qty", "units", "pieces", "menge", "anzahl", "stueck"),
    "unit_price": ("unitprice", "price", "einzelpreis", "stueckpreis", "preis"),
    "value": (
        *("value", "salesvalue", "linetotal", "total", "amount", "revenue", "sales", "paid"),
        *("betrag", "umsatz", "rating", "stars", "score"),
    ),
    "discount": ("discount", "rabatt"),
    "order_id": (
        *("orderid", "invoiceno", "invoiceid", "basketid", "receiptid", "transactionid", "order"),
        *("invoice", "basket", "receipt", "sessionid", "session", "bestellnummer", "bon"),
        *("rechnungsnummer", "bestellung", "rechnung"),
    ),
    "store_id": ("storeid", "shopid", "store", "shop", "branch", "filiale", "country", "market"),
    "device": ("device", "devicetype", "platform", "geraet"),
    "title": (
        *("title", "productname", "itemname", "name", "description", "movietitle"),
        *("artikelname", "bezeichnung", "titel"),
    ),
    "department": ("department", "abteilung"),
    "category": ("category", "productcategory", "kategorie", "warengruppe"),
    "product_type": ("producttype",),
    "brand": ("brand", "marke"),
    "manufacturer": ("manufacturer", "manufacturerid", "hersteller"),
    "package_size": ("packagesize", "packungsgroesse"),
    "tags": ("tags", "genres"),
}
RATING_NAMES: Final = frozenset({"rating", "stars", "score"})
_UMLAUTS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})
_MEANT: Final = {name: role for role, names in NAMES.items() for name in names}

_INTEGER: Final = re.compile(r"[+-]?\d+")
_ISO: Final = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?)?( ?(Z|[+-]\d\d(:?\d\d)?))?"
)
_EPOCHS: Final = {10: "epoch_seconds", 13: "epoch_millis", 16: "epoch_micros"}
_EARLIEST_EPOCH: Final = 500_000_000  # 1985
_DAYS: Final = (
    ("%d{0}%m{0}%Y", "dd{0}MM{0}yyyy"),
    ("%m{0}%d{0}%Y", "MM{0}dd{0}yyyy"),
    ("%Y{0}%m{0}%d", "yyyy{0}MM{0}dd"),
    ("%d{0}%m{0}%y", "dd{0}MM{0}yy"),
    ("%m{0}%d{0}%y", "MM{0}dd{0}yy"),
)
_CLOCKS: Final = (
    ("", ""),
    (" %H:%M", " HH:mm"),
    (" %H:%M:%S", " HH:mm:ss"),
    (" %I:%M %p", " hh:mm a"),
    (" %I:%M:%S %p", " hh:mm:ss a"),
)


class CsvShape(NamedTuple):
    """How a CSV file is written; ``first`` is the number of lines before header or rows."""

    delimiter: str
    has_header: bool
    first: int = 0


class NumberStyle(NamedTuple):
    """What stands before decimals and between thousands, and what makes it doubtful."""

    decimal: str
    thousands: str
    doubt: str | None = None


class TimeStyle(NamedTuple):
    """A ``time_format``, and what makes it doubtful."""

    time_format: str
    doubt: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """The first rows of a file as text, column by column; an absent value is empty."""

    columns: Mapping[str, Sequence[str]]

    def joined(self, columns: Sequence[str]) -> list[str]:
        """The values of columns side by side, joined by a space, where all are there."""
        rows = zip(*(self.columns[column] for column in columns), strict=True)
        return [" ".join(map(str.strip, row)) for row in rows if all(map(str.strip, row))]

    def present(self, column: str) -> list[str]:
        """The values of a column that are there."""
        return [text for value in self.columns[column] if (text := value.strip())]


def encoding_of(head: bytes, *, is_cut: bool) -> str:
    """The encoding of a file that begins with ``head``, ``is_cut`` perhaps within a character."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    try:
        head.decode("UTF-8")
    except UnicodeDecodeError as error:
        if not is_cut or error.reason != "unexpected end of data":
            return "windows-1252"
    return "UTF-8"


def csv_shape(lines: Sequence[str]) -> CsvShape:
    """Delimiter and header of a CSV file, from its first lines."""
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    if lines and (named := _SEPARATOR_LINE.fullmatch(lines[first].strip("\ufeff"))):
        return CsvShape(named[1], _has_header(lines[first + 1 :], named[1]), first + 1)
    delimiter = max(DELIMITERS, key=lambda one: _agreement(lines[first:], one))
    return CsvShape(delimiter, _has_header(lines[first:], delimiter), first)


def _agreement(lines: Sequence[str], delimiter: str) -> tuple[float, int]:
    """How alike the lines' numbers of columns are, if there are several, and how many these are."""
    widths = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter) if row)
    if not widths:
        return 0.0, 0
    width, count = widths.most_common(1)[0]
    return (count / widths.total() if width > 1 else 0.0), width


def _has_header(lines: Sequence[str], delimiter: str) -> bool:
    """A header has names: all different, none a number, a time or absent."""
    head = [name.strip("\ufeff ") for name in next(csv.reader(lines, delimiter=delimiter), [])]
    return len(set(head)) == len(head) and all(
        name and number_style([name]) is None and time_style([name]) is None for name in head
    )


def number_style(values: Iterable[str]) -> NumberStyle | None:
    """How the values are written as numbers; ``None`` where there is none or one is no number."""
    texts = list(values)
    for thousands, decimal in (
        ("", "."),
        ("", ","),
        (",", "."),
        (".", ","),
        ("'", "."),
        (" ", ","),
    ):
        grouped = rf"\d{{1,3}}({re.escape(thousands)}\d{{3}})+|\d+" if thousands else r"\d+"
        pattern = re.compile(rf"[+-]?(?:{grouped})({re.escape(decimal)}\d+)?")
        if texts and all(pattern.fullmatch(text) for text in texts):
            return _weighed(texts, NumberStyle(decimal, thousands))
    return None


def _weighed(texts: Sequence[str], style: NumberStyle) -> NumberStyle:
    """``1,234`` may be a thousand or one and a bit: where all values are so, doubt."""
    sign = style.decimal
    marked = [text for text in texts if sign in text]
    if style.thousands or not marked:
        return NumberStyle(".", "") if not marked and not style.thousands else style
    if all(re.fullmatch(rf"[+-]?[1-9]\d{{0,2}}{re.escape(sign)}\d{{3}}", text) for text in marked):
        other = "," if sign == "." else "."
        return NumberStyle(
            other, sign, f"`{marked[0]}` is taken for thousands; if these are decimals, swap both"
        )
    return style


def time_style(values: Iterable[str]) -> TimeStyle | None:
    """How the values are written as times; ``None`` where there is none or one is no time."""
    texts = list(values)
    if not texts:
        return None
    if all(_ISO.fullmatch(text) for text in texts):
        return TimeStyle("iso")
    if all(_INTEGER.fullmatch(text) for text in texts):
        return _epoch(texts)
    fitting = [
        java
        for (day, java_day), sign, (clock, java_clock) in product(_DAYS, "./-", _CLOCKS)
        if all(_parses(text, day.format(sign) + clock) for text in texts)
        for java in [
            _day_as_written(texts, java_day.format(sign)) + _hour_as_written(texts, java_clock)
        ]
    ]
    if not fitting:
        return None
    doubt = f"days and months could be swapped: `{fitting[1]}`" if len(fitting) > 1 else None
    return TimeStyle(fitting[0], doubt)


def _epoch(texts: Sequence[str]) -> TimeStyle | None:
    for length, name in _EPOCHS.items():
        seconds = [int(text) / 10 ** (length - 10) for text in texts]
        if all(_EARLIEST_EPOCH <= second < 10**10 for second in seconds):
            return TimeStyle(name)
    return None


def _parses(text: str, pattern: str) -> bool:
    try:
        datetime.strptime(text, pattern)  # noqa: DTZ007 (only whether it fits)
    except ValueError:
        return False
    return True


def _hour_as_written(texts: Sequence[str], clock: str) -> str:
    """The pattern of a clock with one letter where an hour has no leading zero."""
    if any(re.search(r" \d:", text) for text in texts):
        return clock.replace("HH", "H").replace("hh", "h")
    return clock


def _day_as_written(texts: Sequence[str], day: str) -> str:
    """The pattern of a day with one letter where day or month has no leading zero."""
    if all(re.match(r"\d{2}\D\d{2}\D|\d{4}\D\d{2}\D\d{2}(?!\d)", text) for text in texts):
        return day
    return day.replace("dd", "d").replace("MM", "M")


def meaning_of(column: str) -> str | None:
    """The canonical column that a column of this name probably is."""
    return _MEANT.get(plain(column))


def plain(column: str) -> str:
    """A column's name without case, signs and umlauts."""
    return re.sub(r"[^a-z0-9]", "", column.lower().translate(_UMLAUTS))


def roles(sample: Sample, given: Mapping[str, str]) -> dict[str, str]:
    """Canonical column -> column of the file: what is given, then by names, then by contents."""
    found = dict(given)
    rank = {name: place for names in NAMES.values() for place, name in enumerate(names)}
    by_likelihood = sorted(
        (column for column in sample.columns if meaning_of(column)),
        key=lambda column: rank[plain(column)],
    )
    for column in by_likelihood:
        role = meaning_of(column)
        if (
            role
            and role not in found
            and column not in found.values()
            and _fits(role, sample, column)
        ):
            found[role] = column
    if "event_time" not in found:
        times = [
            column
            for column in sample.columns
            if column not in found.values()
            and (style := time_style(sample.present(column)))
            and not style.time_format.startswith("epoch")
        ]
        if len(times) == 1:
            found["event_time"] = times[0]
    return found


def _fits(role: str, sample: Sample, column: str) -> bool:
    values = sample.present(column)
    if role == "event_time":
        return time_style(values) is not None
    if role in ("quantity", "unit_price", "value", "discount"):
        return number_style(values) is not None
    return True
