"""A first configuration for a shop's own files, written from a look at them."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import TextIOWrapper
from itertools import islice, takewhile
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.config.detection import (
    RATING_NAMES,
    Sample,
    csv_shape,
    encoding_of,
    number_style,
    plain,
    roles,
    time_style,
)
from jobs.config.doc import toml
from lakehouse.errors import ConfigurationError, DataError
from lakehouse.files import write_new_text
from lakehouse.ingest.landing import CODECS, DATE_PATTERN, shown
from lakehouse.ingest.records import csv_table, json_records, physical_lines
from lakehouse.ingest.sources import TARGETS, mappable_columns
from lakehouse.nearest import instead_of
from lakehouse.tables import EVENT_TYPES

SAMPLE_ROWS: Final = 1_000
SAMPLE_FILES: Final = 5
SHAPE_LINES: Final = 50
HEAD_BYTES: Final = 1 << 16
FEW_VALUES: Final = 50
NUMBERS: Final = ("quantity", "value", "unit_price", "discount")
MEANINGS: Final = {
    "user_id": "who took something",
    "item_id": "what was taken",
    "event_time": "when",
}


class Source(NamedTuple):
    """A source as it will be written, and the kinds of event that its rows are."""

    lines: list["Line"]
    event_types: frozenset[str] = frozenset()


class Line(NamedTuple):
    """A setting as it will be written, and what makes it doubtful."""

    name: str
    value: object
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a file, or of several of one shape: settings of its format and rows."""

    name: str
    format: str
    settings: tuple[Line, ...]
    sample: Sample


def write_first_configuration(
    files: Sequence[Path], *, out: Path | None, shop: str | None, given: Mapping[str, str]
) -> tuple[Path, int]:
    """Write a configuration for ``files``; return its path and the number of doubts in it.

    ``given`` says canonical column = column of the file where a name cannot be guessed. Raises
    ``ConfigurationError`` where the file exists or a required column was not found, ``DataError``
    where a file cannot be read.
    """
    allowed = {name for target in TARGETS for name in mappable_columns(target)}
    for name in given:
        if name not in allowed:
            raise ConfigurationError(f"--column {name!r}: {instead_of(name, sorted(allowed))}")
    paths = [path.resolve() for path in files]
    if absent := [str(path) for path in paths if not path.is_file()]:
        raise ConfigurationError(f"no file at {', '.join(absent)}.")
    landing = Path(os.path.commonpath([path.parent for path in paths]))
    shop = shop or _name(landing.name, "my_shop")
    out = out or Path(f"{shop}.toml")
    if out.exists():
        raise ConfigurationError(f"{out} exists already. Name another file by --out.")
    looks = _by_shape([_look(path, path.relative_to(landing).as_posix()) for path in paths])
    columns = {column for look in looks for column in look.sample.columns}
    if strange := sorted(set(given.values()) - columns):
        raise ConfigurationError(
            f"--column names {shown(strange)}, which no file has; they have "
            f"{shown(sorted(columns))}."
        )
    sources = [source for look in looks for source in _sources(look, given)]
    text = _text(shop, landing, sources)
    try:
        write_new_text(out, text)
    except FileExistsError:
        raise ConfigurationError(f"{out} exists already. Name another file by --out.") from None
    return out, text.count("# ?")


def _look(path: Path, name: str) -> Look:
    try:
        with pa.input_stream(str(path), compression=CODECS.get(path.suffix)) as stream:
            head = bytes(stream.read(HEAD_BYTES))
        if head.startswith(b"PAR1"):
            return Look(name, "parquet", (), _parquet_sample(path))
        return _text_look(path, name, head)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"file {name} cannot be read: {error}.") from error


def _parquet_sample(path: Path) -> Sample:
    with pq.ParquetFile(path) as file:
        batch = next(file.iter_batches(batch_size=SAMPLE_ROWS), None)
    if batch is None:
        raise ValueError("it has no rows")
    return Sample(
        {
            field.name: ["" if value is None else str(value) for value in column.to_pylist()]
            for field, column in zip(batch.schema, batch.columns, strict=True)
            if not pa.types.is_nested(field.type)
        }
    )


def _text_look(path: Path, name: str, head: bytes) -> Look:
    encoding = encoding_of(head, is_cut=len(head) == HEAD_BYTES)
    with (
        pa.input_stream(str(path), compression=CODECS.get(path.suffix)) as stream,
        TextIOWrapper(stream, encoding=encoding, errors="replace", newline="") as text,
    ):
        lines = list(islice(physical_lines(text), SAMPLE_ROWS))
    if not any(line.strip() for line in lines):
        raise ValueError("it has no rows")
    if next(line for line in lines if line.strip()).lstrip().startswith("{"):
        return Look(name, "jsonl", (), _json_sample(lines))
    shape = csv_shape(lines[:SHAPE_LINES])
    width = max(line.count(shape.delimiter) for line in lines[:SHAPE_LINES]) + 1
    header = None if shape.has_header else tuple(f"column_{place + 1}" for place in range(width))
    table = csv_table(iter(lines), shape.delimiter, header=header, max_lines=10)
    rows = [record.values for record in table.records if not record.is_blank and not record.rule]
    sample = Sample(
        {
            column: [row[place] or "" for row in rows]  # type: ignore[index]
            for place, column in enumerate(table.columns)
        }
    )
    settings = []
    if shape.delimiter != ",":
        settings.append(Line("delimiter", shape.delimiter))
    if encoding != "UTF-8":
        settings.append(Line("encoding", encoding, ("look at a row with an accent",)))
    if header is not None:
        settings.append(Line("header", header, ("the first line looks like data: name them",)))
    return Look(name, "csv", tuple(settings), sample)


