"""Measures of recommendation lists, each as one number per user or one for all lists.

``hits`` is users x k, True where the item at that place is relevant; ``relevant`` counts each
user's relevant items, at least 1. Relevance is binary. The first five are those of `trec_eval
<https://github.com/usnistgov/trec_eval>`_ (ndcg_cut, map_cut, P, recall, success), to which a test
compares them.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.core.interactions import UNKNOWN, Indices
from models.core.topn import row_of_each, stored_in

Floats = NDArray[np.float64]
Hits = NDArray[np.bool_]
Counts = NDArray[np.int64]


def hits_of(item: Indices, relevant: sparse.csr_array) -> Hits:
    """Which listed items (users x k, ``UNKNOWN`` for none) are stored in ``relevant``.

    ``relevant`` is users x items with sorted indices.
    """
    row = np.repeat(np.arange(item.shape[0]), item.shape[1])
    flat = item.ravel().astype(np.int64)
    found = stored_in(relevant, row, np.where(flat == UNKNOWN, 0, flat)) & (flat != UNKNOWN)
    return np.asarray(found.reshape(item.shape))


def ndcg(hits: Hits, relevant: Counts) -> Floats:
    """Discounted gain over that of a perfect list of k places.

    ``sum(hit_r / log2(r + 1)) / sum(1 / log2(r + 1) for r <= min(relevant, k))`` with rank r from 1
    (Järvelin & Kekäläinen 2002, ideal list cut at k).
    """
    places = hits.shape[1]
    return np.asarray(hits @ _discount(places) / ideal_gain(relevant, places))


def ideal_gain(relevant: Counts, places: int) -> Floats:
    """The discounted gain of a perfect list of ``places`` for so many ``relevant`` items each."""
    return np.asarray(np.cumsum(_discount(places))[np.minimum(relevant, places) - 1])


def average_precision(hits: Hits, relevant: Counts) -> Floats:
    """``sum(hit_r * precision_at_r) / relevant``; its mean over users is MAP (map_cut)."""
    ranks = np.arange(hits.shape[1]) + 1
    return np.asarray((np.cumsum(hits, axis=1) / ranks * hits).sum(axis=1) / relevant)


def precision(hits: Hits) -> Floats:
    """Share of the k places that hold a relevant item; empty places count as misses."""
    return np.asarray(hits.mean(axis=1))


def recall(hits: Hits, relevant: Counts) -> Floats:
    """Share of the relevant items that are listed."""
    return np.asarray(hits.sum(axis=1) / relevant)


def hit_rate(hits: Hits) -> Floats:
    """1 if any item is relevant, else 0."""
    return hits.any(axis=1).astype(np.float64)


def reciprocal_rank(hits: Hits) -> Floats:
    """1 / rank of the first relevant item, 0 without one; its mean over users is MRR."""
    return np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1.0), 0.0)


def revenue_recall(item: Indices, hits: Hits, revenue: sparse.csr_array) -> Floats:
    """Share of the revenue with relevant items that the listed ones bring; NaN without revenue.

    ``revenue`` is users x items, its stored entries the relevant ones.
    """
    rows, places = np.nonzero(hits)
    listed = np.zeros(len(hits))
    np.add.at(listed, rows, np.asarray(revenue[rows, item[rows, places]]).ravel())
    total = np.asarray(revenue.sum(axis=1)).ravel()
    return _ratio(listed, total)


def novelty(item: Indices, buyers: Counts, users: int) -> Floats:
    """Mean self-information of the listed items, ``-log2(buyers / users)``, in bits.

    ``buyers`` counts each item's users so far, at least 1 here (Zhou et al. 2010; Vargas & Castells
    2011). NaN for an empty list.
    """
    return _mean_of_items(item, -np.log2(np.maximum(buyers, 1) / users))


def average_popularity(item: Indices, buyers: Counts) -> Floats:
    """Mean number of buyers so far of the listed items (ARP, Yin et al. 2012)."""
    return _mean_of_items(item, buyers.astype(np.float64))


def intra_list_diversity(item: Indices, content: sparse.csr_array) -> Floats:
    """1 - mean cosine similarity of the pairs in a list (Ziegler et al. 2005).

    ``content`` is items x attributes with rows of length 1 or 0. Computed from the length of the
    list's sum, not pair by pair. NaN for lists of fewer than two items.
    """
    listed = item != UNKNOWN
    members = sparse.csr_array(
        (
            np.ones(listed.sum()),
            (np.nonzero(listed)[0], item[listed]),
        ),
        shape=(len(item), content.shape[0]),
    )
    square = content.multiply(content).sum(axis=1)
    total = members @ content
    pairs = np.asarray(total.multiply(total).sum(axis=1)).ravel() - members @ np.asarray(square)
    count = listed.sum(axis=1)
    return 1 - _ratio(pairs, count * (count - 1.0))


def coverage(item: Indices, candidates: int) -> float:
    """Share of the candidate items that are in at least one list."""
    return len(np.unique(item[item != UNKNOWN])) / candidates


def gini(item: Indices, candidates: int) -> float:
    """Inequality of exposure over all candidate items: 0 all alike, near 1 few have all of it.

    ``sum((2 i - n - 1) x_i) / (n sum(x))`` with the n counts x ascending and i from 1; 0 where
    nothing is listed.
    """
    exposure = np.zeros(candidates)
    counts = np.unique(item[item != UNKNOWN], return_counts=True)[1]
    exposure[candidates - len(counts) :] = np.sort(counts)
    if not len(counts):
        return 0.0
    place = np.arange(candidates) + 1
    return float(((2 * place - candidates - 1) @ exposure) / (candidates * exposure.sum()))


def relevant_counts(relevant: sparse.csr_array) -> Counts:
    """Stored entries of each row."""
    return np.bincount(row_of_each(relevant), minlength=relevant.shape[0])


def _discount(places: int) -> Floats:
    return np.asarray(1 / np.log2(np.arange(places) + 2))


def _mean_of_items(item: Indices, values: Floats) -> Floats:
    listed = item != UNKNOWN
    total = np.where(listed, values[np.where(listed, item, 0)], 0.0).sum(axis=1)
    return _ratio(total, listed.sum(axis=1).astype(np.float64))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    result: Floats = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
