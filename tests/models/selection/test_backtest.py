"""Splits of a backtest, what methods do there, what is published, and users' segments."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from models.core.context import Context
from models.core.interactions import Interactions
from models.evaluation.protocol import PROTOCOLS, Evaluation, Task
from models.evaluation.segments import activity, favourite
from models.lists.path import DEFAULT_POLICY
from models.selection.backtest import backtest, published
from models.selection.choice import is_sane
from models.selection.gate import Served
from models.selection.recipe import Recipe
from models.selection.split import Cut, Split
from models.selection.training import judge
from models.selection.trial import Outcome, choices, try_out
from tests.nights import TERMS

CUT = Cut(date(2024, 2, 1), date(2024, 3, 1), date(2024, 3, 11))


def interactions(rows: list[tuple[str, str, str]]) -> Interactions:
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "event_date"])
    return Interactions.from_frame(frame.assign(quantity=1.0, value=1.0))


def shop() -> Interactions:
    """User a knows x and y and meets z in both windows; user b comes in March; w is for later."""
    return interactions(
        [
            ("a", "x", "2024-01-10"),
            ("c", "z", "2024-01-10"),
            ("a", "x", "2024-02-10"),
            ("a", "y", "2024-02-11"),
            ("c", "x", "2024-02-12"),
            ("a", "x", "2024-03-01"),
            ("a", "z", "2024-03-10"),
            ("b", "x", "2024-03-10"),
            ("c", "w", "2024-03-10"),
            ("a", "w", "2024-03-11"),
        ]
    )


def split(events: Interactions) -> Split:
    return Split.at(CUT, events, lambda day: Context.build(events, as_of=day))


@pytest.mark.parametrize("days", [(2, 1, 3), (1, 1, 2), (1, 3, 3)])
def test_windows_follow_each_other(days: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="windows out of order"):
        Cut(*(date(2024, 1, day) for day in days))


def test_a_split_knows_the_days_before_and_asks_for_those_after() -> None:
    events = shop()
    built = split(events)
    assert built.nights.validation.as_of == CUT.validation_start
    assert built.nights.test.as_of == CUT.start

    def pairs(task: Task) -> set[tuple[str, str]]:
        found = task.relevant.tocoo()
        return {
            (events.user_ids[task.users[row]], events.item_ids[item])
            for row, item in zip(found.row, found.col, strict=True)
        }

    # y and w had not been sold when their windows began.
    assert {name: pairs(task) for name, task in built.validation.items()} == {
        "all": {("a", "x"), ("c", "x")},
        "discover": {("c", "x")},
    }
    assert {name: pairs(task) for name, task in built.test.items()} == {
        "all": {("a", "x"), ("a", "z")},
        "discover": {("a", "z")},
        "cold_users": {("a", "x"), ("a", "z"), ("b", "x")},
        "cold_items": {("c", "w")},
    }


def test_a_method_that_competes_is_judged_on_both_windows() -> None:
    events = shop()
    outcome = backtest(Recipe("popularity", {}), split(events), competes=True)
    # January: x and z once each, told apart by nothing; before March x leads, then y, then z.
    assert outcome.validation["all"].metrics["mrr@10"] == 1
    sane = {name: is_sane(look, TERMS) for name, look in outcome.looks.items()}
    assert sane == {"all": False, "discover": True}
    x, y, z = (list(events.item_ids).index(name) for name in "xyz")
    assert outcome.lists["all"].tolist() == [[x, y, z] + [-1] * 7]
    assert outcome.lists["discover"].tolist() == [[z] + [-1] * 9]
    assert outcome.test["discover"].metrics["ndcg@10"] == 1
    assert outcome.test["all"].metrics["map@10"] == pytest.approx((1 + 2 / 3) / 2)


def test_other_methods_are_judged_on_the_test_window_only() -> None:
    outcome = backtest(Recipe("decayed_counts", {}), split(shop()), competes=False)
    assert (outcome.validation, outcome.looks) == ({}, {})
    assert set(outcome.test) == set(PROTOCOLS)


def test_what_nobody_asks_before_the_validation_window_is_not_learnt() -> None:
    nights = split(shop()).nights
    recipe = Recipe("decayed_counts", {})
    assert try_out(recipe, Split.of(nights)).tuned.known.seen.nnz
    alone = try_out(recipe, Split.of(nights, ["all"], lists=()))
    with pytest.raises(RuntimeError, match="has not been fitted"):
        _ = alone.tuned.known
    assert list(alone.outcome.test) == ["all"]
    assert alone.outcome.test["all"].metrics == judge(recipe, nights, "all", DEFAULT_POLICY).metrics


def test_what_comes_after_the_cut_changes_no_list() -> None:
    events = shop()
    later = events.day >= np.max(events.day) - 10
    changed = interactions(
        [
            (events.user_ids[user], "w" if late else events.item_ids[item], str(day))
            for user, item, day, late in zip(
                events.user, events.item, events.day.astype("datetime64[D]"), later, strict=True
            )
        ]
    )
    known = Context.build(changed, as_of=CUT.start)
    model = Recipe("item_knn", {"minimum_buyers": 1}).build().fit(known)
    expected = Recipe("item_knn", {"minimum_buyers": 1}).build()
    expected.fit(split(events).nights.test)
    users = np.arange(3, dtype=np.int32)
    assert (
        model.rank(users, 4, filter_seen=False).item.tolist()
        == expected.rank(users, 4, filter_seen=False).item.tolist()
    )


def evaluation(value: float) -> Evaluation:
    users = np.arange(50, dtype=np.int32)
    return Evaluation(users, {"ndcg@10": value}, {"ndcg@10": np.full(50, value)})


def outcome(number: int, *, all_: float, discover: float, sane: bool = True) -> Outcome:
    return Outcome(
        lists={name: np.full((50, 10), number, dtype=np.int32) for name in PROTOCOLS},
        test={name: evaluation(number / 100) for name in PROTOCOLS},
        validation={"all": evaluation(all_), "discover": evaluation(discover)},
        looks={"all": Served(sane, 0.0, 1.0), "discover": Served(True, 0.0, 1.0)},
    )


def test_each_list_is_filled_by_the_best_sane_method_on_the_window_before() -> None:
    outcomes = {
        "popularity": outcome(1, all_=0.1, discover=0.2),
        "decayed_counts": outcome(2, all_=0.3, discover=0.1),
        "two_stage": outcome(3, all_=0.4, discover=0.5),
        "lightfm": outcome(4, all_=0.9, discover=0.1, sane=False),
        "ease": outcome(5, all_=1.0, discover=1.0),
    }
    choice = choices(outcomes, ("popularity", "decayed_counts", "two_stage", "lightfm"), TERMS)
    assert choice == {"all": "two_stage", "discover": "two_stage"}
    assert choices(outcomes, ("popularity", "decayed_counts"), TERMS) == {
        "all": "decayed_counts",
        "discover": "popularity",
    }


def test_cold_protocols_are_served_from_the_list_that_they_concern() -> None:
    outcomes = {
        "popularity": outcome(1, all_=0.1, discover=0.2),
        "decayed_counts": outcome(2, all_=0.3, discover=0.1),
    }
    served = published(outcomes, {"all": "decayed_counts", "discover": "popularity"})
    number = {"all": 2, "cold_users": 2, "discover": 1, "cold_items": 1}
    assert {name: int(lists[0, 0]) for name, lists in served.lists.items()} == number
    assert {name: judged.metrics["ndcg@10"] for name, judged in served.test.items()} == {
        name: value / 100 for name, value in number.items()
    }
    assert served.validation["all"].metrics["ndcg@10"] == 0.3
    assert served.validation["discover"].metrics["ndcg@10"] == 0.2


def test_users_are_quartered_by_their_active_days() -> None:
    days = {"a": 1, "b": 1, "c": 2, "d": 3, "e": 4, "f": 6, "g": 9, "h": 9}
    events = interactions(
        [
            (user, "x", f"2024-01-{day + 1:02}")
            for user, count in days.items()
            for day in range(count)
        ]
        + [("new", "x", "2024-03-01")]
    )
    labels = activity(events.before(date(2024, 2, 1)))
    assert labels.tolist() == [
        "1 (1 to 1 days)",
        "1 (1 to 1 days)",
        "2 (2 to 3 days)",
        "2 (2 to 3 days)",
        "3 (4 to 6 days)",
        "3 (4 to 6 days)",
        "4 (9 to 9 days)",
        "4 (9 to 9 days)",
        None,
    ]


def test_a_favourite_is_the_class_of_most_events_and_the_alphabet_decides() -> None:
    events = interactions(
        [
            ("a", "x", "2024-01-01"),
            ("a", "x", "2024-01-02"),
            ("a", "y", "2024-01-01"),
            ("b", "x", "2024-01-01"),
            ("b", "y", "2024-01-01"),
            ("c", "z", "2024-01-01"),
        ]
    )
    classes = pd.Series(["PRODUCE", "DAIRY", None], dtype="str")
    assert favourite(events, classes).tolist() == ["PRODUCE", "DAIRY", None]
