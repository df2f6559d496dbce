"""Every table of the lake, declared once.

Spark schemas, DDL with comments, structural validation suites, the documentation in
``docs/tables.md``, Airflow assets and test-row factories are all derived from these declarations.
The module uses the standard library alone, so that a DAG file can import it without loading Spark.
"""

import sys
from dataclasses import dataclass
from typing import Final, Literal

from lakehouse.lists import LISTS, SURFACES

ColumnType = Literal[
    "string",
    "int",
    "long",
    "double",
    "boolean",
    "date",
    "timestamp",
    "array<string>",
    "map<string,string>",
]
Layer = Literal["bronze", "silver", "gold", "ops"]

FREQUENCY_WINDOWS_DAYS: Final = (7, 30, 90, 365)
PRICE_BANDS: Final = 5
_MOST: Final = 1e12  # units of a line, or its money in the smallest of currencies


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its type, meaning and the values it may hold.

    ``allowed`` lists the only values permitted, ``minimum`` and ``maximum`` are inclusive; they
    ignore nulls. ``personal`` marks data about a person, which erasure has to reach.
    """

    name: str
    type: ColumnType
    doc: str
    nullable: bool = False
    allowed: tuple[str, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    personal: bool = False

    @property
    def smallest(self) -> float:
        """The least finite number that the column may hold."""
        return -sys.float_info.max if self.minimum is None else self.minimum

    @property
    def largest(self) -> float:
        """The greatest finite number that the column may hold."""
        return sys.float_info.max if self.maximum is None else self.maximum


@dataclass(frozen=True, slots=True)
class Table:
    """One Delta table: its columns in order, what a row is, and how it is partitioned.

    ``retired`` names former columns and their types: tables that were written with them are read
    without them and keep them, null in new rows.
    """

    layer: Layer
    name: str
    doc: str
    grain: tuple[str, ...]
    partition_by: tuple[str, ...]
    columns: tuple[Column, ...]
    retired: tuple[tuple[str, ColumnType], ...] = ()

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        known = [*names, *(name for name, _ in self.retired)]
        if len(set(known)) != len(known):
            raise ValueError(f"{self.full_name}: a column is declared twice in {known}")
        unknown = sorted({*self.grain, *self.partition_by} - set(names))
        if unknown:
            raise ValueError(f"{self.full_name}: grain or partition names no column: {unknown}")

    @property
    def full_name(self) -> str:
        """The name people use, e.g. ``silver.interactions``."""
        return f"{self.layer}.{self.name}"

    @property
    def path(self) -> str:
        """The table's place below the lake's root, e.g. ``silver/interactions``."""
        return f"{self.layer}/{self.name}"

    @property
    def asset_uri(self) -> str:
        """The URI by which Airflow knows the table as an asset."""
        return f"x-delta://lake/{self.path}"

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns' names in declared order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The declaration of one column; raises ``KeyError`` for an unknown name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.full_name} has no column {name!r}; it has {self.column_names}")


_USER_ID = Column("user_id", "string", "Identifier of the user in the source.", personal=True)
_ITEM_ID = Column("item_id", "string", "Identifier of the item in the source.")
_RUN_DATE = Column("run_date", "date", "Night that wrote the row (UTC).")
_AS_OF = Column("as_of", "date", "The row uses events strictly before this day.")
_INGEST_DATE = Column("ingest_date", "date", "Night that took the row in (UTC).")
_INGEST_BATCH = Column(
    "ingest_batch", "string", "Ingest date and a digest of the batch's files; one Delta commit."
)
_SOURCE = Column("source", "string", "Name of the source mapping in the configuration.")
_SOURCE_FILE = Column("source_file", "string", "File below the landing folder.")
_ROW_NUMBER = Column("row_number", "long", "Position of the row in its file, from 1.", minimum=1)
_LINEAGE = (_SOURCE, _SOURCE_FILE, _ROW_NUMBER, _INGEST_BATCH, _INGEST_DATE)
LINEAGE_COLUMNS: Final = tuple(column.name for column in _LINEAGE)

EVENT_TYPES: Final = ("purchase", "rating", "view", "click", "cart")
FEEDBACK_TYPES: Final = ("impression", "click", "cart", "purchase", "rating", "dismissal")

_ITEM_CONTENT = (
    Column("title", "string", "Name shown to people.", nullable=True),
    Column("department", "string", "Broadest level of the catalogue.", nullable=True),
    Column("category", "string", "Level below the department.", nullable=True),
    Column("product_type", "string", "Finest level of the catalogue.", nullable=True),
    Column("brand", "string", "Brand or brand class.", nullable=True),
    Column("manufacturer", "string", "Maker or publisher.", nullable=True),
    Column("package_size", "string", "Size as printed, not normalised.", nullable=True),
)
ITEM_CONTENT_COLUMNS: Final = tuple(column.name for column in _ITEM_CONTENT)


def _raw(name: str, doc: str, *, personal: bool = False) -> Column:
    return Column(name, "string", f"{doc} As delivered.", nullable=True, personal=personal)


_EXTRA = Column(
    "extra",
    "map<string,string>",
    "Columns of the file that the mapping does not name.",
    nullable=True,
    personal=True,
)
_CORRUPT_RECORD = Column(
    "corrupt_record", "string", "The raw line where it could not be read.", True, personal=True
)
_CORRUPT_RULE = Column(
    "corrupt_rule", "string", "Why the line could not be read: a rule of the quarantine.", True
)

BRONZE_FILES: Final = Table(
    "bronze",
    "files",
    "Every file taken in, written before its rows: an interrupted batch is found and finished.",
    ("source", "source_file"),
    ("ingest_date",),
    (
        _SOURCE,
        _SOURCE_FILE,
        Column("file_digest", "string", "SHA-256 of the file's bytes."),
        Column("bytes", "long", "Size of the file.", minimum=0),
        Column(
            "status",
            "string",
            "`loaded`; `empty` without rows; `duplicate` of the source's newest loaded file.",
            allowed=("loaded", "empty", "duplicate"),
        ),
        _INGEST_BATCH,
        _INGEST_DATE,
        Column(
            "modified_ns",
            "long",
            "When the file was last written, in nanoseconds since 1970: a file that keeps size and "
            "time is hashed again every 28 nights only.",
            nullable=True,
        ),
    ),
)

BRONZE_EVENTS: Final = Table(
    "bronze",
    "events",
    "Interactions exactly as delivered, under the mapping's column names.",
    ("source", "source_file", "row_number"),
    ("ingest_date", "ingest_batch"),
    (
        _raw("user_id", "User.", personal=True),
        _raw("item_id", "Item."),
        _raw("event_time", "When it happened."),
        _raw("event_type", "Kind of event."),
        _raw("quantity", "Units."),
        _raw("value", "Money paid, or rating given."),
        _raw("unit_price", "Price of one unit, where the source has no value."),
        _raw("discount", "Money taken off."),
        _raw("order_id", "Basket, invoice or session."),
        _raw("store_id", "Shop or channel."),
        _raw("device", "What it happened on, e.g. phone."),
        _EXTRA,
        _CORRUPT_RECORD,
        _CORRUPT_RULE,
        *_LINEAGE,
    ),
)

BRONZE_ITEMS: Final = Table(
    "bronze",
    "items",
    "Catalogue rows exactly as delivered, under the mapping's column names.",
    ("source", "source_file", "row_number"),
    ("ingest_date", "ingest_batch"),
    (
        _raw("item_id", "Item."),
        *(_raw(column.name, column.doc) for column in _ITEM_CONTENT),
        _raw("tags", "Several-valued attribute, e.g. genres."),
        _EXTRA,
        _CORRUPT_RECORD,
        _CORRUPT_RULE,
        *_LINEAGE,
    ),
)

BRONZE_USERS: Final = Table(
    "bronze",
    "users",
    "User rows exactly as delivered, under the mapping's column names.",
    ("source", "source_file", "row_number"),
    ("ingest_date", "ingest_batch"),
    (
        _raw("user_id", "User.", personal=True),
        Column(
            "attributes",
            "map<string,string>",
            "The mapping's user attributes, as delivered.",
            nullable=True,
            personal=True,
        ),
        _EXTRA,
        _CORRUPT_RECORD,
        _CORRUPT_RULE,
        *_LINEAGE,
    ),
)

_EVENT_TIME: Final = (
    Column("event_ts", "timestamp", "When it happened (UTC)."),
    Column("event_date", "date", "UTC day of the event."),
)
_VALUE: Final = Column(
    "value", "double", "Money paid, or rating given.", True, minimum=-_MOST, maximum=_MOST
)

BRONZE_FEEDBACK: Final = Table(
    "bronze",
    "feedback",
    "What people did with what they were shown, exactly as the API wrote it.",
    ("source", "source_file", "row_number"),
    ("ingest_date", "ingest_batch"),
    (
        _raw("event_id", "The client's own id of the event."),
        _raw("user_id", "User.", personal=True),
        _raw("item_id", "Item."),
        _raw("event_time", "When it happened."),
        _raw("event_type", "Kind of event."),
        _raw("value", "Money paid, or rating given."),
        _raw("quantity", "Units."),
        _raw("surface", "Kind of list that was shown."),
        _raw("position", "Place in the list as it was shown, from 1."),
        _raw("tier", "Whose list it was."),
        _raw("release", "Release of the list."),
        _raw("recommendation_id", "The list, as its answer named it."),
        _raw("arm", "Who got the release while it was rolled out."),
        _raw("propensity", "Probability with which the item got the place."),
        _raw("received_at", "When the API had it."),
        _EXTRA,
        _CORRUPT_RECORD,
        _CORRUPT_RULE,
        *_LINEAGE,
    ),
)

SILVER_INTERACTIONS: Final = Table(
    "silver",
    "interactions",
    "Clean events, each once, in UTC.",
    ("event_id",),
    ("ingest_date",),
    (
        Column("event_id", "string", "Hash of the source and its duplicate key (128 bits, hex)."),
        _USER_ID,
        _ITEM_ID,
        Column("event_type", "string", "Kind of event.", allowed=EVENT_TYPES),
        *_EVENT_TIME,
        Column(
            "days_late",
            "int",
            "Whole days between the event's day and its file's night, less one.",
            minimum=0,
        ),
        Column(
            "quantity",
            "double",
            "Units, above 0; 1 where the source has none.",
            minimum=0,
            maximum=_MOST,
        ),
        _VALUE,
        Column(
            "discount", "double", "Money taken off.", nullable=True, minimum=-_MOST, maximum=_MOST
        ),
        Column("order_id", "string", "Basket, invoice or session.", nullable=True),
        Column("store_id", "string", "Shop or channel.", nullable=True),
        Column("device", "string", "What it happened on, e.g. phone.", nullable=True),
        *_LINEAGE,
    ),
)

SILVER_ITEMS: Final = Table(
    "silver",
    "items",
    "Clean catalogue rows; the newest night's row of an item is in force.",
    ("ingest_date", "item_id"),
    ("ingest_date",),
    (
        _ITEM_ID,
        *_ITEM_CONTENT,
        Column("tags", "array<string>", "Several-valued attribute, sorted, e.g. genres."),
        *_LINEAGE,
    ),
)

SILVER_USERS: Final = Table(
    "silver",
    "users",
    "Clean user rows; the newest night's row of a user is in force.",
    ("ingest_date", "user_id"),
    ("ingest_date",),
    (
        _USER_ID,
        Column("attributes", "map<string,string>", "Attributes that are known.", personal=True),
        *_LINEAGE,
    ),
)

SILVER_FEEDBACK: Final = Table(
    "silver",
    "feedback",
    "What people did with what they were shown: clean, each event once, in UTC.",
    ("event_id",),
    ("ingest_date",),
    (
        Column("event_id", "string", "The client's own id of the event."),
        _USER_ID,
        _ITEM_ID,
        Column("event_type", "string", "Kind of event.", allowed=FEEDBACK_TYPES),
        *_EVENT_TIME,
        _VALUE,
        Column("quantity", "double", "Units.", nullable=True, minimum=-_MOST, maximum=_MOST),
        Column("surface", "string", "Kind of list that was shown.", nullable=True),
        Column("position", "int", "Place in the list as it was shown, from 1.", True, minimum=1),
        Column("tier", "string", "Whose list it was.", nullable=True),
        Column("release", "string", "Release of the list.", nullable=True),
        Column("recommendation_id", "string", "The list, as its answer named it.", nullable=True),
        Column(
            "arm",
            "string",
            "Who got the release while it was rolled out; else null.",
            nullable=True,
        ),
        Column(
            "propensity",
            "double",
            "Probability with which the item got the place; null where nothing was drawn.",
            nullable=True,
            minimum=0,
            maximum=1,
        ),
        Column("received_at", "timestamp", "When the API had it (UTC).", nullable=True),
        *_LINEAGE,
    ),
)

QUARANTINE: Final = Table(
    "silver",
    "quarantine",
    "Rejected rows with every rule that they broke; nothing is thrown away.",
    ("source", "source_file", "row_number"),
    ("ingest_date",),
    (
        Column(
            "table_name",
            "string",
            "Bronze table of the row.",
            allowed=("bronze.events", "bronze.items", "bronze.users", "bronze.feedback"),
        ),
        Column("rules", "array<string>", "Names of the broken rules, in the order checked."),
        Column("record", "string", "The bronze row as JSON.", personal=True),
        *_LINEAGE,
    ),
)

ROW_ACCOUNTING: Final = Table(
    "silver",
    "row_accounting",
    "Where each night's bronze rows went: bronze = silver + quarantine + duplicates.",
    ("ingest_date", "table_name"),
    ("ingest_date",),
    (
        _INGEST_DATE,
        Column("table_name", "string", "Bronze table counted."),
        Column("bronze_rows", "long", "Rows taken in.", minimum=0),
        Column("silver_rows", "long", "Rows kept.", minimum=0),
        Column("quarantine_rows", "long", "Rows rejected.", minimum=0),
        Column("duplicate_rows", "long", "Rows that repeat an earlier row.", minimum=0),
    ),
)

EVENT_IDENTITY: Final = Table(
    "silver",
    "event_identity",
    "What made the ids of each night's events: a repeat is known by its id alone.",
    ("ingest_date", "source"),
    ("ingest_date",),
    (
        _INGEST_DATE,
        _SOURCE,
        Column("identity", "string", "The duplicate key and how its columns were read, as JSON."),
    ),
)


_ACTIVE_DAYS = Column("active_days", "long", "Days with at least one event.", minimum=0)
_DECAYED: Final[tuple[tuple[str, ColumnType], ...]] = (
    ("decayed_events_30d", "double"),
    ("decayed_events_120d", "double"),
)


def _events_total(noun: str) -> Column:
    return Column("events_total", "long", f"Events of the {noun} before `as_of`.", minimum=0)


def _days_since_last(*, nullable: bool = False) -> Column:
    return Column(
        "days_since_last", "int", "Days from the last event to `as_of`.", nullable, minimum=1
    )


def _frequency(noun: str) -> tuple[Column, ...]:
    """Count and window counts of events, the same for users and items."""
    return (
        _events_total(noun),
        *(
            Column(f"events_{days}d", "long", f"Events in the last {days} days.", minimum=0)
            for days in FREQUENCY_WINDOWS_DAYS
        ),
        _ACTIVE_DAYS,
    )


def _recency(*, nullable: bool = False) -> tuple[Column, ...]:
    return (
        Column(
            "days_since_first", "int", "Days from the first event to `as_of`.", nullable, minimum=1
        ),
        _days_since_last(nullable=nullable),
        Column(
            "mean_gap_days",
            "double",
            "Mean days between active days; null with one active day.",
            nullable=True,
            minimum=1,
        ),
    )


USER_ITEM_FEATURES: Final = Table(
    "gold",
    "user_item_features",
    "How often and how recently each user took each item, as of the run date.",
    ("run_date", "as_of", "user_id", "item_id"),
    ("run_date", "as_of"),
    (
        _RUN_DATE,
        _AS_OF,
        _USER_ID,
        _ITEM_ID,
        _events_total("pair"),
        _ACTIVE_DAYS,
        _days_since_last(),
        Column(
            "mean_gap_days",
            "double",
            "Mean days between active days; null with one.",
            True,
            minimum=1,
        ),
    ),
    retired=(
        *((f"events_{days}d", "long") for days in (7, 30, 90, 365)),
        *_DECAYED,
        ("days_since_first", "int"),
        ("quantity_total", "double"),
        ("value_total", "double"),
    ),
)

USER_FEATURES: Final = Table(
    "gold",
    "user_features",
    "Activity, diversity and price level of each user.",
    ("run_date", "as_of", "user_id"),
    ("run_date", "as_of"),
    (
        _RUN_DATE,
        _AS_OF,
        _USER_ID,
        *_frequency("user"),
        *_recency(),
        Column("orders_total", "long", "Orders; active days where the source has none.", minimum=1),
        Column("items_distinct", "long", "Different items.", minimum=1),
        Column(
            "repeat_share", "double", "1 - items_distinct / events_total.", minimum=0, maximum=1
        ),
        Column("departments_distinct", "long", "Different known departments.", minimum=0),
        Column("value_total", "double", "Money paid, or sum of ratings.", nullable=True),
        Column("value_per_order", "double", "value_total / orders_total.", nullable=True),
        Column(
            "unit_price",
            "double",
            "Value of a unit, where values are known; goods in other units (fuel) blur it.",
            nullable=True,
        ),
        Column(
            "price_band_mean",
            "double",
            "Mean price band of the items of the events; null where none has a band.",
            nullable=True,
            minimum=1,
            maximum=PRICE_BANDS,
        ),
        Column("discount_share", "double", "Discount / (value + discount).", nullable=True),
    ),
    retired=(*_DECAYED, ("department_entropy", "double")),
)

ITEM_FEATURES: Final = Table(
    "gold",
    "item_features",
    "Demand, price and content of each item, sold or not.",
    ("run_date", "as_of", "item_id"),
    ("run_date", "as_of"),
    (
        _RUN_DATE,
        _AS_OF,
        _ITEM_ID,
        *_frequency("item"),
        *_recency(nullable=True),
        Column("buyers_total", "long", "Different users.", minimum=0),
        Column(
            "repeat_buyer_share",
            "double",
            "Share of buyers with the item on two or more days.",
            nullable=True,
            minimum=0,
            maximum=1,
        ),
        Column("unit_price", "double", "Value of a unit, where values are known.", nullable=True),
        Column(
            "price_band",
            "int",
            f"1 (cheapest) to {PRICE_BANDS} by price rank within the category, or among the items "
            "without one; null without a price.",
            nullable=True,
            minimum=1,
            maximum=PRICE_BANDS,
        ),
        Column("in_catalogue", "boolean", "The catalogue describes the item."),
        Column(
            "sellable",
            "boolean",
            "May be recommended: in the catalogue, sold lately, not excluded.",
        ),
        *_ITEM_CONTENT,
        Column("tags", "array<string>", "Several-valued attribute, sorted, e.g. genres."),
    ),
    retired=_DECAYED,
)

RELATED_KINDS: Final = ("bought_together", "similar")
ITEM_RELATED: Final = Table(
    "gold",
    "item_related",
    "What goes with each item, and what is like it, as of the run date; items of which nothing is "
    "known have no rows.",
    ("run_date", "item_id", "kind", "rank"),
    ("run_date",),
    (
        _RUN_DATE,
        _ITEM_ID,
        Column(
            "kind",
            "string",
            "`bought_together`: what goes with the item; `similar`: what could stand in its place.",
            allowed=RELATED_KINDS,
        ),
        Column(
            "rank", "int", "Place among the item's related ones of the kind, from 1.", minimum=1
        ),
        Column("related_item_id", "string", "The other item."),
        Column("score", "double", "How good a match; comparable within a kind.", minimum=0),
        Column(
            "support",
            "long",
            "Baskets with both; null for what is similar, which needs none.",
            nullable=True,
            minimum=0,
        ),
        Column("baskets", "long", "Baskets with the item; null with the support.", True, minimum=0),
        Column(
            "lift",
            "double",
            "How many times as often both are in a basket as by chance; null with the support.",
            nullable=True,
            minimum=0,
        ),
        Column("reason", "string", "Why, in words."),
    ),
)

RECOMMENDATIONS: Final = Table(
    "gold",
    "recommendations",
    "The lists served: N items per user and list.",
    ("run_date", "list", "user_id", "rank"),
    ("run_date",),
    (
        _RUN_DATE,
        Column(
            "list",
            "string",
            "".join(f"`{surface.name}`: {surface.doc}. " for surface in SURFACES).strip(),
            allowed=LISTS,
        ),
        Column(
            "user_id",
            "string",
            "Whose list, which `tier` tells: a user's id, an item's, a context such as "
            "`store_id=367`, or, empty, everybody's.",
            personal=True,
        ),
        Column("rank", "int", "Place in the list, from 1.", minimum=1),
        _ITEM_ID,
        Column("title", "string", "Name shown to people.", nullable=True),
        Column("score", "double", "Score of the source; comparable within a list and source only."),
        Column("source", "string", "Method that put the item there."),
        Column("reason", "string", "Why, in words for the user.", personal=True),
        Column("model_version", "string", "Registered model, as `name/version`."),
        Column("release", "string", "Release that the row belongs to."),
        Column(
            "reason_code",
            "string",
            "Why, in a word: `again`, `taste`, `similar_taste`, `popular`, `trending`, `new`, "
            "`chosen` (by a rule), `together`, `similar` or `because`.",
            nullable=True,
        ),
        Column(
            "tier",
            "string",
            "Whose list it is: `user`, `item`, `context` or `global`.",
            nullable=True,
        ),
        Column(
            "rules",
            "array<string>",
            "Business rules that put the item there, or moved it.",
            nullable=True,
        ),
        Column(
            "spare",
            "boolean",
            "Not shown unless an item before it is denied.",
            nullable=True,
        ),
    ),
)


def _events_of(kind: str) -> Column:
    return Column(f"{kind}s", "long", f"Events of the kind {kind}.", minimum=0)


FEEDBACK_DAILY: Final = Table(
    "gold",
    "feedback_daily",
    "What came of each place that was shown. Late events come with a later night: sum the counts "
    "over nights before you divide them.",
    (
        "run_date",
        "event_date",
        "surface",
        "position",
        "source",
        "reason_code",
        "arm",
        "release",
    ),
    ("run_date",),
    (
        _RUN_DATE,
        Column("event_date", "date", "UTC day of the events."),
        Column("surface", "string", "Kind of list that was shown."),
        Column(
            "position",
            "int",
            "Place as the event tells it, else the item's rank in the release; 0 where neither is "
            "known.",
            minimum=0,
        ),
        Column(
            "source",
            "string",
            "Method that put the item there; empty where gold.recommendations no longer has the "
            "release, or it never had the item.",
        ),
        Column("reason_code", "string", "Why the item was there, in a word; or empty."),
        Column("arm", "string", "Who got the release while it was rolled out; else empty."),
        Column("release", "string", "Release of the list."),
        *(_events_of(kind) for kind in FEEDBACK_TYPES),
        Column("ctr", "double", "clicks / impressions.", nullable=True, minimum=0),
        Column("conversion", "double", "purchases / impressions.", nullable=True, minimum=0),
    ),
)

OPS_RUNS: Final = Table(
    "ops",
    "runs",
    "What became of the newest run of each step of a night.",
    ("run_date", "step"),
    ("run_date", "step"),
    (
        Column("run_date", "date", "Night that the step worked on (UTC)."),
        Column("step", "string", "Name of the step, as its command has it."),
        Column("status", "string", "How it ended.", allowed=("done", "failed")),
        Column("rows", "string", "Rows by table or stage, as JSON."),
        Column("facts", "string", "What else people and later steps need to know, as JSON."),
        Column("warnings", "array<string>", "Sentences about what was unusual."),
        Column("seconds", "double", "How long it took; null where it failed.", True, minimum=0),
        Column("exit_code", "int", "Exit code of its process; null where it is done.", True),
        Column("reason", "string", "Why it failed, in a sentence; null where it is done.", True),
        Column("details", "array<string>", "Further lines of the reason."),
        Column(
            "code",
            "string",
            "The code that ran: the package's version and a digest of its files; null for runs "
            "from before it was kept.",
            True,
        ),
    ),
)

EXPECTATION_RESULTS: Final = Table(
    "ops",
    "expectation_results",
    "What became of each rule of the validations of a night, kept when its report is built.",
    ("run_date", "table_name", "rule", "severity"),
    ("run_date",),
    (
        Column("run_date", "date", "Night that was validated (UTC)."),
        Column("table_name", "string", "Table that the rule is about."),
        Column("owner", "string", "Who answers for the table (`[quality] owners`)."),
        Column("expectation", "string", "Kind of rule, as Great Expectations calls it."),
        Column("subject", "string", "Column or measured figure of the rule; empty for whole rows."),
        Column("rule", "string", "The rule in words."),
        Column("severity", "string", "What it does if broken.", allowed=("fail", "warn")),
        Column("rows", "long", "Rows looked at; null where none are counted.", True, minimum=0),
        Column("broken_rows", "long", "Rows that break it; null as before.", True, minimum=0),
        Column(
            "observed", "double", "The share of such rows, or the figure that was measured.", True
        ),
        Column("verdict", "string", "Whether it held.", allowed=("passed", "broken")),
    ),
)

QUARANTINE_ACTS: Final = Table(
    "ops",
    "quarantine_acts",
    "What people did about rejected rows: replayed through a mended configuration, or dropped.",
    ("ingest_date", "source", "rules", "at"),
    ("ingest_date",),
    (
        Column("ingest_date", "date", "Night that took the rows in (UTC)."),
        Column("source", "string", "Landing source of the rows."),
        Column("rules", "string", "The rules that they broke, in the order checked."),
        Column("act", "string", "What was done.", allowed=("replayed", "dropped")),
        Column("rows_before", "long", "Such rows in the quarantine before.", minimum=0),
        Column("rows_after", "long", "Such rows in the quarantine after.", minimum=0),
        Column("who", "string", "Who did it."),
        Column("why", "string", "The reason that they gave."),
        Column("at", "timestamp", "When, by the clock of the machine (UTC)."),
    ),
)

# What became of nights, and what people did; no step's output.
OPS: Final = (OPS_RUNS, EXPECTATION_RESULTS, QUARANTINE_ACTS)
ALL_TABLES: Final = (
    BRONZE_FILES,
    BRONZE_EVENTS,
    BRONZE_ITEMS,
    BRONZE_USERS,
    BRONZE_FEEDBACK,
    SILVER_INTERACTIONS,
    SILVER_ITEMS,
    SILVER_USERS,
    SILVER_FEEDBACK,
    QUARANTINE,
    ROW_ACCOUNTING,
    EVENT_IDENTITY,
    USER_ITEM_FEATURES,
    USER_FEATURES,
    ITEM_FEATURES,
    ITEM_RELATED,
    RECOMMENDATIONS,
    FEEDBACK_DAILY,
    *OPS,
)
