"""What the API kept of a day, taken in by the next night: to bronze, to silver, to gold."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.config.settings import Settings
from jobs.night.feedback_daily import build_feedback_daily
from jobs.steps import clean, ingest
from lakehouse.io import arrow
from lakehouse.io.lake import Lakehouse
from lakehouse.tables import (
    BRONZE_FEEDBACK,
    FEEDBACK_DAILY,
    LINEAGE_COLUMNS,
    QUARANTINE,
    RECOMMENDATIONS,
    ROW_ACCOUNTING,
    SILVER_FEEDBACK,
    SILVER_INTERACTIONS,
)
from serving.feedback.events import Event, EventType
from serving.feedback.journal import Journal
from tests.landed import EVENTS, HEADER, land, settings_of
from tests.rows import put, stored

DAY = date(2024, 3, 2)
NIGHT, NEXT = DAY + timedelta(days=1), DAY + timedelta(days=2)
RELEASE = f"{DAY}-bbbbbbbb"
OF_ANN = f"{RELEASE}.discover.user.candidate.0badcafe"
OF_ALL = f"{RELEASE}.popular.global.-.0badcafe"
NOON = datetime(2024, 3, 2, 12, tzinfo=UTC)


def event(
    event_id: str,
    kind: EventType,
    item: str,
    *,
    of: str | None = OF_ANN,
    position: int | None = None,
    user: str = "ann",
    **values: Any,
) -> Event:
    return Event(
        event_id=event_id,
        event_type=kind,
        user_id=user,
        item_id=item,
        event_time=NOON,
        recommendation_id=of,
        position=position,
        **values,
    )


def keep(settings: Settings, *events: Event, day: date = DAY) -> None:
    """The API's own journal of one day."""
    now = datetime(day.year, day.month, day.day, 20, tzinfo=UTC)
    journal = Journal(settings.paths.landing / "feedback", lambda: now)
    journal.append(events)
    journal.close()


def line(event_id: str, **values: Any) -> str:
    """A line that the API would not write."""
    known = {"event_id": event_id, "user_id": "ann", "item_id": "tea", "event_type": "click"}
    return json.dumps(known | {"event_time": "2024-03-02T12:00:00Z"} | values)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = settings_of(tmp_path, EVENTS)
    land(settings, f"{DAY}.csv", HEADER, f"ann,tea,{DAY},1,2.5")
    return settings


@pytest.fixture
def lists(lake: Lakehouse) -> None:
    """The lists of the release that was served on the day."""
    of_ann = {"list": "discover", "user_id": "ann", "tier": "user", "source": "two_stage"}
    places = [
        of_ann | {"rank": 1, "item_id": "tea", "reason_code": "taste"},
        of_ann | {"rank": 2, "item_id": "jam", "reason_code": "new", "source": "exploration"},
        of_ann | {"rank": 1, "item_id": "tea", "reason_code": "other's", "user_id": "bob"},
        {"list": "popular", "user_id": "", "tier": "global", "rank": 1, "item_id": "tea"}
        | {"source": "popularity", "reason_code": "popular"},
    ]
    put(
        lake.root,
        RECOMMENDATIONS,
        [place | {"release": RELEASE} for place in places],
        {"run_date": DAY},
    )


def accounted(lake: Lakehouse, night: date) -> tuple[int, ...]:
    (row,) = [
        row
        for row in stored(lake.root, ROW_ACCOUNTING)
        if (row["table_name"], row["ingest_date"]) == ("bronze.feedback", night)
    ]
    return tuple(row[f"{place}_rows"] for place in ("bronze", "silver", "quarantine", "duplicate"))


