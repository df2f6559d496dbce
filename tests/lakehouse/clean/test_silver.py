"""The pure transforms of cleaning, by whole frames."""

import json
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lakehouse.clean import silver
from lakehouse.ingest.sources import SourceMapping, mappable_columns
from lakehouse.tables import (
    BRONZE_EVENTS,
    BRONZE_ITEMS,
    BRONZE_USERS,
    QUARANTINE,
    SILVER_INTERACTIONS,
    SILVER_ITEMS,
    SILVER_USERS,
)
from tests.landed import EVENTS, ITEMS, USERS
from tests.rows import frame, rows_of

NIGHT = date(2024, 1, 10)
LINEAGE = {"source": "orders", "source_file": "a", "ingest_batch": "b", "ingest_date": NIGHT}
GOOD = {
    "user_id": "u",
    "item_id": "i",
    "event_time": "2024-01-09 12:00:00",
    "event_type": "purchase",
    "quantity": "2",
    "value": "3.5",
}
Judge = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def judged(spark: SparkSession) -> Judge:
    """The judged rows, in order, of changes to a good event; `mapping` changes the source."""

    def judge(*changes: dict[str, Any], **mapping: Any) -> list[dict[str, Any]]:
        rows = [
            LINEAGE | GOOD | {"row_number": number} | change
            for number, change in enumerate(changes, start=1)
        ]
        source = SourceMapping(**EVENTS | mapping)
        result = silver.judge_events(frame(spark, BRONZE_EVENTS, rows), source, night=NIGHT)
        return sorted(rows_of(result), key=lambda row: row["row_number"])

    return judge


def test_a_clean_event_is_typed(judged: Judge) -> None:
    [row] = judged(
        {"user_id": " u\t", "store_id": "  ", "event_type": "Purchase", "discount": "-.5"},
        columns=EVENTS["columns"] | {"discount": "d", "store_id": "s", "event_type": "t"},
        constants={},
    )
    assert len(row.pop("event_id")) == 32
    assert row == LINEAGE | {
        "user_id": "u",
        "item_id": "i",
        "event_type": "purchase",
        "event_ts": datetime(2024, 1, 9, 12),  # noqa: DTZ001 (Spark gives UTC without saying so)
        "event_date": date(2024, 1, 9),
        "days_late": 0,
        "quantity": 2.0,
        "value": 3.5,
        "discount": -0.5,
        "order_id": None,
        "store_id": None,
        "device": None,
        "row_number": 1,
        "rules": None,
        "record": None,
    }


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"user_id": None}, ["user_id_missing"]),
        ({"user_id": " \u00a0\n"}, ["user_id_missing"]),
        ({"item_id": ""}, ["item_id_missing"]),
        ({"user_id": "a\0b"}, ["control_character"]),
        ({"order_id": "a\x85b"}, ["control_character"]),
        ({"item_id": "Zo\ufffd"}, ["undecodable_text"]),
        ({"item_id": "\U0001f34e" * 256}, ["id_too_long"]),
        ({"event_time": None}, ["event_time_missing"]),
        ({"event_time": "09/01/2024"}, ["event_time_invalid"]),
        ({"event_time": "2024-13-01"}, ["event_time_invalid"]),
        ({"event_time": "2024-01"}, ["event_time_invalid"]),
        ({"event_time": "12:00"}, ["event_time_invalid"]),
        ({"event_time": "1969-12-31 23:59:59"}, ["event_time_invalid"]),
        ({"event_time": "2024-01-10"}, ["event_time_in_future"]),
        ({"event_time": "2999-01-01"}, ["event_time_in_future"]),
        ({"quantity": None}, ["quantity_missing"]),
        ({"quantity": "two"}, ["quantity_invalid"]),
        ({"quantity": "2d"}, ["quantity_invalid"]),
        ({"quantity": "NaN"}, ["quantity_invalid"]),
        ({"quantity": "Infinity"}, ["quantity_invalid"]),
        ({"quantity": "1e400"}, ["quantity_invalid"]),
        ({"quantity": "1e13"}, ["quantity_invalid"]),
        ({"quantity": "0"}, ["quantity_not_positive"]),
        ({"quantity": "-1"}, ["quantity_not_positive"]),
        ({"value": "-inf"}, ["value_invalid"]),
        ({"value": None, "quantity": "1e12", "unit_price": "1e12"}, ["value_invalid"]),
        ({"unit_price": "-1e24"}, ["unit_price_invalid"]),
        ({"value": "1e12"}, None),
        ({"value": "0.00"}, ["value_not_positive"]),
        ({"discount": "1,5"}, ["discount_invalid"]),
        ({"corrupt_record": "x", "event_time": None, "user_id": None}, ["corrupt_record"]),
        ({"corrupt_record": "x", "corrupt_rule": "unclosed_quote"}, ["unclosed_quote"]),
        (
            {"user_id": None, "event_time": "x", "quantity": "-1", "value": "-2"},
            [
                "user_id_missing",
                "event_time_invalid",
                "quantity_not_positive",
                "value_not_positive",
            ],
        ),
        ({"value": None}, None),
        ({"value": "1e2"}, None),
        ({"item_id": "\U0001f34e" * 255}, None),
        ({"item_id": "'; DROP TABLE x; --/../=1+1\"\\"}, None),
        ({"event_time": "2024-01-09T23:59:59.999999Z"}, None),
    ],
)
def test_rules(judged: Judge, change: dict[str, Any], rules: list[str] | None) -> None:
    [row] = judged(change)
    assert row["rules"] == rules
    assert set(rules or []) <= set(silver.RULES)