def _json_sample(lines: Sequence[str]) -> Sample:
    rows = [
        record.values
        for record in json_records(lines, scalars=frozenset())
        if not record.is_blank and isinstance(record.values, dict) and not record.rule
    ]
    keys = dict.fromkeys(key for row in rows for key in row)
    return Sample({key: [row.get(key) or "" for row in rows] for key in keys})


def _by_shape(looks: Sequence[Look]) -> list[Look]:
    """Files with the same columns are files of one source, under a glob that finds them all."""
    groups: dict[object, list[Look]] = defaultdict(list)
    for look in looks:
        key = _dated(look.name) if look.format == "jsonl" else tuple(look.sample.columns)
        groups[look.format, look.settings, key].append(look)
    return [
        replace(group[0], name=_glob([look.name for look in group]), sample=_joined(group))
        for group in groups.values()
    ]


def _dated(name: str) -> str:
    return re.sub(DATE_PATTERN, "{date}", name)


def _glob(names: Sequence[str]) -> str:
    patterns = sorted({_dated(name) for name in names})
    if len(patterns) == 1:
        return patterns[0]
    start = _common_start(patterns)
    end = _common_start([pattern[len(start) :][::-1] for pattern in patterns])[::-1]
    return f"{start}*{end}"


def _common_start(texts: Sequence[str]) -> str:
    alike = takewhile(lambda signs: len(set(signs)) == 1, zip(*texts, strict=False))
    return "".join(signs[0] for signs in alike)


def _joined(looks: Sequence[Look]) -> Sample:
    columns: dict[str, list[str]] = {}
    for look in looks[:SAMPLE_FILES]:
        for name, values in look.sample.columns.items():
            columns.setdefault(name, []).extend(values)
    return Sample(columns)


def _sources(look: Look, given: Mapping[str, str]) -> list[Source]:
    """The sources that a shape of file makes: what it is and, of orders, its catalogue too."""
    found = roles(
        look.sample, {role: name for role, name in given.items() if name in look.sample.columns}
    )
    if "user_id" in found and "item_id" not in found and "event_time" not in found:
        return [_users(look, found)]
    if "item_id" in found and "event_time" not in found and "user_id" not in found:
        return [_items(look, found)]
    missing = [name for name in MEANINGS if name not in found]
    if missing:
        raise ConfigurationError(
            f"no column of {look.name} looks like "
            + " or ".join(f"{name} ({MEANINGS[name]})" for name in missing)
            + f"; it has {shown(look.sample.columns)}. Say which it is, e.g. --column "
            f"{missing[0]}={next(iter(look.sample.columns))}."
        )
    sources = [_events(look, found)]
    if "title" in found:
        sources.append(_items(look, found))
    return sources


def _events(look: Look, found: Mapping[str, str]) -> Source:
    columns = {name: found[name] for name in mappable_columns("events") if name in found}
    lines = _head(look, "events")
    times = [columns["event_time"], *_clock(look.sample, columns)]
    lines += _time_lines(look.sample.joined(times))
    lines += _number_lines(look.sample, columns)
    kinds = _event_types(look.sample, columns)
    if kinds is None:
        columns.pop("event_type", None)
        kind = "rating" if plain(columns.get("value", "")) in RATING_NAMES else "purchase"
        doubt = f"what a row means: {', '.join(EVENT_TYPES)}"
        lines.append(Line("constants", {"event_type": kind}, (doubt,)))
        kinds = frozenset({kind})
    doubts = [] if "order_id" in columns else ["no column looks like an order (order_id)"]
    absent = look.sample.columns[columns["user_id"]]
    if empty := sum(not value.strip() for value in absent):
        instead = ", unless `user_fallback` names what stands in for it"
        doubts.append(
            f"{empty} of {len(absent)} rows looked at have no user; they go to the quarantine"
            + (instead if "order_id" in columns else "")
        )
    mapping = columns | ({"event_time": times} if len(times) > 1 else {})
    lines.append(Line("columns", mapping, tuple(doubts)))
    users = look.sample.present(columns["user_id"])
    if any(user.endswith(".0") for user in users) and all(
        re.fullmatch(r"\d+(\.0)?", user) for user in users
    ):
        rewritten = [{"column": "user_id", "pattern": "\\.0$"}]
        lines.append(Line("replacements", rewritten, ("ids are written as numbers",)))
    return Source([*lines, *_other_columns(look, [*columns.values(), *times])], kinds)


