"""Bronze rows judged and cleaned: pure transforms, one row out for every row in.

A *judged* frame has the silver table's columns, ``rules`` (the rules a row broke, in the order
checked; null for a clean row) and ``record`` (the bronze row as JSON; null for a clean row).
``repeated_events`` and ``superseded_rows`` find the clean rows to leave out, ``mark_duplicates``
marks them in ``is_duplicate``, and ``kept`` and ``rejected`` split the result.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce
from operator import or_
from typing import Final

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from lakehouse.ingest import time_formats
from lakehouse.ingest.records import (
    CORRUPT_RECORD,
    KEY_TWICE,
    NESTED_VALUE,
    TEXT_AFTER_OBJECT,
    UNCLOSED_QUOTE,
)
from lakehouse.ingest.sources import SourceMapping, mappable_columns
from lakehouse.ingest.time_formats import EPOCHS, ISO
from lakehouse.tables import (
    EVENT_TYPES,
    FEEDBACK_TYPES,
    LINEAGE_COLUMNS,
    QUARANTINE,
    SILVER_INTERACTIONS,
    SILVER_ITEMS,
    SILVER_USERS,
    Table,
)

ROW: Final = ("source", "source_file", "row_number")
MAX_ID_CHARACTERS: Final = 255
MAX_EPOCH_SECONDS: Final = 253_402_300_800  # the year 10000

# What each number may be at most, up or down; a price of one unit may be what a whole line costs.
MAXIMA: Final[Mapping[str, float]] = {
    "quantity": SILVER_INTERACTIONS.column("quantity").largest,
    "value": SILVER_INTERACTIONS.column("value").largest,
    "unit_price": SILVER_INTERACTIONS.column("value").largest,
    "discount": SILVER_INTERACTIONS.column("discount").largest,
}

RULES: Final[Mapping[str, str]] = {
    CORRUPT_RECORD: "The line could not be read: another number of values, or no JSON object.",
    UNCLOSED_QUOTE: "A quote of the line is not closed within `max_lines_per_row`.",
    TEXT_AFTER_OBJECT: "The line holds more after its JSON object.",
    KEY_TWICE: "A key stands twice in a JSON object.",
    NESTED_VALUE: "A mapped key of the JSON object holds an object or an array.",
    "user_id_missing": "No user.",
    "user_id_reserved": "The user is called as a stand-in of `user_fallback` is.",
    "item_id_missing": "No item.",
    "control_character": "An id, order or shop holds a control character such as NUL.",
    "undecodable_text": "An id, order or shop holds U+FFFD: the file has another encoding.",
    "id_too_long": f"An id, order or shop is longer than {MAX_ID_CHARACTERS} characters.",
    "event_time_missing": "No time.",
    "event_time_invalid": "The time is not in the mapping's `time_format`, or before 1970.",
    "event_time_in_future": "The event's day is not before the night that took it in.",
    "event_type_unknown": f"The kind of event is none of {', '.join(EVENT_TYPES)}; of feedback "
    f"none of {', '.join(FEEDBACK_TYPES)}.",
    "event_id_missing": "Feedback without an id.",
    "position_invalid": "The position is no whole number from 1 on.",
    "propensity_invalid": "The propensity is no number from 0 to 1.",
    "received_at_invalid": "The time of receipt is not in the mapping's `time_format`.",
    "quantity_missing": "The mapping names a quantity, the row has none.",
    "quantity_invalid": f"The quantity is no number up to {MAXIMA['quantity']:g}.",
    "quantity_not_positive": "The quantity is 0 or less.",
    "value_invalid": "The value, or quantity times unit price, is no number up to "
    f"{MAXIMA['value']:g}.",
    "unit_price_invalid": f"The unit price is no number up to {MAXIMA['unit_price']:g}.",
    "value_not_positive": "A purchase's value is 0 or less.",
    "discount_invalid": f"The discount is no number up to {MAXIMA['discount']:g}.",
}

_WHITE_SPACE = " \t\r\n\f\v\u00a0\u2007\u202f\u3000\ufeff"
_SEPARATORS = {" ": "[ \u00a0\u202f]", "'": "['\u2019]"}  # spaces that don't break; typographic
_ISO_TIME = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)? ?(Z|[+-]\d{2}:?\d{2})?)?$"
_ISO_MINUTES = r"^(.{10}[T ]\d{2}:\d{2}) ?([Z+-].*)$"
_ISO_ZONE = r"[T ].*(Z|[+-]\d{2}:?\d{2})$"
_CONTROL = r"[\x00-\x1f\x7f-\x9f]"


def judge(bronze: DataFrame, mapping: SourceMapping, *, night: date) -> DataFrame:
    """The rows of one source, judged by what the mapping says they are."""
    if mapping.target == "events":
        return judge_events(bronze, mapping, night=night)
    return (
        judge_items(bronze, mapping) if mapping.target == "items" else judge_users(bronze, mapping)
    )


def judge_events(bronze: DataFrame, mapping: SourceMapping, *, night: date) -> DataFrame:
    """Events of one source with types, UTC times and the rules that each row broke.

    ``night`` is the ingest date: an event must lie before it, by its UTC day or by the day in the
    source's zone, so that a shop west of Greenwich keeps its late evening. ``value`` is
    ``quantity * unit_price`` where there is no value; ``quantity`` is 1 where the source has none.
    """
    names = mappable_columns("events")
    clean = _named_user(clean_text(bronze, mapping, names), mapping)
    typed = clean.withColumns(
        {
            "event_type": F.lower("event_type"),
            "event_ts": as_instant(F.col("event_time"), mapping),
            **{f"has_{name}": F.col(name).isNotNull() for name in MAXIMA},
            **{name: as_number(F.col(name), mapping) for name in MAXIMA},
        }
    )
    checked = typed.withColumns(
        {
            "event_ts": F.when(
                F.col("event_ts") >= F.timestamp_seconds(F.lit(0)), F.col("event_ts")
            ),
            **{name: F.when(F.abs(name) <= most, F.col(name)) for name, most in MAXIMA.items()},
        }
    )
    local_day = F.to_date(F.from_utc_timestamp("event_ts", mapping.time_zone))
    derived = checked.withColumns(
        {
            "event_day": F.least(F.to_date("event_ts"), local_day),
            "paid": F.coalesce("value", F.coalesce("quantity", F.lit(1.0)) * F.col("unit_price")),
        }
    )
    maps_quantity = "quantity" in mapping.columns or "quantity" in mapping.constants
    is_purchase = F.col("event_type") == "purchase"
    broken = {
        **broken_ids(
            ("user_id", "item_id", "order_id", "store_id", "device"), ("user_id", "item_id")
        ),
        "user_id_reserved": F.col("is_reserved"),
        "event_time_missing": F.col("event_time").isNull(),
        "event_time_invalid": F.col("event_time").isNotNull() & F.col("event_ts").isNull(),
        "event_time_in_future": F.col("event_day") >= F.lit(night),
        "event_type_unknown": ~F.coalesce(F.col("event_type"), F.lit("")).isin(list(EVENT_TYPES)),
        "quantity_missing": F.lit(maps_quantity) & ~F.col("has_quantity"),
        "quantity_invalid": F.col("has_quantity") & F.col("quantity").isNull(),
        "quantity_not_positive": F.col("quantity") <= 0,
        "value_invalid": (F.col("has_value") & F.col("value").isNull())
        | (F.abs("paid") > MAXIMA["value"]),
        "unit_price_invalid": F.col("has_unit_price") & F.col("unit_price").isNull(),
        "value_not_positive": is_purchase & (F.col("paid") <= 0),
        "discount_invalid": F.col("has_discount") & F.col("discount").isNull(),
    }
    return with_rules(
        derived,
        SILVER_INTERACTIONS,
        broken,
        event_id=_event_id(mapping),
        event_date=F.to_date("event_ts"),
        days_late=F.greatest(F.datediff(F.lit(night), F.to_date("event_ts")) - 1, F.lit(0)),
        quantity=F.coalesce("quantity", F.lit(1.0)),
        value=F.col("paid"),
    )


def judge_items(bronze: DataFrame, mapping: SourceMapping) -> DataFrame:
    """Catalogue rows of one source; tags are split, trimmed and sorted, each once."""
    clean = clean_text(bronze, mapping, mappable_columns("items"))
    separated = F.split(F.coalesce("tags", F.lit("")), rf"\Q{mapping.tags_separator}\E")
    trimmed = F.transform(separated, _trim)
    tags = F.array_sort(F.array_distinct(F.filter(trimmed, lambda tag: tag != "")))
    broken = broken_ids(("item_id",), ("item_id",))
    return with_rules(clean, SILVER_ITEMS, broken, tags=tags)


def judge_users(bronze: DataFrame, mapping: SourceMapping) -> DataFrame:
    """User rows of one source; attributes without a value are left out."""
    clean = clean_text(bronze, mapping, mappable_columns("users"))
    delivered = F.coalesce(F.col("raw.attributes"), F.create_map().cast("map<string,string>"))
    trimmed = F.transform_values(delivered, lambda _, value: _trim(value))
    known = F.map_filter(trimmed, lambda _, value: value != "")
    broken = broken_ids(("user_id",), ("user_id",))
    return with_rules(clean, SILVER_USERS, broken, attributes=known)


def repeated_events(judged: DataFrame, other_nights: DataFrame) -> DataFrame:
    """Where the clean events stand that are in another night, or earlier in this one.

    ``other_nights`` needs ``event_id`` alone. Of equal events the first by file and row number is
    the one that stays. The result has ``ROW`` columns, each row once, and ``in_file``: the event
    stands in the same file before.
    """
    clean = judged.where(F.col("rules").isNull())
    same_event = Window.partitionBy("event_id").orderBy("source_file", "row_number")
    later = clean.withColumn("file_before", F.lag("source_file").over(same_event)).where(
        F.col("file_before").isNotNull()
    )
    elsewhere = clean.join(other_nights.select("event_id"), "event_id", how="left_semi")
    return (
        later.select(*ROW, (F.col("file_before") == F.col("source_file")).alias("in_file"))
        .union(elsewhere.select(*ROW, F.lit(False).alias("in_file")))
        .groupBy(*ROW)
        .agg(F.bool_or("in_file").alias("in_file"))
    )


def superseded_rows(judged: DataFrame, key: str, *, prefer: str | None = None) -> DataFrame:
    """Where the clean rows stand for whose key another row of the night is in force.

    In force is the last row by file and row number, among those that fill the column ``prefer`` if
    there are any. The result has ``ROW`` columns.
    """
    order = [F.col("source_file").desc(), F.col("row_number").desc(), F.col("source")]
    if prefer is not None:
        order.insert(0, F.col(prefer).isNull())
    place = F.row_number().over(Window.partitionBy(key).orderBy(*order))
    clean = judged.where(F.col("rules").isNull())
    superseded = clean.withColumn("place", place).where(F.col("place") > 1)
    return superseded.select(*ROW, F.lit(False).alias("in_file"))


def mark_duplicates(judged: DataFrame, duplicates: DataFrame) -> DataFrame:
    """Add ``is_duplicate``: the row is among ``duplicates``; and their ``in_file``, else false."""
    marked = judged.join(duplicates, list(ROW), how="left")
    return marked.select(
        *judged.columns,
        F.col("in_file").isNotNull().alias("is_duplicate"),
        F.coalesce("in_file", F.lit(False)).alias("in_file"),
    )


def kept(marked: DataFrame, table: Table) -> DataFrame:
    """The rows of the silver table: clean, and no repeats."""
    return marked.where(F.col("rules").isNull() & ~F.col("is_duplicate")).select(
        *table.column_names
    )


def rejected(marked: DataFrame, bronze_table: Table) -> DataFrame:
    """The rows of ``silver.quarantine`` that came from ``bronze_table``."""
    return (
        marked.where(F.col("rules").isNotNull())
        .withColumn("table_name", F.lit(bronze_table.full_name))
        .select(*QUARANTINE.column_names)
    )


def clean_text(bronze: DataFrame, mapping: SourceMapping, names: Sequence[str]) -> DataFrame:
    """The named columns rewritten and trimmed, nothing as null; what judging needs beside them.

    Every expensive expression becomes a column before it is used twice, here and in the callers:
    Spark computes it once then.
    """
    columns = {name: F.col(name) for name in names}
    for rule in mapping.replacements:
        columns[rule.column] = F.regexp_replace(
            columns[rule.column], rule.pattern, rule.replacement
        )
    rejections = {
        rule.name: F.coalesce(columns[rule.column], F.lit("")).rlike(rule.pattern)
        for rule in mapping.reject
    }
    trimmed = bronze.select(
        *LINEAGE_COLUMNS,
        F.when(
            F.col("corrupt_record").isNotNull(), F.coalesce("corrupt_rule", F.lit(CORRUPT_RECORD))
        ).alias("corrupt"),
        _names(rejections).alias("rejections"),
        F.struct(*bronze.columns).alias("raw"),
        *[_trim(column).alias(name) for name, column in columns.items()],
    )
    return trimmed.withColumns({name: F.when(F.col(name) != "", F.col(name)) for name in names})


def broken_ids(identifiers: Sequence[str], required: Sequence[str]) -> dict[str, SparkColumn]:
    """Rules about text that other stores use as a key."""
    together = F.concat_ws("", *identifiers)
    longest = F.greatest(F.lit(0), *[F.length(name) for name in identifiers])
    return {
        **{f"{name}_missing": F.col(name).isNull() for name in required},
        "control_character": together.rlike(_CONTROL),
        "undecodable_text": F.contains(together, F.lit("\ufffd")),
        "id_too_long": longest > MAX_ID_CHARACTERS,
    }


def with_rules(
    clean: DataFrame,
    table: Table,
    broken: Mapping[str, SparkColumn],
    **built: SparkColumn,
) -> DataFrame:
    """The table's columns (``built`` ones as given), then ``rules`` and ``record``."""
    unusable = F.col("corrupt").isNotNull() | F.col("rejections").isNotNull()
    is_broken = reduce(or_, broken.values(), unusable)
    # What could be made out of a line that cannot be read is not judged further.
    rules = F.coalesce("corrupt", F.concat_ws(",", "rejections", _names(broken)))
    columns = [built.get(name, F.col(name)).alias(name) for name in table.column_names]
    return clean.withColumn("is_broken", is_broken).select(
        *columns,
        # Few rows are broken: names and JSON are made for those alone.
        F.when(F.col("is_broken"), F.split(rules, ",")).alias("rules"),
        F.when(F.col("is_broken"), F.to_json("raw")).alias("record"),
    )