def test_a_rejected_row_keeps_the_delivered_record(judged: Judge) -> None:
    change = {"user_id": " ", "item_id": 'a"\0', "extra": {"note": "n"}, "quantity": "-0"}
    [row] = judged(change)
    assert json.loads(row["record"]) == GOOD | change | {
        **LINEAGE,
        "ingest_date": "2024-01-10",
        "row_number": 1,
    }


def test_an_unknown_kind_of_event_is_rejected_and_only_purchases_need_a_value(
    judged: Judge,
) -> None:
    kinds = ["rating", "VIEW", "refund", None]
    rows = judged(*[{"event_type": kind, "value": "-1"} for kind in kinds])
    assert [row["rules"] for row in rows] == [
        None,
        None,
        ["event_type_unknown"],
        ["event_type_unknown"],
    ]


def test_value_is_quantity_times_unit_price_where_there_is_none(judged: Judge) -> None:
    rows = judged(
        {"value": None, "unit_price": "1.5", "quantity": "4"},
        {"value": "5", "unit_price": "1.5", "quantity": "4"},
        {"value": None, "unit_price": "-1.5"},
        {"value": None, "unit_price": "free"},
    )
    assert [(row["value"], row["rules"]) for row in rows] == [
        (6.0, None),
        (5.0, None),
        (-3.0, ["value_not_positive"]),
        (None, ["unit_price_invalid"]),
    ]


def test_quantity_is_one_where_the_source_has_none(judged: Judge) -> None:
    columns = {k: v for k, v in EVENTS["columns"].items() if k != "quantity"}
    [row] = judged({"quantity": None, "value": None, "unit_price": "2"}, columns=columns)
    assert (row["quantity"], row["value"], row["rules"]) == (1.0, 2.0, None)


@pytest.mark.parametrize(
    ("decimal", "thousands", "numbers"),
    [
        (",", ".", {"1,5": 1.5, "1.234,5": 1234.5, "-12.345.678": -12345678, "1234": 1234}),
        # A thousands point among two digits, or none at all, would make 15 of 1.5.
        (",", ".", {"1.5": None, "1.23,4": None, "1234.567,8": None, "1,2,3": None}),
        (",", None, {"1,5": 1.5, "1.5": None, "1.234,5": None}),
        (".", ",", {"1,234.5": 1234.5, "1.5": 1.5, "1,5": None}),
        (".", "'", {"1'234.5": 1234.5, "1\u2019234": 1234}),
        (",", " ", {"1 234,5": 1234.5, "1\u202f234": 1234, "1\u00a0234": 1234, "12 34": None}),
    ],
)
def test_decimal_and_thousands_are_what_the_mapping_says(
    judged: Judge, decimal: str, thousands: str | None, numbers: dict[str, float | None]
) -> None:
    rows = judged(
        *[{"discount": text, "value": "3"} for text in numbers],
        decimal=decimal,
        thousands=thousands,
    )
    assert [row["discount"] for row in rows] == list(numbers.values())
    assert [row["rules"] for row in rows] == [
        None if number is not None else ["discount_invalid"] for number in numbers.values()
    ]


