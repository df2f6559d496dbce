import math
from datetime import date

import numpy as np
import pandas as pd
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from lakehouse.errors import DataError
from models.core.context import Context
from models.core.interactions import Interactions
from models.evaluation import metrics
from models.evaluation.bootstrap import paired_bootstrap
from models.evaluation.protocol import (
    by_segment,
    compare_methods,
    measure,
    task,
)
from models.lists.path import evaluate
from models.recommenders.popularity import Popularity

ITEM = np.array([[0, 1, 2], [2, 3, -1]], dtype=np.int32)
RELEVANT = sparse.csr_array(np.array([[0, 2.0, 0, 6.0], [5.0, 0, 1.0, 0]]))
HITS = np.array([[False, True, False], [True, False, False]])
COUNTS = np.array([2, 2])


def test_hits_are_the_relevant_items_listed() -> None:
    assert metrics.hits_of(ITEM, RELEVANT).tolist() == HITS.tolist()
    assert metrics.relevant_counts(RELEVANT).tolist() == [2, 2]


def test_each_measure_by_hand() -> None:
    ideal = 1 + 1 / math.log2(3)
    assert metrics.ndcg(HITS, COUNTS).tolist() == [1 / math.log2(3) / ideal, 1 / ideal]
    assert metrics.average_precision(HITS, COUNTS).tolist() == [1 / 4, 1 / 2]
    assert metrics.precision(HITS).tolist() == [1 / 3, 1 / 3]
    assert metrics.recall(HITS, COUNTS).tolist() == [1 / 2, 1 / 2]
    assert metrics.hit_rate(HITS).tolist() == [1, 1]
    assert metrics.reciprocal_rank(HITS).tolist() == [1 / 2, 1]
    assert metrics.revenue_recall(ITEM, HITS, RELEVANT).tolist() == [2 / 8, 1 / 6]
    assert metrics.coverage(ITEM, 5) == 4 / 5
    buyers = np.array([4, 2, 1, 0])
    assert metrics.novelty(ITEM, buyers, 4).tolist() == [1, 2]
    assert metrics.average_popularity(ITEM, buyers).tolist() == [7 / 3, 1 / 2]


def test_gini_is_0_for_equal_exposure_and_nears_1_for_a_single_item() -> None:
    assert metrics.gini(np.array([[0, 1], [2, 3]]), 4) == 0
    assert metrics.gini(np.array([[0], [0]]), 4) == 0.75
    assert metrics.gini(np.array([[0, 0], [0, 1]]), 2) == 0.25
    assert metrics.gini(np.array([[-1]]), 2) == 0


def test_diversity_is_1_minus_the_mean_cosine_of_pairs() -> None:
    half = math.sqrt(0.5)
    content = sparse.csr_array(np.array([[1.0, 0], [0, 1.0], [half, half], [1.0, 0]]))
    expected = 1 - (0 + half + half) / 3
    result = metrics.intra_list_diversity(ITEM, content)
    assert result.tolist() == pytest.approx([expected, 1 - half])
    assert np.isnan(metrics.intra_list_diversity(np.array([[1, -1]]), content)).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_ranking_measures_agree_with_trec_eval(seed: int, k: int) -> None:
    random = np.random.default_rng(seed)
    users, items = 5, 30
    lists = np.array([random.permutation(items)[:k] for _ in range(users)], dtype=np.int32)
    lists[random.random(lists.shape) < 0.1] = -1
    truth = random.random((users, items)) < 0.3
    truth[:, 0] = True
    hits = metrics.hits_of(lists, sparse.csr_array(truth))
    counts = metrics.relevant_counts(sparse.csr_array(truth))
    ours = {
        f"ndcg_cut_{k}": metrics.ndcg(hits, counts),
        f"map_cut_{k}": metrics.average_precision(hits, counts),
        f"P_{k}": metrics.precision(hits),
        f"recall_{k}": metrics.recall(hits, counts),
        f"success_{k}": metrics.hit_rate(hits),
        "recip_rank": metrics.reciprocal_rank(hits),
    }
    judge = pytrec_eval.RelevanceEvaluator(
        {f"u{u}": {f"i{i}": 1 for i in np.flatnonzero(truth[u])} for u in range(users)},
        {f"{name}.{k}" for name in ("ndcg_cut", "map_cut", "P", "recall", "success")}
        | {"recip_rank"},
    )
    # An empty place stands for an item that nobody wants.
    run = {
        f"u{u}": {
            (f"i{item}" if item >= 0 else f"none{place}"): float(k - place)
            for place, item in enumerate(row)
        }
        for u, row in enumerate(lists)
    }
    theirs = judge.evaluate(run)
    for name, values in ours.items():
        expected = [theirs[f"u{u}"][name] for u in range(users)]
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-9, err_msg=name)


