"""Lists, reasons and release of a small night, to the row."""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jobs.config.settings import Settings
from jobs.night.release import release_id
from jobs.steps import gate, recommend
from lakehouse.errors import DataError, DataQualityError
from lakehouse.io import arrow
from lakehouse.tables import RECOMMENDATIONS
from models.lists import keyed
from models.lists.reasons import explained, reason_codes, reasons
from tests.nights import COUNTS, NIGHT, POPULARITY, Event, plant, settings_in, write_lake

EVENTS = [
    Event("ann", "milk", 10),
    Event("ann", "milk", 20),
    Event("ann", "bread", 5),
    Event("bob", "milk", 1),
    Event("bob", "eggs", 2),
    Event("bob", "wine", 1),
    Event("bob", "wine", 3),
]
ITEMS: dict[str, dict[str, Any]] = {
    "milk": {"sellable": True, "title": "Milk, 1 l", "category": "DAIRY"},
    "bread": {"sellable": True},
    "eggs": {"sellable": True, "title": "Eggs", "category": "DAIRY"},
    "wine": {"sellable": False, "title": "Wine"},
}


def decayed(half_life: float, *days: int) -> float:
    return float(np.float32(sum(0.5 ** (day / half_life) for day in days)))


MILK = ("milk", "Milk, 1 l", decayed(30, 1, 10, 20), "popularity", "Popular right now")
EGGS = ("eggs", "Eggs", decayed(30, 2), "popularity", "Popular right now")
BREAD = ("bread", None, decayed(30, 5), "popularity", "Popular right now")
EXPECTED = [
    ("all", "ann", 1, "milk", "Milk, 1 l", decayed(120, 10, 20), "decayed_counts",
     "You bought it twice, last 10 days ago"),
    ("all", "ann", 2, "bread", None, decayed(120, 5), "decayed_counts",
     "You bought it once, 5 days ago"),
    ("all", "ann", 3, *EGGS),
    ("all", "bob", 1, "milk", "Milk, 1 l", decayed(120, 1), "decayed_counts",
     "You bought it once, 1 day ago"),
    ("all", "bob", 2, "eggs", "Eggs", decayed(120, 2), "decayed_counts",
     "You bought it once, 2 days ago"),
    ("all", "bob", 3, *BREAD),
    ("discover", "ann", 1, *EGGS),
    ("discover", "bob", 1, *BREAD),
    ("fallback", "", 1, *MILK),
    ("fallback", "", 2, *EGGS),
    ("fallback", "", 3, *BREAD),
    ("new", "", 1, *MILK[:-1], "New in the range"),
    ("new", "", 2, *EGGS[:-1], "New in the range"),
    ("new", "", 3, *BREAD[:-1], "New in the range"),
]  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = settings_in(tmp_path, size=3)
    write_lake(settings, EVENTS, ITEMS)
    plant(settings, {"all": COUNTS, "discover": POPULARITY})
    gate.run(settings, run_date=NIGHT)
    return settings


def written(settings: Settings) -> pd.DataFrame:
    rows = arrow.read(settings.paths.lake, RECOMMENDATIONS).to_pylist()
    return pd.DataFrame(rows, dtype=object).sort_values(
        ["list", "user_id", "rank"], ignore_index=True
    )


def test_every_user_gets_their_lists_and_a_second_run_writes_the_same(settings: Settings) -> None:
    report = recommend.run(settings, run_date=NIGHT)

    versions = {
        "silver.interactions": 1,
        "gold.user_item_features": 1,
        "gold.user_features": 1,
        "gold.item_features": 1,
    }
    release = release_id(NIGHT, "topshelf/1", versions, settings.digest(), 42)
    columns = ["list", "user_id", "rank", "item_id", "title", "score", "source", "reason"]
    expected = pd.DataFrame(EXPECTED, columns=columns, dtype=object).assign(
        run_date=NIGHT, model_version="topshelf/1", release=release
    )
    codes = {"Popular right now": "popular", "New in the range": "new"}
    expected["reason_code"] = expected["reason"].map(codes).fillna("again")
    expected["tier"] = expected["user_id"].map(lambda user: "user" if user else "global")
    expected["rules"] = [[] for _ in range(len(expected))]
    expected["spare"] = False
    expected = expected[list(RECOMMENDATIONS.column_names)]
    first = written(settings)
    pd.testing.assert_frame_equal(first, expected, check_dtype=False)
    assert report.rows == {"gold.recommendations": 14}
    facts = dict(report.facts)
    assert facts.pop("sources") == {
        "all": {"decayed_counts": 0.6667, "popularity": 0.3333},
        "discover": {"popularity": 1.0},
        "fallback": {"popularity": 1.0},
        "new": {"popularity": 1.0},
    }
    assert facts == {
        "release": release,
        "model_version": "topshelf/1",
        "table_versions": versions,
        "configuration": settings.digest(),
        "seed": 42,
        "recommendations_version": 1,
        "users": 2,
        "size": 3,
        "methods": {"all": "decayed_counts", "discover": "popularity"},
    }
    assert report.warnings[0].startswith("gold.recommendations")
    json.dumps(report.facts)

    recommend.run(settings, run_date=NIGHT)
    pd.testing.assert_frame_equal(written(settings), first)