def test_a_session_stands_in_for_an_absent_user_under_a_name_of_its_own(judged: Judge) -> None:
    rows = judged(
        {"user_id": " ", "order_id": "s1"},
        {"user_id": "s1", "order_id": "s1"},
        {"user_id": None, "order_id": None},
        {"user_id": "order_id:s1", "order_id": "s2"},
        columns=EVENTS["columns"] | {"order_id": "session"},
        user_fallback="order_id",
    )
    assert [(row["user_id"], row["rules"]) for row in rows] == [
        ("order_id:s1", None),
        ("s1", None),
        (None, ["user_id_missing"]),
        ("order_id:s1", ["user_id_reserved"]),
    ]


@pytest.mark.parametrize(
    ("time_format", "zone", "text", "expected"),
    [
        ("iso", "UTC", "2024-01-09", "2024-01-09T00:00:00"),
        ("iso", "UTC", "2024-01-09T08:30", "2024-01-09T08:30:00"),
        ("iso", "UTC", "2024-01-09 08:30:15.25", "2024-01-09T08:30:15.250000"),
        ("iso", "UTC", "2024-01-09T08:30:15+02:00", "2024-01-09T06:30:15"),
        ("iso", "UTC", "2024-01-09T08:30:15-0530", "2024-01-09T14:00:15"),
        ("iso", "UTC", "2024-01-09T08:30Z", "2024-01-09T08:30:00"),
        ("iso", "UTC", "2024-01-09 08:30 +02:00", "2024-01-09T06:30:00"),
        ("iso", "UTC", "2024-01-09 08:30:15 +0200", "2024-01-09T06:30:15"),
        ("iso", "UTC", "2024-01-09 08:30:15 Europe/Berlin", None),
        ("iso", "Europe/London", "2023-06-09 08:30:00", "2023-06-09T07:30:00"),
        ("iso", "Europe/London", "2024-01-09", "2024-01-09T00:00:00"),
        ("iso", "Europe/London", "2023-06-09T08:30:00Z", "2023-06-09T08:30:00"),
        # 02:30 does not exist on that day in Berlin, and exists twice on this one.
        ("iso", "Europe/Berlin", "2023-03-26 02:30:00", "2023-03-26T01:30:00"),
        ("iso", "Europe/Berlin", "2023-10-29 02:30:00", "2023-10-29T00:30:00"),
        ("epoch_seconds", "Europe/Berlin", "881250949", "1997-12-04T15:55:49"),
        ("epoch_seconds", "UTC", "881250949.5", "1997-12-04T15:55:49.500000"),
        ("epoch_seconds", "UTC", "8.81250949e8", "1997-12-04T15:55:49"),
        ("epoch_seconds", "UTC", "-1", None),
        ("epoch_seconds", "UTC", "1e300", None),
        ("epoch_seconds", "UTC", "NaN", None),
        ("epoch_seconds", "UTC", "881250949000", None),
        ("epoch_millis", "UTC", "881250949250", "1997-12-04T15:55:49.250000"),
        ("epoch_micros", "Asia/Tokyo", "881250949250001", "1997-12-04T15:55:49.250001"),
        ("dd/MM/yyyy HH:mm", "UTC", "09/01/2024 08:30", "2024-01-09T08:30:00"),
        ("dd/MM/yyyy HH:mm", "Asia/Tokyo", "09/01/2024 08:30", "2024-01-08T23:30:00"),
        ("dd/MM/yyyy HH:mm", "UTC", "31/02/2024 08:30", None),
        ("dd/MM/yyyy HH:mm XXX", "Asia/Tokyo", "09/01/2024 08:30 +01:00", "2024-01-09T07:30:00"),
        ("yyyy'X'MM dd", "Asia/Tokyo", "2024X01 09", "2024-01-08T15:00:00"),
    ],
)
def test_times_become_utc(
    judged: Judge, time_format: str, zone: str, text: str, expected: str | None
) -> None:
    [row] = judged({"event_time": text}, time_format=time_format, time_zone=zone)
    found = row["event_ts"]
    assert (found and found.isoformat()) == expected
    assert row["rules"] == (None if expected else ["event_time_invalid"])


