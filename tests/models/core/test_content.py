from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import MultiLabelBinarizer, normalize

from models.core.content import digest, one_hot, quantile_bands, unit_rows, with_identity
from models.core.memory import Memory
from models.recommenders import content_based
from models.recommenders.content_based import (
    ContentBased,
    catalogue_vectors,
    latent,
    split_words,
    tf_idf,
)
from tests import shop

FRAME = pd.DataFrame(
    {
        "brand": ["b", None, "a"],
        "band": pd.array([2, 10, None], dtype="Int64"),
        "tags": [["x", "y"], [], ["y", "y"]],
    }
)


def test_one_hot_takes_text_classes_and_lists() -> None:
    built = one_hot(FRAME, ["brand", "band", "tags", "not a column"])
    assert built.names == ("brand=a", "brand=b", "band=10", "band=2", "tags=x", "tags=y")
    assert built.matrix.toarray().tolist() == [
        [0, 1, 0, 1, 1, 1],
        [0, 0, 1, 0, 0, 0],
        [1, 0, 0, 0, 0, 1],
    ]


def test_one_hot_is_scikit_learn_s() -> None:
    encoder = MultiLabelBinarizer(sparse_output=True)
    theirs = encoder.fit_transform(FRAME["tags"])
    ours = one_hot(FRAME, ["tags"])
    assert ours.matrix.toarray().tolist() == theirs.toarray().tolist()
    assert ours.names == tuple(f"tags={name}" for name in encoder.classes_)


def test_without_columns_there_are_no_attributes() -> None:
    assert one_hot(FRAME, []).matrix.shape == (3, 0)


def test_a_digest_is_of_what_one_hot_sees() -> None:
    def changed(**columns: Any) -> pd.DataFrame:
        return FRAME.assign(**columns)

    columns = ["brand", "band", "tags", "not a column"]
    same = changed(band=["2", "10", None], price=[1, 2, 3]).set_axis([7, 8, 9])
    assert digest(same, columns) == digest(FRAME, columns)
    others = [
        changed(brand=["b", "None", "a"]),
        changed(brand=[None, "b", "a"]),
        changed(tags=[["x", "y"], [], ["y"]]),
        changed(tags=[["x"], ["y"], ["y", "y"]]),
        FRAME.rename(columns={"brand": "band", "band": "brand"}),
        FRAME.drop(columns="tags"),
        FRAME[:2],
    ]
    digests = {digest(frame, columns) for frame in (FRAME, *others)}
    assert len(digests) == 1 + len(others)


def test_identity_and_attributes_share_a_row_of_sum_1() -> None:
    attributes = sparse.csr_array(np.array([[1.0, 1.0], [0, 0], [0, 1.0]]))
    assert with_identity(attributes, 0.25).toarray().tolist() == [
        [0.75, 0, 0, 0.125, 0.125],
        [0, 1, 0, 0, 0],
        [0, 0, 0.75, 0, 0.25],
    ]


def test_unit_rows_have_length_1_and_empty_ones_stay_empty() -> None:
    rows = unit_rows(sparse.csr_array(np.array([[3.0, 4.0], [0, 0]])))
    np.testing.assert_allclose(rows.toarray(), [[0.6, 0.8], [0.0, 0.0]], rtol=1e-12)


def test_quantile_bands_are_even_and_keep_ties_and_nulls() -> None:
    bands = quantile_bands(pd.Series([5.0, 1.0, None, 3.0, 3.0]), 2)
    assert bands.tolist() == [2, 1, pd.NA, 2, 2]


def test_words_are_lower_case_and_counted_once_per_item() -> None:
    frame = pd.DataFrame({"title": ["Oat MILK, 1l", None]})
    words = split_words(frame, ["title", "not a column"])
    assert list(words) == ["words of title"]
    assert one_hot(pd.DataFrame(words), list(words)).names == (
        "words of title=1l",
        "words of title=milk",
        "words of title=oat",
    )


def test_a_term_of_every_item_says_nothing() -> None:
    weights = tf_idf(sparse.csr_array(np.array([[1.0, 1.0], [1.0, 0]])))
    assert weights.toarray().tolist() == [[0, 1], [0, 0]]


def test_latent_vectors_keep_who_is_alike() -> None:
    random = np.random.default_rng(2)
    taste = random.integers(2, size=40)
    terms = np.zeros((40, 20))
    terms[np.arange(40), 10 * taste + random.integers(10, size=40)] = 1
    terms[np.arange(40), 10 * taste + random.integers(10, size=40)] = 1
    terms[:, 0], terms[:, 10] = taste == 0, taste == 1
    vectors = latent(sparse.csr_array(terms), 4, seed=1)
    assert vectors.shape == (40, 4)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    alike = vectors @ vectors.T
    same = taste[:, None] == taste
    assert alike[same].min() > alike[~same].max() == pytest.approx(0, abs=1e-6)


def test_latent_cosines_are_scikit_learn_s() -> None:
    terms = sparse.random_array((60, 30), density=0.2, rng=np.random.default_rng(3), format="csr")
    weights = tf_idf(terms)
    ours = latent(weights, 5, seed=1)
    theirs = normalize(TruncatedSVD(5, algorithm="arpack", random_state=2).fit_transform(weights))
    np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-6)


def test_a_catalogue_is_learnt_once_for_all_nights(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def spy(
        items: pd.DataFrame,
        item_columns: Sequence[str],
        text_columns: Sequence[str],
        dimensions: int,
        seed: int,
    ) -> NDArray[np.float32]:
        made.append((dimensions, seed))
        return catalogue_vectors(items, item_columns, text_columns, dimensions, seed)

    monkeypatch.setattr(content_based, "_memory", Memory(1))
    monkeypatch.setattr(content_based, "catalogue_vectors", spy)
    known = shop.context()
    for night in (known, known.earlier(shop.AS_OF - timedelta(days=20)), known):
        ContentBased(dimensions=3).fit(night)
    assert made == [(3, 42)]
    changed = known.item_features.assign(brand="other")
    ContentBased(dimensions=3).fit(replace(known, item_features=changed))
    ContentBased(dimensions=3, seed=1).fit(known)
    assert made == [(3, 42), (3, 42), (3, 1)]