def _names(conditions: Mapping[str, SparkColumn]) -> SparkColumn:
    """The names of the true conditions, joined by commas; null for none. Null is not true."""
    names = [F.when(condition, F.lit(name)) for name, condition in conditions.items()]
    joined = F.concat_ws(",", *names)
    return F.when(joined != "", joined)


def _trim(text: SparkColumn) -> SparkColumn:
    return F.btrim(text, F.lit(_WHITE_SPACE))


def _named_user(clean: DataFrame, mapping: SourceMapping) -> DataFrame:
    """Users of the source's ``user_fallback`` where there is none, under a name of their own kind.

    ``is_reserved`` marks the rows whose own user is called so.
    """
    if mapping.user_fallback is None:
        return clean.withColumn("is_reserved", F.lit(False))
    prefix = F.lit(f"{mapping.user_fallback}:")
    stand_in = F.concat(prefix, F.col(mapping.user_fallback))
    return clean.withColumns(
        {
            "is_reserved": F.coalesce(F.startswith("user_id", prefix), F.lit(False)),
            "user_id": F.coalesce("user_id", stand_in),
        }
    )


def as_number(text: SparkColumn, mapping: SourceMapping) -> SparkColumn:
    """The number that ``text`` spells in decimals; null for anything else.

    Thousands must come in threes: of ``1.5`` a thousands point would make 15. Beyond decimals Spark
    reads Java's ``1d`` and ``0x1p3``; NaN and infinity are left to a bound.
    """
    if mapping.thousands:
        separator = _SEPARATORS.get(mapping.thousands, rf"\{mapping.thousands}")
        grouped = rf"^[+-]?\d{{1,3}}({separator}\d{{3}})+(\{mapping.decimal}\d*)?$"
        ungrouped = F.regexp_replace(text, separator, "")
        text = F.when(text.rlike(grouped), ungrouped).otherwise(text)
    if mapping.decimal == ",":
        text = F.translate(text, ",.", ".,")
    java = [F.endswith(text, F.lit(suffix)) for suffix in "dDfF"]
    java += [F.contains(text, F.lit(letter)) for letter in "xX"]
    return F.when(~reduce(or_, java), text.try_cast("double"))