def test_the_future_begins_with_the_night_in_utc_and_in_the_source_s_zone(judged: Judge) -> None:
    late_evening, next_day = {"event_time": "2024-01-09 23:00"}, {"event_time": "2024-01-10 00:00"}
    in_chicago = judged(late_evening, next_day, time_zone="America/Chicago")
    assert [(row["event_date"], row["days_late"], row["rules"]) for row in in_chicago] == [
        (date(2024, 1, 10), 0, None),
        (date(2024, 1, 10), 0, ["event_time_in_future"]),
    ]
    in_tokyo = judged({"event_time": "2024-01-10 08:00"}, time_zone="Asia/Tokyo")
    assert [row["rules"] for row in in_tokyo] == [None]


def test_a_late_event_counts_its_days(judged: Judge) -> None:
    rows = judged({"event_time": "2024-01-08"}, {"event_time": "2023-12-09"})
    assert [row["days_late"] for row in rows] == [1, 31]


def test_replacements_come_before_rejections_and_types(judged: Judge) -> None:
    rows = judged(
        {"user_id": "17850.0", "order_id": "C1", "quantity": "1,5"},
        {"order_id": None, "item_id": "POST"},
        replacements=[
            {"column": "user_id", "pattern": r"\.0$"},
            {"column": "quantity", "pattern": ",", "replacement": "."},
        ],
        reject=[
            {"name": "cancellation", "column": "order_id", "pattern": "^C"},
            {"name": "no_order", "column": "order_id", "pattern": "^$"},
            {"name": "not_a_product", "column": "item_id", "pattern": "^(POST|DOT)$"},
        ],
    )
    assert [(row["user_id"], row["quantity"], row["rules"]) for row in rows] == [
        ("17850", 1.5, ["cancellation"]),
        ("u", 2.0, ["no_order", "not_a_product"]),
    ]


def test_an_event_is_the_same_however_it_is_written(judged: Judge) -> None:
    rows = judged(
        {},
        {"user_id": " u ", "quantity": "2.0", "event_time": "2024-01-09T12:00Z"},
        {"quantity": "3"},
        {"source": "other"},
    )
    ids = [row["event_id"] for row in rows]
    assert [ids.index(event_id) for event_id in ids] == [0, 0, 2, 3]
    keyed = judged({}, {"quantity": "3"}, {"order_id": "o"}, duplicate_key=["user_id", "order_id"])
    assert keyed[0]["event_id"] == keyed[1]["event_id"] != keyed[2]["event_id"]


def test_items_are_trimmed_and_their_tags_sorted(spark: SparkSession) -> None:
    rows: list[dict[str, Any]] = [
        {
            "item_id": " 1",
            "title": " A ",
            "department": "",
            "tags": "War| Drama||War|\u00c9",
        },
        {"item_id": "2", "title": None, "tags": None},
        {"item_id": None, "title": "Nothing"},
    ]
    bronze = [
        LINEAGE | {"source": "products", "row_number": number} | row
        for number, row in enumerate(rows, start=1)
    ]
    judged = silver.judge_items(frame(spark, BRONZE_ITEMS, bronze), SourceMapping(**ITEMS))
    found = [
        {name: row[name] for name in ("item_id", "title", "department", "tags", "rules")}
        for row in sorted(rows_of(judged), key=lambda row: row["row_number"])
    ]
    assert found == [
        {
            "item_id": "1",
            "title": "A",
            "department": None,
            "tags": ["Drama", "War", "\u00c9"],
            "rules": None,
        },
        {"item_id": "2", "title": None, "department": None, "tags": [], "rules": None},
        {
            "item_id": None,
            "title": "Nothing",
            "department": None,
            "tags": [],
            "rules": ["item_id_missing"],
        },
    ]