def test_a_model_trained_under_another_configuration_is_pointed_out(settings: Settings) -> None:
    shorter = settings.recommend.model_copy(update={"size": 2})
    changed = settings.model_copy(update={"recommend": shorter})
    usual = recommend.run(settings, run_date=NIGHT)
    report = recommend.run(changed, run_date=NIGHT)
    assert report.warnings[len(usual.warnings) :] == (
        "topshelf/1 was trained under another configuration, so `topshelf reproduce` will not give "
        "these lists. Train again to have both of one piece.",
    )
    assert report.facts["release"] != usual.facts["release"]


def test_features_written_since_the_training_are_not_mixed_in(settings: Settings) -> None:
    recommend.run(settings, run_date=NIGHT)
    first = written(settings)
    write_lake(settings, [*EVENTS, Event("cid", "eggs", 1)], {"eggs": {"sellable": False}})
    recommend.run(settings, run_date=NIGHT)
    pd.testing.assert_frame_equal(written(settings), first)


def test_lists_of_items_that_may_not_be_sold_are_refused_and_the_table_stays(
    settings: Settings,
) -> None:
    recommend.run(settings, run_date=NIGHT)
    first = written(settings)
    plant(settings, {"all": COUNTS, "discover": POPULARITY}, sells_everything=True)
    gate.run(settings, run_date=NIGHT)
    with pytest.raises(DataQualityError, match="not known or not sellable"):
        recommend.run(settings, run_date=NIGHT)
    pd.testing.assert_frame_equal(written(settings), first)


def changed(settings: Settings, **recommend_fields: object) -> Settings:
    section = settings.recommend.model_copy(update=recommend_fields)
    return settings.model_copy(update={"recommend": section})


def test_new_items_get_their_share_of_what_is_new_to_the_user(tmp_path: Path) -> None:
    settings = changed(settings_in(tmp_path), size=2, new_item_share=0.5, new_item_days=7)
    events = [
        Event("ann", "milk", 10),
        *(Event("bob", item, 9) for item in "ab"),
        *(Event("bob", item, day) for day, item in enumerate("abc", 5)),
    ]
    items = {item: {"sellable": True} for item in ("milk", "a", "b", "c")}
    write_lake(settings, events, items)
    plant(settings, {"all": COUNTS, "discover": POPULARITY})
    gate.run(settings, run_date=NIGHT)
    report = recommend.run(settings, run_date=NIGHT)
    rows = written(settings)
    found = rows[(rows["list"] == "discover") & (rows["user_id"] == "ann")]
    assert found[["item_id", "source", "reason", "spare"]].to_numpy().tolist() == [
        ["a", "popularity", "Popular right now", False],
        ["c", "exploration", "New in the range", False],
        ["b", "popularity", "Popular right now", True],
    ]
    facts: Mapping[str, Any] = report.facts
    assert facts["sources"]["discover"] == {"popularity": 0.6667, "exploration": 0.3333}