def test_bootstrap_covers_a_known_difference_and_repeats_with_its_seed() -> None:
    random = np.random.default_rng(1)
    champion = random.random(2000)
    challenger = champion + random.normal(0.02, 0.1, size=2000)
    first = paired_bootstrap(challenger, champion, seed=5)
    assert first == paired_bootstrap(challenger, champion, seed=5)
    assert first != paired_bootstrap(challenger, champion, seed=6)
    assert first.mean == pytest.approx((challenger - champion).mean())
    # The normal interval of a mean of 2,000 is nearly the same.
    width = 1.96 * (challenger - champion).std() / math.sqrt(2000)
    assert first.low == pytest.approx(first.mean - width, abs=width / 5)
    assert first.high == pytest.approx(first.mean + width, abs=width / 5)


def test_bootstrap_leaves_out_users_without_both_measures() -> None:
    result = paired_bootstrap(np.array([1.0, np.nan]), np.array([0.5, 3.0]), seed=1)
    assert result == (0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="no user has both"):
        paired_bootstrap(np.array([np.nan]), np.array([1.0]), seed=1)


def history() -> Interactions:
    """Cut at 2024-03-01: a buys x (January) and y (February); in March everybody buys."""
    rows = [
        ("a", "x", "2024-01-10", 1.0),
        ("b", "x", "2024-01-11", 1.0),
        ("a", "y", "2024-02-20", 1.0),
        *(("c", "x", f"2024-01-{day}", 1.0) for day in range(10, 17)),
        ("a", "x", "2024-03-01", 5.0),
        ("a", "z", "2024-03-02", 6.0),
        ("b", "y", "2024-03-03", 7.0),
        ("c", "y", "2024-03-03", None),
        ("d", "x", "2024-03-04", 8.0),
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "event_date", "value"])
    return Interactions.from_frame(frame.assign(quantity=1.0))


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("all", {("a", "x"): 5, ("b", "y"): 7, ("c", "y"): 0}),
        ("discover", {("b", "y"): 7, ("c", "y"): 0}),
        ("cold_users", {("a", "x"): 5, ("b", "y"): 7, ("d", "x"): 8}),
        ("cold_items", {("a", "z"): 6, ("b", "y"): 7, ("c", "y"): 0}),
    ],
)
def test_what_counts_in_each_protocol(
    protocol: str, expected: dict[tuple[str, str], float]
) -> None:
    events = history()
    context = Context.build(events, as_of=date(2024, 3, 1))
    built = task(protocol, context, events.between(date(2024, 3, 1), date(2024, 4, 1)))
    relevant = built.relevant.tocoo()
    found = {
        (events.user_ids[built.users[row]], events.item_ids[item]): value
        for row, item, value in zip(relevant.row, relevant.col, relevant.data, strict=True)
    }
    assert found == expected


def test_a_task_refuses_a_window_that_starts_too_early() -> None:
    events = history()
    with pytest.raises(ValueError, match="before the context's end"):
        task("all", Context.build(events, as_of=date(2024, 3, 1)), events)


def test_a_task_without_a_user_to_judge_is_an_error() -> None:
    events = history()
    context = Context.build(events, as_of=date(2024, 3, 1))
    with pytest.raises(DataError, match="no user has an item that counts"):
        task("all", context, events.between(date(2024, 5, 1), date(2024, 6, 1)))


def test_evaluation_of_popularity_by_hand() -> None:
    events = history()
    context = Context.build(events, as_of=date(2024, 3, 1))
    judged = task("all", context, events.between(date(2024, 3, 1), date(2024, 4, 1)))
    result = evaluate(Popularity().fit(context), judged, n=1)
    # x is the most popular; a takes it again, b and c take y.
    assert result.per_user["ndcg@1"].tolist() == [1, 0, 0]
    assert result.metrics["ndcg@1"] == pytest.approx(1 / 3)
    assert result.metrics["coverage@1"] == 1 / 2
    assert result.metrics["revenue_recall@1"] == pytest.approx(1 / 2)
    segments = np.array(["s", "t", "t", "s"])
    table = by_segment(result, segments)
    assert table["users"].to_dict() == {"s": 1, "t": 2}
    assert table["ndcg@1"].to_dict() == {"s": 1, "t": 0}


def test_a_perfect_list_scores_1() -> None:
    events = history()
    context = Context.build(events, as_of=date(2024, 3, 1))
    judged = task("discover", context, events.between(date(2024, 3, 1), date(2024, 4, 1)))
    perfect = judged.relevant.indices.reshape(-1, 1).astype(np.int32)
    assert measure(perfect, judged).metrics["ndcg@1"] == 1


def test_methods_are_ordered_by_a_measure_and_the_first_wins_a_tie() -> None:
    events = history()
    context = Context.build(events, as_of=date(2024, 3, 1))
    judged = task("all", context, events.between(date(2024, 3, 1), date(2024, 4, 1)))
    nothing = measure(np.full((3, 1), -1, dtype=np.int32), judged)
    good = measure(np.array([[0], [1], [1]], dtype=np.int32), judged)
    methods = {"simple": nothing, "good": good, "other": nothing}
    assert compare_methods(methods, "ndcg@1") == ["good", "simple", "other"]
