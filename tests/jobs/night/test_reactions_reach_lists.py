"""Feedback in the lake shapes the lists of its users, and only what was heard before the night."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from jobs.config.settings import Settings
from jobs.night.inputs import newest_versions, read_gold, read_nights
from jobs.night.lists import served_lists
from jobs.night.recipes import served_policy
from lakehouse.tables import ITEM_FEATURES, SILVER_FEEDBACK, USER_FEATURES
from models.core.assortment import Assortment
from models.lists.published import Published
from models.recommenders.ease import Ease
from models.tracking.versions import Provenance
from tests.nights import COUNTS, NIGHT, POPULARITY, Event, settings_in, write_lake
from tests.rows import put

GOODS = ("bread", "eggs", "jam", "milk", "tea")
# All take bread and milk; how many take the others is the order in which they are new to Ann.
EVENTS = [
    *(Event(user, item, 5) for user in ("ann", "bob", "cid", "dan") for item in ("bread", "milk")),
    *(Event(user, "eggs", 5) for user in ("bob", "cid", "dan")),
    *(Event(user, "jam", 5) for user in ("bob", "cid")),
    Event("bob", "tea", 5),
]
SOON = NIGHT + timedelta(days=1)


def heard(kind: str, item: str, *, user: str = "ann", days_ago: int = 1) -> dict[str, Any]:
    day = NIGHT - timedelta(days=days_ago)
    return {
        "event_id": f"{user}-{kind}-{item}-{days_ago}",
        "event_type": kind,
        "user_id": user,
        "item_id": item,
        "event_date": day,
        "event_ts": datetime.combine(day, time(12), UTC),
    }


def keep(settings: Settings, *rows: dict[str, Any], night: date = NIGHT) -> None:
    put(settings.paths.lake, SILVER_FEEDBACK, rows, {"ingest_date": night})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = settings_in(tmp_path, size=4)
    write_lake(settings, EVENTS, {item: {"sellable": True} for item in GOODS})
    return settings


def lists(settings: Settings, folder: Path) -> dict[tuple[str, str], list[str]]:
    """The items of everybody's lists, by list and user, from a model that was saved and loaded."""
    lake, versions = settings.paths.lake, newest_versions(settings.paths.lake)
    today = read_nights(settings, versions, run_date=NIGHT).today
    by_list = {"all": COUNTS.build().fit(today), "discover": POPULARITY.build().fit(today)}
    Published(by_list, Ease().fit(today), Assortment.of(today, 30.0)).save(folder)
    users, items = (
        read_gold(lake, table, versions, NIGHT, NIGHT) for table in (USER_FEATURES, ITEM_FEATURES)
    )
    rows = pd.concat(
        served_lists(
            settings,
            Provenance(NIGHT, versions, settings.digest(), 42),
            Published.load(folder),
            users["user_id"],
            items,
            policy=served_policy(settings, NIGHT),
            shelf=None,
        )
    )
    made: dict[tuple[str, str], list[str]] = {}
    for row in rows.to_dict("records"):
        made.setdefault((row["list"], row["user_id"]), []).append(row["item_id"])
    return made


def test_who_reacted_gets_other_lists_and_nobody_else(settings: Settings, tmp_path: Path) -> None:
    before = lists(settings, tmp_path / "before")
    assert before["discover", "ann"] == ["eggs", "jam", "tea"]
    assert before["all", "ann"][:2] == ["bread", "milk"]
    keep(
        settings,
        # Ten times without a click: from the first place to behind the third.
        *(heard("impression", "eggs", days_ago=ago) for ago in range(1, 11)),
        heard("dismissal", "milk"),
        heard("purchase", "jam", user="dan", days_ago=2),
        # Neither the night's own day, nor whom or what nobody knows.
        heard("dismissal", "bread", days_ago=0),
        heard("dismissal", "bread", user="eve"),
        heard("dismissal", "wine"),
    )
    # What a later night takes in was not known.
    keep(settings, heard("dismissal", "tea"), night=SOON)
    after = lists(settings, tmp_path / "after")
    assert after.pop(("discover", "ann")) == ["jam", "eggs", "tea"]
    assert after.pop(("all", "ann")) == ["bread", "eggs", "jam", "tea"]
    assert "jam" in before["discover", "dan"]
    assert after.pop(("discover", "dan")) == ["tea"]
    assert after == {key: before[key] for key in after}


def test_past_nights_know_what_was_heard_before_them(settings: Settings) -> None:
    assert (
        read_nights(settings, newest_versions(settings.paths.lake), run_date=NIGHT).today.reactions
        is None
    )
    keep(settings, heard("dismissal", "eggs", days_ago=8), heard("dismissal", "tea", days_ago=3))
    nights = read_nights(settings, newest_versions(settings.paths.lake), run_date=NIGHT)
    known = [night.reactions for night in (nights.today, nights.test, nights.validation)]
    assert [of and of.dismissed.nnz for of in known] == [2, 1, None]
