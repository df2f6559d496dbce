"""Source mappings: how a landing file's columns become Topshelf's.

A mapping is configuration, so people land their own files without writing code. It says where the
files lie and what they look like, which of their columns is the user, the item and so on, and by
which declared rules a row is not an event at all (a cancellation, a postage line).
"""

import codecs
import re
from collections.abc import Iterator
from difflib import get_close_matches
from encodings.aliases import aliases
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    model_validator,
)

from lakehouse.ingest import time_formats
from lakehouse.ingest.time_formats import EPOCHS
from lakehouse.nearest import instead_of, nearest
from lakehouse.tables import (
    BRONZE_EVENTS,
    BRONZE_FEEDBACK,
    BRONZE_ITEMS,
    BRONZE_USERS,
    EVENT_TYPES,
    LINEAGE_COLUMNS,
    Table,
)


def _compilable(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"no time zone {name!r}; write e.g. Europe/London") from error
    return name


def _known_encoding(name: str) -> str:
    try:
        "\n".encode(name)
    except (LookupError, UnicodeError) as error:
        near = get_close_matches(name.lower(), aliases, n=1) or ["UTF-8", "windows-1252"]
        raise ValueError(f"no encoding {name!r}; write e.g. {' or '.join(near)}") from error
    return name


def _below_landing(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or {"..", "**"} & set(parts):
        raise ValueError("give a path below the landing folder, without `..` and `**`")
    if unknown := re.search(r"\{[^}]*\}?|[}\[\]]", path.replace("{date}", "")):
        raise ValueError(
            f"`{unknown.group()}` has no meaning in a path; `{{date}}` stands for YYYY-MM-DD, "
            "`*` for any characters and `?` for one"
        )
    return path


FileColumns = str | Annotated[tuple[str, ...], Field(min_length=2)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Pattern = Annotated[str, AfterValidator(_compilable)]

TARGETS: dict[str, Table] = {
    "events": BRONZE_EVENTS,
    "items": BRONZE_ITEMS,
    "users": BRONZE_USERS,
    "feedback": BRONZE_FEEDBACK,
}
UNMAPPABLE_COLUMNS = frozenset(
    {*LINEAGE_COLUMNS, "extra", "corrupt_record", "corrupt_rule", "attributes"}
)
NUMBER_COLUMNS = frozenset({"quantity", "value", "unit_price", "discount"})
REQUIRED_COLUMNS = {
    "events": ("user_id", "item_id", "event_time", "event_type"),
    "items": ("item_id",),
    "users": ("user_id",),
    "feedback": ("event_id", "user_id", "item_id", "event_time", "event_type"),
}


def mappable_columns(target: str) -> tuple[str, ...]:
    """The canonical columns that a mapping to ``target`` may fill."""
    return tuple(n for n in TARGETS[target].column_names if n not in UNMAPPABLE_COLUMNS)


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class Replacement(_Strict):
    """Rewrite a column before anything else looks at it, e.g. ``17850.0`` to ``17850``."""

    column: Name = Field(description="Canonical column to rewrite.")
    pattern: Pattern = Field(description="Regular expression (Java's dialect).")
    replacement: str = Field(default="", description="What each match becomes.")


class RejectRule(_Strict):
    """Send rows to the quarantine under a name of their own, e.g. cancellations."""

    name: Name = Field(description="Rule shown in the quarantine and in reports.")
    column: Name = Field(description="Canonical column to look at.")
    pattern: Pattern = Field(
        description="Regular expression (Java's dialect); a row with a match is rejected. An "
        "absent value counts as empty text, so `^$` finds it."
    )


class SourceMapping(_Strict):
    """One kind of file in the landing folder."""

    name: Name = Field(description="Name of the source in tables and reports.")
    target: Literal["events", "items", "users", "feedback"] = Field(
        description="What a row of the file is."
    )
    path: Annotated[str, AfterValidator(_below_landing)] = Field(
        description="Glob below the landing folder. `{date}` stands for YYYY-MM-DD; such a file is "
        "taken by the first night after its date. Names that start with `.` or `_` are left alone."
    )
    format: Literal["csv", "parquet", "jsonl"] = Field(description="Format of the files.")
    delimiter: str = Field(
        default=",",
        min_length=1,
        max_length=1,
        pattern=r'[^"\r\n]',
        description="CSV: what separates the columns; a first line such as `sep=;` overrides it.",
    )
    encoding: Annotated[str, AfterValidator(_known_encoding)] = Field(
        default="UTF-8",
        description="CSV: the encoding, as Python or Java spell it, e.g. `windows-1252`, `cp1252`, "
        "`latin1`; Parquet and JSON lines are UTF-8.",
    )
    max_lines_per_row: Annotated[int, Strict()] = Field(
        default=10,
        ge=1,
        le=1000,
        description="CSV: how many lines a row may span by line breaks within quotes. Where a "
        "quote is not closed by then, its line goes to the quarantine and the next is read anew.",
    )
    header: tuple[str, ...] | None = Field(
        default=None, description="CSV: the columns' names where the file has no header line."
    )
    columns: dict[str, FileColumns] = Field(
        description="Canonical column = column of the file, or several that are joined by a space, "
        'e.g. `event_time = ["Date", "Time"]`.'
    )
    constants: dict[str, str] = Field(
        default_factory=dict, description="Canonical column = value of every row."
    )
    attributes: tuple[str, ...] = Field(
        default=(), description="Users: columns of the file kept as attributes."
    )
    flags: tuple[str, ...] = Field(
        default=(), description="Items: 0/1 columns of the file that become tags by their name."
    )
    tags_separator: str = Field(default="|", description="Items: what separates tags in a column.")
    other_columns: tuple[str, ...] = Field(
        default=(), description="Further columns known to be in the file; kept in `extra`."
    )
    time_format: Annotated[str, AfterValidator(time_formats.check)] = Field(
        default=time_formats.ISO,
        description="`iso`, `epoch_seconds`, `epoch_millis`, `epoch_micros`, or a Java pattern "
        "such as `dd/MM/yyyy HH:mm`.",
    )
    time_zone: Annotated[str, AfterValidator(_known_zone)] = Field(
        default="UTC",
        description="Zone of timestamps that carry none, and of the source's calendar days.",
    )
    decimal: Literal[".", ","] = Field(
        default=".", description="Events: what stands before the decimals of a number."
    )
    thousands: Literal[".", ",", "'", " "] | None = Field(
        default=None, description="Events: what separates the thousands of a number, if anything."
    )
    user_fallback: Literal["order_id", "store_id"] | None = Field(
        default=None,
        description="Events: column that stands in for an absent user, such as a session in "
        "`order_id`; the user is then called `order_id:` and its value.",
    )
    duplicate_key: tuple[Name, ...] = Field(
        default=(),
        description="Events: canonical columns whose equality makes a row a repeat; by default "
        "all that are mapped.",
    )
    replacements: tuple[Replacement, ...] = Field(default=(), description="Rewrites, in order.")
    reject: tuple[RejectRule, ...] = Field(default=(), description="Rows that are no events.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        known = mappable_columns(self.target)
        named = {
            "columns": set(self.columns),
            "constants": set(self.constants),
            "replacements": {r.column for r in self.replacements},
            "reject": {r.column for r in self.reject},
            "duplicate_key": set(self.duplicate_key),
        }
        unknown = {where: sorted(names - set(known)) for where, names in named.items()}
        problems = [
            f"{where} names `{name}`, which {self.target} do not have; {instead_of(name, known)}"
            for where, names in unknown.items()
            for name in names
        ]
        mistyped = (*unknown["columns"], *unknown["constants"])
        meant = {near for name in mistyped for near in nearest(name, known)[:1]}
        filled = set(self.columns) | set(self.constants) | meant
        missing = [c for c in REQUIRED_COLUMNS[self.target] if c not in filled]
        if missing:
            problems.append(f"{self.target} need {missing} in columns or constants")
        if twice := sorted(set(self.columns) & set(self.constants)):
            problems.append(f"{twice} stand both in columns and in constants")
        problems += self._value_problems(filled)
        if self.attributes and self.target != "users":
            problems.append("attributes belong to a source of users")
        if self.flags and self.target != "items":
            problems.append("flags belong to a source of items")
        is_utf_8 = codecs.lookup(self.encoding).name == "utf-8"
        if self.format != "csv" and (self.header is not None or not is_utf_8):
            problems.append("header and encoding belong to format csv")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def table(self) -> Table:
        """The bronze table that the source fills."""
        return TARGETS[self.target]

    def _value_problems(self, filled: set[str]) -> Iterator[str]:
        """What is wrong with how the values of events are read."""
        if self.event_type is not None and self.event_type not in EVENT_TYPES:
            yield (
                f"constants has event_type {self.event_type!r}, but it must be one of "
                f"{list(EVENT_TYPES)}"
            )
        if self.decimal == self.thousands:
            yield f"decimal and thousands are both {self.decimal!r}"
        if self.user_fallback is not None and self.user_fallback not in filled:
            yield f"user_fallback names {self.user_fallback}, which is not mapped"
        is_default = (self.decimal, self.thousands, self.user_fallback) == (".", None, None)
        if self.target != "events" and not is_default:
            yield "decimal, thousands and user_fallback belong to a source of events"

    def file_columns(self, name: str) -> tuple[str, ...]:
        """The columns of the file that fill a canonical column, in order; none for a constant."""
        columns = self.columns.get(name, ())
        return (columns,) if isinstance(columns, str) else columns

    @property
    def mapped_source_columns(self) -> tuple[str, ...]:
        """The file's columns that must be there, in the order the mapping names them."""
        columns = [column for name in self.columns for column in self.file_columns(name)]
        return (*columns, *self.attributes, *self.flags)

    @property
    def event_type(self) -> str | None:
        """The kind of all its events; ``None`` where the rows say it."""
        if any(rule.column == "event_type" for rule in self.replacements):
            return None
        kind = self.constants.get("event_type")
        return None if kind is None else kind.strip().lower()

    @property
    def event_key(self) -> tuple[str, ...]:
        """The canonical columns whose equality makes two events one."""
        return self.duplicate_key or tuple(
            c for c in mappable_columns(self.target) if c in self.columns or c in self.constants
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What makes an event's id of its bronze row: the key and how its columns are read."""
        names = {*self.event_key}
        shaping: dict[str, Any] = {"duplicate_key": list(self.event_key)}
        if "user_id" in names:
            names.update(filter(None, [self.user_fallback]))
            shaping["user_fallback"] = self.user_fallback
        if "event_time" in names:
            shaping |= {"time_format": self.time_format, "time_zone": self.time_zone}
        if names & NUMBER_COLUMNS or ("event_time" in names and self.time_format in EPOCHS):
            shaping |= {"decimal": self.decimal, "thousands": self.thousands}
        shaping["replacements"] = [
            rule.model_dump() for rule in self.replacements if rule.column in names
        ]
        return shaping