def test_users_keep_the_attributes_that_are_known(spark: SparkSession) -> None:
    rows = [
        LINEAGE | {"user_id": "u", "attributes": {"age": " 35-44 ", "town": " ", "x": None}},
        LINEAGE | {"user_id": "v", "attributes": None},
    ]
    judged = silver.judge_users(frame(spark, BRONZE_USERS, rows), SourceMapping(**USERS))
    assert [(row["user_id"], row["attributes"], row["rules"]) for row in rows_of(judged)] == [
        ("u", {"age": "35-44"}, None),
        ("v", {}, None),
    ]


def test_repeated_events_are_marked_within_the_night_and_across_nights(
    spark: SparkSession,
) -> None:
    places = [
        # event, file, row, repeated?, in its file?
        ("e1", "a", 1, False, False),
        ("e1", "a", 2, True, True),
        ("e1", "b", 1, True, False),
        ("e2", "b", 2, False, False),
        ("e3", "a", 10, False, False),
        ("e3", "b", 3, True, False),
        ("known", "a", 4, True, False),
        ("known", "a", 5, True, True),
    ]
    rows = [
        {"event_id": event, "source_file": file, "row_number": number}
        for event, file, number, _, _ in places
    ]
    rows.append({"event_id": "e2", "source_file": "a", "row_number": 6, "rejected": True})
    judged = _judged_events(spark, rows)
    others = frame(spark, SILVER_INTERACTIONS, [{"event_id": "known"}, {"event_id": "else"}])
    marked = silver.mark_duplicates(judged, silver.repeated_events(judged, others))
    found = {
        (r["source_file"], r["row_number"]): (r["is_duplicate"], r["in_file"])
        for r in rows_of(marked)
    }
    assert found == {
        (file, number): (is_repeat, in_file) for _, file, number, is_repeat, in_file in places
    } | {("a", 6): (False, False)}
    assert marked.count() == len(rows)


def _judged_events(spark: SparkSession, rows: list[dict[str, Any]]) -> DataFrame:
    clean = [{k: v for k, v in row.items() if k != "rejected"} for row in rows]
    rejected = [(r["source_file"], r["row_number"]) for r in rows if r.get("rejected")]
    place = F.struct("source_file", "row_number")
    is_rejected = F.lit(False)
    for file, number in rejected:
        is_rejected |= place == F.struct(F.lit(file), F.lit(number).cast("long"))
    return frame(spark, SILVER_INTERACTIONS, clean).withColumns(
        {
            "rules": F.when(is_rejected, F.array(F.lit("corrupt_record"))),
            "record": F.when(is_rejected, F.lit("{}")),
        }
    )


def test_the_last_titled_row_of_an_item_is_in_force(spark: SparkSession) -> None:
    rows = [
        ("1", "a", 1, "old", True),
        ("1", "b", 1, "new", False),
        ("1", "b", 2, None, True),
        ("2", "a", 2, None, True),
        ("2", "a", 3, None, False),
        ("3", "a", 4, "only", False),
    ]
    bronze = [
        LINEAGE | {"item_id": item, "source_file": file, "row_number": number, "title": title}
        for item, file, number, title, _ in rows
    ]
    judged = silver.judge_items(frame(spark, BRONZE_ITEMS, bronze), SourceMapping(**ITEMS))
    superseded = silver.superseded_rows(judged, "item_id", prefer="title")
    marked = rows_of(silver.mark_duplicates(judged, superseded))
    assert {(r["source_file"], r["row_number"]): r["is_duplicate"] for r in marked} == {
        (file, number): is_superseded for _, file, number, _, is_superseded in rows
    }