def test_strangers_have_a_list_by_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed, "MINIMUM_USERS", 1)
    settings = changed(settings_in(tmp_path, size=2), contexts=("store_id",))
    events = [
        Event("ann", "milk", 1, "north"),
        Event("bob", "eggs", 2, "south"),
        Event("bob", "wine", 1, "south"),
    ]
    write_lake(settings, events, {"milk": {}, "eggs": {}, "wine": {"sellable": False}})
    plant(settings, {"all": COUNTS, "discover": POPULARITY})
    gate.run(settings, run_date=NIGHT)
    recommend.run(settings, run_date=NIGHT)
    rows = written(settings)
    nobodys = rows[rows["list"].isin(["fallback", "popular", "new"])]
    found = nobodys[["list", "user_id", "rank", "item_id", "score", "reason"]]
    milk, eggs = np.float32(0.5 ** (1 / 30)), np.float32(0.5 ** (2 / 30))
    # A shop's list goes on with what sells elsewhere.
    assert found.to_numpy().tolist() == [
        ["fallback", "", 1, "milk", milk, "Popular right now"],
        ["fallback", "", 2, "eggs", eggs, "Popular right now"],
        ["new", "", 1, "milk", milk, "New in the range"],
        ["new", "", 2, "eggs", eggs, "New in the range"],
        ["popular", "store_id=north", 1, "milk", milk, "Popular right now"],
        ["popular", "store_id=north", 2, "eggs", eggs, "Popular right now"],
        ["popular", "store_id=south", 1, "eggs", eggs, "Popular right now"],
        ["popular", "store_id=south", 2, "milk", milk, "Popular right now"],
    ]
    # An attribute that the configuration promises and nobody has tonight gives no list.
    recommend.run(changed(settings, contexts=("mood",)), run_date=NIGHT)
    assert set(written(settings)["list"]) == {"all", "discover", "fallback", "new"}


def test_contexts_of_events_and_of_their_time_have_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyed, "MINIMUM_USERS", 1)
    contexts = ("device", "weekday", "hour_slot")
    settings = changed(settings_in(tmp_path, size=1), contexts=contexts, spare_places=0)
    events = [Event("ann", "milk", 1), Event("bob", "eggs", 2), Event("bob", "eggs", 3)]
    write_lake(settings, events, {"milk": {"category": "DAIRY"}, "eggs": {}})
    plant(settings, {"all": COUNTS, "discover": POPULARITY})
    gate.run(settings, run_date=NIGHT)
    recommend.run(settings, run_date=NIGHT)
    rows = written(settings)
    popular = rows[rows["list"] == "popular"]
    # Events of whole days have no time; nobody has said on what device.
    assert popular[["user_id", "item_id", "tier"]].to_numpy().tolist() == [
        ["category=DAIRY", "milk", "context"],
        ["weekday=thu", "milk", "context"],
        ["weekday=tue", "eggs", "context"],
        ["weekday=wed", "eggs", "context"],
    ]


def ruled(settings: Settings, rule: str) -> Settings:
    path = settings.paths.lake.parent / "rules.toml"
    path.write_text(f'[[rules]]\nid = "r"\nowner = "us"\nreason = "so"\n{rule}\n')
    return changed(settings, rules=path)


def test_lists_are_as_short_as_rules_make_them_and_none_at_all_is_refused(
    settings: Settings,
) -> None:
    few = ruled(settings, 'kind = "at_most"\nper = "category"\nlimit = 1')
    plant(few, {"all": COUNTS, "discover": POPULARITY})
    gate.run(few, run_date=NIGHT)
    report = recommend.run(few, run_date=NIGHT)
    rows = written(settings)
    # Milk and eggs are of a category: one of them is shown, spare places included.
    assert rows[rows["list"] == "fallback"]["item_id"].tolist() == ["milk", "bread"]
    assert rows.groupby(["list", "user_id"]).size().max() == 2
    assert report.facts["size"] == 3

    none = ruled(settings, 'kind = "require"\nitems = { category = "SOAP" }')
    with pytest.raises(DataQualityError, match="rows of the list for unknown users"):
        recommend.run(none, run_date=NIGHT)
    pd.testing.assert_frame_equal(written(settings), rows)


def test_only_users_have_a_history_whatever_others_are_called() -> None:
    lists = pd.DataFrame(
        {
            "list": ["all", "popular", "all"],
            "user_id": ["store_id=1", "store_id=1", "ann"],
            "tier": ["user", "context", "user"],
            "item_id": ["milk", "milk", "milk"],
            "source": "counts",
            "about": None,
        }
    )
    pairs = pd.DataFrame(
        {
            "user_id": ["store_id=1"],
            "item_id": ["milk"],
            "events_total": [2],
            "days_since_last": [5],
        }
    )
    items = pd.DataFrame(
        {"item_id": ["milk"], "title": ["Milk"], "category": ["DAIRY"], "department": [None]}
    )
    together = pd.DataFrame(columns=["item_id", "related_item_id", "support", "baskets"])
    told = explained(lists, pairs, items, together, ["purchase"])
    assert told["reason_code"].tolist() == ["again", "similar_taste", "similar_taste"]
    assert told["user_id"].tolist() == lists["user_id"].tolist()


