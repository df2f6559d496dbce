"""Which method fills a list, on planted figures and on a model whose scores say nothing."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from models.core.context import Context
from models.core.interactions import Interactions
from models.evaluation.protocol import task
from models.lists.path import Policy, lists_for
from models.recommenders.decayed_counts import DecayedCounts
from models.selection.choice import Terms, choose, is_sane, look_at
from models.selection.gate import Served
from tests.nights import NIGHT, TERMS, shop

HEURISTICS = ("popularity", "counts")
GOOD = np.linspace(0.2, 0.8, 200)
BETTER = GOOD + 0.1
# On average better by 0.01, but for half of the users only.
DOUBTFUL = GOOD + np.tile([0.31, -0.29], 100)


def chosen(ndcg: dict[str, NDArray[np.float64]], unusable: tuple[str, ...] = ()) -> str:
    return choose(ndcg, heuristics=HEURISTICS, usable=ndcg.keys() - set(unusable), seed=42)


def test_the_best_heuristic_wins_where_nothing_beats_it() -> None:
    assert chosen({"popularity": GOOD, "counts": BETTER, "ranker": GOOD}) == "counts"


def test_the_first_named_wins_a_tie() -> None:
    assert chosen({"popularity": GOOD, "counts": GOOD}) == "popularity"
    assert chosen({"counts": GOOD, "popularity": GOOD}) == "counts"


def test_a_method_surely_better_than_every_heuristic_wins() -> None:
    assert chosen({"popularity": GOOD * 0, "counts": GOOD, "ranker": BETTER}) == "ranker"


def test_a_method_that_may_be_better_by_chance_does_not() -> None:
    assert DOUBTFUL.mean() > GOOD.mean()
    assert chosen({"counts": GOOD, "ranker": DOUBTFUL}) == "counts"


def test_an_unusable_method_is_passed_over_for_the_next_best() -> None:
    ndcg = {"counts": GOOD * 0, "lightfm": GOOD, "ranker": BETTER}
    assert chosen(ndcg, unusable=("ranker",)) == "lightfm"
    assert chosen(ndcg, unusable=("ranker", "lightfm")) == "counts"


def test_where_none_may_be_chosen_the_best_is_left_to_the_gate() -> None:
    ndcg = {"counts": GOOD, "ranker": BETTER}
    assert chosen(ndcg, unusable=("ranker", "counts")) == "ranker"


@pytest.mark.parametrize(
    ("scores", "sane"), [(None, True), (1.0, False), (np.nan, False), (np.inf, False)]
)
def test_a_model_is_sane_if_its_scores_are_numbers_that_differ(
    scores: float | None, sane: bool
) -> None:
    frame = pd.DataFrame(shop()[0]).rename(columns={"user": "user_id", "item": "item_id"})
    ages = pd.to_timedelta(frame["days_ago"], unit="D")
    days = (pd.Timestamp(NIGHT) - ages).dt.date
    interactions = Interactions.from_frame(frame.assign(event_date=days, quantity=1.0, value=1.0))
    start = date(2024, 2, 23)
    context = Context.build(interactions, as_of=start)
    model = DecayedCounts().fit(context)
    if scores is not None:
        model._scores[:] = scores
    asked = task("all", context, interactions.between(start, NIGHT))
    lists = lists_for(model, asked, Policy(size=10))
    assert is_sane(look_at(lists, asked, finite=model.is_finite()), TERMS) == sane
    assert not is_sane(look_at(lists, asked, finite=False), TERMS)


def test_the_limit_of_lists_with_one_score_is_the_gate_s() -> None:
    look = Served(finite=True, constant_share=0.5, coverage=1.0)
    assert is_sane(look, Terms(42, 0.5))
    assert not is_sane(look, Terms(42, 0.49))


def test_the_seed_decides_a_close_call() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 200)
    ndcg = {"counts": GOOD, "ranker": GOOD + noise - noise.mean() + 0.013}
    by_seed = [choose(ndcg, heuristics=HEURISTICS, usable=ndcg, seed=seed) for seed in (0, 1)]
    assert by_seed == ["ranker", "counts"]