def test_a_day_s_feedback_comes_to_silver_and_gold_once(
    lake: Lakehouse, settings: Settings, lists: None
) -> None:
    keep(
        settings,
        event("1", "impression", "tea", position=1),
        event("2", "impression", "jam", position=2),
        event("3", "click", "jam"),
        event("4", "purchase", "jam", value=2.5, quantity=2),
        event("5", "impression", "tea", of=OF_ALL, position=1, user="eve"),
        event("6", "dismissal", "tea", of=None),
    )
    # The same event in another process's file, and what no process of ours writes.
    land(
        settings,
        f"feedback/{DAY}.0.jsonl",
        line("1"),
        line("7", event_type="stare", position=1.5, propensity=2),
        line("8", event_time="2024-03-03T00:00:00Z", received_at="soon"),
        '{"event_id": "9"',
    )
    ingest.run(lake, settings, run_date=NIGHT)
    # As if it had been killed before it wrote these rows.
    nothing = arrow.arrow_schema(BRONZE_FEEDBACK).empty_table()
    arrow.replace(lake.root, BRONZE_FEEDBACK, nothing, {"ingest_date": NIGHT})
    ingest.run(lake, settings, run_date=NIGHT)
    report = clean.run(lake, settings, run_date=NIGHT)
    built = build_feedback_daily(lake, settings, NIGHT)

    assert accounted(lake, NIGHT) == (10, 6, 3, 1)
    assert report.rows["silver.feedback"] == 6
    assert report.facts["quarantine_by_rule"] == {
        "corrupt_record": 1,
        "event_time_in_future": 1,
        "event_type_unknown": 1,
        "position_invalid": 1,
        "propensity_invalid": 1,
        "received_at_invalid": 1,
    }
    assert {row["table_name"] for row in stored(lake.root, QUARANTINE)} == {"bronze.feedback"}
    # A third was rejected: the night goes on and says so.
    assert any("bronze.feedback rows rejected" in warning for warning in report.warnings)
    # The shop's own order is the only event that anything counts or learns from.
    assert [row["event_type"] for row in stored(lake.root, SILVER_INTERACTIONS)] == ["purchase"]

    silver = {row["event_id"]: row for row in stored(lake.root, SILVER_FEEDBACK)}
    # Of equal events that of the first file by name stays.
    assert {name: row["source_file"] for name, row in silver.items()}.pop("1").endswith(".0.jsonl")
    assert {name: v for name, v in silver["4"].items() if name not in LINEAGE_COLUMNS} == {
        "event_id": "4",
        "user_id": "ann",
        "item_id": "jam",
        "event_type": "purchase",
        "event_ts": NOON,
        "event_date": DAY,
        "value": 2.5,
        "quantity": 2.0,
        "surface": "discover",
        "position": None,
        "tier": "user",
        "release": RELEASE,
        "recommendation_id": OF_ANN,
        "arm": "candidate",
        "propensity": None,
        "received_at": datetime(2024, 3, 2, 20, tzinfo=UTC),
    }

    # Event 1 is a click without a list now, as is the dismissal.
    assert (built.rows, built.of_no_list) == (2, 2)
    none: dict[str, Any] = dict.fromkeys(
        ("impressions", "clicks", "carts", "purchases", "ratings"), 0
    )
    none |= {"dismissals": 0, "run_date": NIGHT, "event_date": DAY, "release": RELEASE}
    of_jam = {"surface": "discover", "position": 2, "source": "exploration", "reason_code": "new"}
    of_tea = {"surface": "popular", "position": 1, "source": "popularity", "reason_code": "popular"}
    jam = none | of_jam | {"arm": "candidate", "impressions": 1, "clicks": 1, "purchases": 1}
    tea = none | of_tea | {"arm": "", "impressions": 1}
    assert sorted(stored(lake.root, FEEDBACK_DAILY), key=lambda row: row["surface"]) == [
        jam | {"ctr": 1.0, "conversion": 1.0},
        tea | {"ctr": 0.0, "conversion": 0.0},
    ]

    # Days later, or from a server with another index, the client sends an event again.
    before = {table: stored(lake.root, table) for table in (SILVER_FEEDBACK, FEEDBACK_DAILY)}
    land(settings, f"feedback/{NIGHT}.1.jsonl", line("2"), line("10", release=RELEASE))
    land(settings, f"{NIGHT}.csv", HEADER)
    ingest.run(lake, settings, run_date=NEXT)
    for night in (NEXT, NIGHT):
        clean.run(lake, settings, run_date=night)
        build_feedback_daily(lake, settings, night)
    assert accounted(lake, NEXT) == (2, 1, 0, 1)
    after = stored(lake.root, SILVER_FEEDBACK)
    assert [row["event_id"] for row in after if row["ingest_date"] == NEXT] == ["10"]
    assert [row for row in after if row["ingest_date"] == NIGHT] == before[SILVER_FEEDBACK]
    # The late click names a release, but no surface.
    assert stored(lake.root, FEEDBACK_DAILY) == before[FEEDBACK_DAILY]