def test_lists_about_an_item_name_it_and_the_evidence() -> None:
    lists = pd.DataFrame(
        [
            ("bought_together", "milk", "item", "eggs", "bought_together", "milk"),
            ("bought_together", "gum", "item", "milk", "bought_together", "gum"),
            ("similar", "milk", "item", "eggs", "similar", "milk"),
            ("because_you_bought", "ann", "user", "eggs", "because_you_bought", "milk"),
            ("all", "ann", "user", "eggs", "counts", None),
        ],
        columns=["list", "user_id", "tier", "item_id", "source", "about"],
    )
    items = pd.DataFrame(
        {
            "item_id": ["milk", "eggs", "gum"],
            "title": ["Milk", "Eggs", None],
            "category": "DAIRY",
            "department": None,
        }
    )
    together = pd.DataFrame(
        {
            "item_id": ["milk", "gum", "eggs"],
            "related_item_id": ["eggs", "milk", "milk"],
            "support": [41, 3, 41],
            "baskets": [1310, 9, 77],
        }
    )
    pairs = pd.DataFrame(columns=["user_id", "item_id", "events_total", "days_since_last"])
    told = explained(lists, pairs, items, together, ["purchase"])
    assert told["reason_code"].tolist() == [
        "together",
        "together",
        "similar",
        "because",
        "similar_taste",
    ]
    assert told["reason"].tolist() == [
        "Bought with Milk in 41 of 1,310 baskets",
        "Bought with gum in 3 of 9 baskets",
        "Like Milk",
        "Because you bought Milk",
        "People with a taste like yours choose it",
    ]


def test_a_night_that_has_not_passed_the_gate_gets_no_lists(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    write_lake(settings, EVENTS, ITEMS)
    plant(settings, {"all": COUNTS, "discover": POPULARITY})
    with pytest.raises(DataError, match=r"passed the gate.*the old release goes on"):
        recommend.run(settings, run_date=NIGHT)
    assert not arrow.exists(settings.paths.lake, RECOMMENDATIONS)


def test_reasons_say_what_the_source_did() -> None:
    rows = pd.DataFrame(
        [
            ("all", "decayed_counts", 7, 3, "SNACKS", True),
            ("all", "decayed_counts", 2, 1, None, False),
            ("all", "popularity", 4, 9, "SNACKS", True),
            ("all", "hybrid_lightfm", None, None, "SNACKS", True),
            ("all", "hybrid_lightfm", None, None, "SNACKS", False),
            ("all", "hybrid_lightfm", None, None, None, False),
            ("all", "hybrid_lightfm", 1, 5, "SNACKS", True),
            ("discover", "exploration", None, None, "SNACKS", True),
            ("new", "popularity", None, None, "SNACKS", False),
            ("trending", "trending", None, None, "SNACKS", False),
            ("all", "rule", 3, 2, "SNACKS", True),
        ],
        columns=["list", "source", "events_total", "days_since_last", "group", "group_known"],
        index=[4, 9, 1, 7, 2, 8, 3, 10, 11, 12, 13],
    )
    rows["reason_code"] = reason_codes(rows)
    assert rows["reason_code"].tolist() == [
        "again",
        "again",
        "popular",
        "taste",
        "similar_taste",
        "similar_taste",
        "again",
        "new",
        "new",
        "trending",
        "chosen",
    ]
    assert reasons(rows, ["purchase"]).to_dict() == {
        4: "You bought it 7 times, last 3 days ago",
        9: "You bought it twice, last 1 day ago",
        1: "Popular right now",
        7: "Goes with your taste in SNACKS",
        2: "People with a taste like yours choose it",
        8: "People with a taste like yours choose it",
        3: "You bought it once, 5 days ago",
        10: "New in the range",
        11: "New in the range",
        12: "Selling more than usual",
        13: "Chosen by the shop",
    }
    assert reasons(rows, ["rating"])[4] == "You rated it 7 times, last 3 days ago"
    assert reasons(rows, ["view", "click"])[4] == "You chose it 7 times, last 3 days ago"


def test_a_release_is_named_after_all_it_depends_on() -> None:
    inputs = (date(2024, 3, 1), "topshelf/1", {"a": 1, "b": 2}, "digest", 42)
    name = release_id(*inputs)
    assert name == release_id(date(2024, 3, 1), "topshelf/1", {"b": 2, "a": 1}, "digest", 42)
    assert name.startswith("2024-03-01-")
    assert len(name) == len("2024-03-01-") + 8
    others = (date(2024, 3, 2), "topshelf/2", {"a": 1, "b": 3}, "other", 43)
    for place, other in enumerate(others):
        changed: tuple[Any, ...] = (*inputs[:place], other, *inputs[place + 1 :])
        assert release_id(*changed) != name