def _items(look: Look, found: Mapping[str, str]) -> Source:
    columns = {name: found[name] for name in mappable_columns("items") if name in found}
    lines = _head(look, "items")
    if "tags" in columns:
        values = look.sample.present(columns["tags"])
        separator = max("|,;", key=lambda sign: sum(sign in value for value in values))
        lines.append(Line("tags_separator", separator))
    lines.append(Line("columns", columns))
    return Source([*lines, *_other_columns(look, columns.values())])


def _users(look: Look, found: Mapping[str, str]) -> Source:
    user = found["user_id"]
    few = [
        name
        for name in look.sample.columns
        if name != user and 1 < len(set(look.sample.present(name))) <= FEW_VALUES
    ]
    doubt = "columns with few values; keep none that people did not agree to"
    lines = [*_head(look, "users"), Line("columns", {"user_id": user})]
    lines.append(Line("attributes", few, (doubt,)))
    return Source([*lines, *_other_columns(look, [user, *few])])


def _head(look: Look, target: str) -> list[Line]:
    return [
        Line("name", target if target != "items" else "products"),
        Line("target", target),
        Line("path", look.name),
        Line("format", look.format),
        *look.settings,
    ]


def _clock(sample: Sample, columns: Mapping[str, str]) -> list[str]:
    """The column with the time of day, where that of the event is a day alone."""
    days = sample.present(columns["event_time"])
    if any(":" in value or _is_epoch(value) for value in days):
        return []
    clocks = [
        name
        for name in sample.columns
        if name not in columns.values()
        and (values := sample.present(name))
        and all(re.fullmatch(r"\d{1,2}:\d\d(:\d\d)?", value) for value in values)
    ]
    return clocks[:1]


def _is_epoch(value: str) -> bool:
    style = time_style([value])
    return style is not None and style.time_format.startswith("epoch")


def _time_lines(values: Sequence[str]) -> list[Line]:
    style = time_style(values)
    if style is None:
        return [Line("time_format", "iso", ("no format fits the times looked at",))]
    lines = []
    if style.time_format != "iso":
        lines.append(Line("time_format", style.time_format, (style.doubt,) if style.doubt else ()))
    zoned = style.time_format.startswith("epoch") or all(
        re.search(r"(Z|[+-]\d\d:?\d\d)$", value) for value in values
    )
    if not zoned:
        doubt = "the times name no zone: write the shop's, e.g. Europe/London"
        lines.append(Line("time_zone", "UTC", (doubt,)))
    return lines


def _number_lines(sample: Sample, columns: Mapping[str, str]) -> list[Line]:
    style = number_style(
        value for name in NUMBERS if name in columns for value in sample.present(columns[name])
    )
    if style is None:
        return []
    doubts = (style.doubt,) if style.doubt else ()
    lines = [] if style.decimal == "." else [Line("decimal", style.decimal, doubts)]
    return lines + ([Line("thousands", style.thousands, doubts)] if style.thousands else [])


def _event_types(sample: Sample, columns: Mapping[str, str]) -> frozenset[str] | None:
    """The kinds of event in the rows; ``None`` where no column says them in our words."""
    if "event_type" not in columns:
        return None
    kinds = {value.strip().lower() for value in sample.columns[columns["event_type"]]}
    return frozenset(kinds) if kinds <= {*EVENT_TYPES} else None


def _other_columns(look: Look, mapped: Iterable[str]) -> list[Line]:
    known = set(mapped)
    others = [name for name in look.sample.columns if name not in known]
    return [Line("other_columns", others)] if others else []


def _text(shop: str, landing: Path, sources: Sequence[Source]) -> str:
    parts = [
        "# Written by `topshelf config init`. A line that begins with `# ?` is a doubt about the\n"
        "# line below it. docs/configuration.md explains all settings.\n\n"
        f"[shop]\nname = {toml(shop)}\n\n[paths]\nlanding = {toml(str(landing))}\n"
    ]
    taken: set[str] = set()
    for source in sources:
        parts.append("\n[[sources]]\n")
        for name, value, doubts in source.lines:
            parts += [f"# ? {doubt}\n" for doubt in doubts]
            shown_value = _unused(str(value), taken) if name == "name" else value
            parts.append(f"{name} = {toml(shown_value)}\n")
    kinds = frozenset().union(*(source.event_types for source in sources))
    if kinds and "purchase" not in kinds:
        parts.append(f"\n[features]\nevent_types = {toml(sorted(kinds))}\n")
    return "".join(parts)


def _unused(name: str, taken: set[str]) -> str:
    number, unused = 2, name
    while unused in taken:
        number, unused = number + 1, f"{name}_{number}"
    taken.add(unused)
    return unused


def _name(text: str, otherwise: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40]
    return name if re.match("[a-z]", name) else otherwise
