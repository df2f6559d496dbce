from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import ThreadpoolController, threadpool_limits

from models.core import topn
from models.core.topn import top_n_dense, top_n_sparse

Floats: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]
# Vectors of users and of items, allowed items, excluded pairs, the length of a list.
Problem: TypeAlias = tuple[Floats, Floats, Mask, Mask, int]


def reference(scores: Floats, n: int, allowed: Mask, exclude: Mask) -> list[list[int]]:
    """Plain sorting: score descending, then item ascending."""
    lists = []
    for row, values in enumerate(scores):
        order = sorted(range(len(values)), key=lambda item: (-values[item], item))
        kept = [item for item in order if allowed[item] and not exclude[row, item]][:n]
        lists.append(kept + [-1] * (n - len(kept)))
    return lists


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    users, items = draw(st.integers(1, 6)), draw(st.integers(1, 900))
    # Few different scores, so that ties are everywhere.
    levels = draw(st.sampled_from([1, 3, 1000]))
    user_vectors = random.integers(levels, size=(users, 2)).astype(np.float32)
    item_vectors = random.integers(levels, size=(items, 2)).astype(np.float32)
    allowed = random.random(items) < draw(st.sampled_from([0.02, 0.5, 1.0]))
    exclude = random.random((users, items)) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    return user_vectors, item_vectors, allowed, exclude, draw(st.integers(1, 20))


# Rows of a block and items of a tile: of one group, of several, and as shipped.
SHAPES = ((4, 8), (4, 64), (topn.BLOCK_ROWS, topn.TILE_ITEMS))


# The first call compiles the kernel.
@settings(deadline=None)
@given(problems(), st.sampled_from(SHAPES), st.booleans())
def test_dense_top_n_is_what_sorting_gives(
    problem: Problem, shape: tuple[int, int], are_sparse: bool
) -> None:
    user_vectors, item_vectors, allowed, exclude, n = problem
    scores = user_vectors @ item_vectors.T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topn, "BLOCK_ROWS", shape[0])
        patch.setattr(topn, "TILE_ITEMS", shape[1])
        patch.setattr(topn, "LEAST_ROWS", 4)
        ranked = top_n_dense(
            sparse.csr_array(user_vectors) if are_sparse else user_vectors,
            item_vectors,
            n,
            allowed=allowed,
            exclude=sparse.csr_array(exclude),
        )
    assert ranked.item.tolist() == reference(scores, n, allowed, exclude)
    rows, places = np.nonzero(ranked.item >= 0)
    found = ranked.item[rows, places]
    assert ranked.score[rows, places].tolist() == scores[rows, found].tolist()
    assert not ranked.score[ranked.item < 0].any()


@pytest.mark.parametrize("n", [1, 20, 100, 700, 3000])
@pytest.mark.parametrize("order", ["none", "rising", "falling"])
def test_lists_of_any_length_over_many_tiles(n: int, order: str) -> None:
    random = np.random.default_rng(n)
    user_vectors = random.standard_normal((5, 8)).astype(np.float32)
    item_vectors = random.standard_normal((2500, 8)).astype(np.float32)
    if order != "none":
        # All of the first user's later items are better, or worse.
        by_score = np.argsort(item_vectors @ user_vectors[0])
        item_vectors = item_vectors[by_score if order == "rising" else by_score[::-1]]
    exclude = random.random((5, 2500)) < 0.1
    allowed = random.random(2500) < 0.9
    # As whole numbers, products are exact however they are added up.
    user_vectors, item_vectors = np.rint(100 * user_vectors), np.rint(100 * item_vectors)
    ranked = top_n_dense(
        user_vectors, item_vectors, n, allowed=allowed, exclude=sparse.csr_array(exclude)
    )
    scores = user_vectors @ item_vectors.T
    assert ranked.item.tolist() == reference(scores, n, allowed, exclude)


def test_zero_is_one_score_whatever_its_sign() -> None:
    item_vectors = np.array([[-0.0], [0.0], [-0.0], [-1.0]], dtype=np.float32)
    ranked = top_n_dense(np.ones((1, 1), np.float32), item_vectors, 4, allowed=np.ones(4, bool))
    assert ranked.item.tolist() == [[0, 1, 2, 3]]


def test_threads_of_blas_are_as_they_were_and_change_no_list() -> None:
    random = np.random.default_rng(5)
    user_vectors = random.standard_normal((700, 16)).astype(np.float32)
    item_vectors = random.standard_normal((1500, 16)).astype(np.float32)
    allowed = np.ones(1500, dtype=bool)
    before = ThreadpoolController().info()
    several = top_n_dense(user_vectors, item_vectors, 30, allowed=allowed)
    assert ThreadpoolController().info() == before
    with threadpool_limits(limits=1, user_api="blas"):
        one = top_n_dense(user_vectors, item_vectors, 30, allowed=allowed)
    np.testing.assert_array_equal(several.item, one.item)
    np.testing.assert_array_equal(several.score, one.score)


@given(problems())
def test_sparse_top_n_is_what_sorting_the_stored_entries_gives(problem: Problem) -> None:
    user_vectors, item_vectors, allowed, exclude, n = problem
    scores = user_vectors @ item_vectors.T
    ranked = top_n_sparse(
        sparse.csr_array(scores), n, allowed=allowed, exclude=sparse.csr_array(exclude)
    )
    assert ranked.item.tolist() == reference(scores, n, allowed, exclude | (scores == 0))


def test_blocks_of_users_do_not_show() -> None:
    random = np.random.default_rng(3)
    user_vectors = random.standard_normal((600, 4)).astype(np.float32)
    item_vectors = random.standard_normal((300, 4)).astype(np.float32)
    allowed = np.ones(300, dtype=bool)
    exclude = sparse.csr_array(random.random((600, 300)) < 0.5)
    together = top_n_dense(user_vectors, item_vectors, 5, allowed=allowed, exclude=exclude)
    apart = [
        top_n_dense(
            user_vectors[[row]], item_vectors, 5, allowed=allowed, exclude=exclude[[row]]
        ).item
        for row in range(600)
    ]
    assert together.item.tolist() == np.concatenate(apart).tolist()


def test_scores_that_are_not_finite_never_win() -> None:
    item_vectors = np.arange(900, dtype=np.float32)[:, None]
    item_vectors[500:] = np.nan
    item_vectors[600:] = np.inf
    item_vectors[700:] = -np.inf
    ranked = top_n_dense(np.ones((1, 1), np.float32), item_vectors, 3, allowed=np.ones(900, bool))
    assert ranked.item.tolist() == [[499, 498, 497]]
    none = np.full((3, 1), np.nan, dtype=np.float32)
    ranked = top_n_dense(np.ones((1, 1), np.float32), none, 2, allowed=np.ones(3, bool))
    assert ranked.item.tolist() == [[-1, -1]]


def test_products_that_overflow_never_win() -> None:
    item_vectors = np.array([[1, 1], [2, 2], [3e38, 3e38], [3e38, -3e38]], dtype=np.float32)
    users = np.array([[2, 2], [1, 0]], dtype=np.float32)
    for user_vectors in (users, sparse.csr_array(users)):
        ranked = top_n_dense(user_vectors, item_vectors, 3, allowed=np.ones(4, bool))
        assert ranked.item.tolist() == [[1, 0, -1], [2, 3, 1]]