def test_the_judged_rows_split_into_silver_and_quarantine(spark: SparkSession) -> None:
    rows = [LINEAGE | GOOD | {"row_number": n, "user_id": u} for n, u in ((1, "u"), (2, None))]
    source = SourceMapping(**EVENTS)
    judged = silver.judge(frame(spark, BRONZE_EVENTS, rows), source, night=NIGHT)
    marked = silver.mark_duplicates(
        judged, silver.repeated_events(judged, frame(spark, SILVER_INTERACTIONS, []))
    )
    kept = silver.kept(marked, SILVER_INTERACTIONS)
    rejected = silver.rejected(marked, BRONZE_EVENTS)
    assert kept.columns == list(SILVER_INTERACTIONS.column_names)
    assert [row["row_number"] for row in rows_of(kept)] == [1]
    assert rejected.columns == list(QUARANTINE.column_names)
    [row] = rows_of(rejected)
    assert (row["table_name"], row["rules"]) == ("bronze.events", ["user_id_missing"])


TEXT = st.one_of(
    st.none(),
    st.text(max_size=20),
    st.sampled_from(
        ["NaN", "-1", "0", "1", "2.5", "1e400", "2024-01-09", "2024-01-10", "purchase"]
    ),
    st.sampled_from(
        ["", "\0", "\U0001f34e", "\ufffd", "x" * 10_240, '"', "'", "\\", "=1+1", "C1", "u", "i"]
    ),
)
ROWS = st.lists(
    st.fixed_dictionaries(dict.fromkeys(mappable_columns("events"), TEXT)),
    min_size=60,
    max_size=120,
)


@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
@given(rows=ROWS)
def test_every_row_is_kept_rejected_or_a_duplicate(
    spark: SparkSession, rows: list[dict[str, Any]]
) -> None:
    numbered = [LINEAGE | row | {"row_number": n} for n, row in enumerate(rows, start=1)]
    source = SourceMapping(
        **EVENTS | {"columns": {n: n for n in mappable_columns("events")}} | {"constants": {}}
    )
    bronze = frame(spark, BRONZE_EVENTS, numbered).persist()
    judged = silver.judge(bronze, source, night=NIGHT)
    nothing = frame(spark, SILVER_INTERACTIONS, [])
    marked = silver.mark_duplicates(judged, silver.repeated_events(judged, nothing)).persist()
    kept = rows_of(silver.kept(marked, SILVER_INTERACTIONS))
    rejected = rows_of(silver.rejected(marked, BRONZE_EVENTS))
    duplicates = rows_of(marked.where("is_duplicate"))
    places = [row["row_number"] for row in (*kept, *rejected, *duplicates)]
    assert sorted(places) == list(range(1, len(rows) + 1))
    assert len({row["event_id"] for row in kept}) == len(kept)
    assert {row["event_id"] for row in duplicates} <= {row["event_id"] for row in kept}
    for row in kept:
        assert row["user_id"].strip() == row["user_id"] != ""
        assert "\0" not in row["user_id"] + row["item_id"]
        assert row["quantity"] > 0
        assert row["event_date"] < NIGHT
    by_place = {row["row_number"]: row for row in numbered}
    for row in rejected:
        delivered = {k: v for k, v in by_place[row["row_number"]].items() if v is not None}
        assert json.loads(row["record"]) == delivered | {"ingest_date": NIGHT.isoformat()}
        assert set(row["rules"]) <= set(silver.RULES)
    bronze.unpersist()
    marked.unpersist()


def test_judged_columns_are_those_of_the_silver_tables(spark: SparkSession) -> None:
    for bronze, source, target in (
        (BRONZE_EVENTS, EVENTS, SILVER_INTERACTIONS),
        (BRONZE_ITEMS, ITEMS, SILVER_ITEMS),
        (BRONZE_USERS, USERS, SILVER_USERS),
    ):
        judged = silver.judge(frame(spark, bronze, []), SourceMapping(**source), night=NIGHT)
        assert judged.columns == [*target.column_names, "rules", "record"]