def as_instant(text: SparkColumn, mapping: SourceMapping) -> SparkColumn:
    """The instant that ``text`` names; null where it is in another format.

    A wall time that a clock change skips moves on by the change; of one that comes twice the first
    is taken.
    """
    if mapping.time_format in EPOCHS:
        per_second = EPOCHS[mapping.time_format]
        number = as_number(text, mapping)
        is_date = number.between(0, MAX_EPOCH_SECONDS * per_second)
        micros = F.round(number * (1_000_000 // per_second)).cast("long")
        return F.timestamp_micros(F.when(is_date, micros))
    if mapping.time_format == ISO:
        # Spark wants seconds before a zone; the text is changed only where that is what failed.
        with_seconds = F.regexp_replace(text, _ISO_MINUTES, "$1:00$2")
        parsed = F.when(
            text.rlike(_ISO_TIME),
            F.coalesce(text.try_cast("timestamp"), with_seconds.try_cast("timestamp")),
        )
        has_zone = text.rlike(_ISO_ZONE)
    else:
        parsed = F.try_to_timestamp(text, F.lit(mapping.time_format))
        has_zone = F.lit(time_formats.has_zone(mapping.time_format))
    if mapping.time_zone == "UTC":
        return parsed
    # The session's zone is UTC: so far a wall time was read as if it were UTC.
    return F.when(has_zone, parsed).otherwise(F.to_utc_timestamp(parsed, mapping.time_zone))


def _event_id(mapping: SourceMapping) -> SparkColumn:
    """128 bits of a SHA-256 over source and cleaned key; a clean row holds no separator."""
    key = [
        (F.unix_micros("event_ts") if name == "event_time" else F.col(name)).cast("string")
        for name in mapping.event_key
    ]
    parts = [F.coalesce(part, F.lit("\x1e")) for part in key]
    return F.substring(F.sha2(F.concat_ws("\x1f", F.col("source"), *parts), 256), 1, 32)
