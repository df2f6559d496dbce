"""The benchmark of next baskets: what it reads, keeps and prints."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import next_basket
from benchmarks.next_basket import METHODS, OURS, page, read_online_retail, stored_lists
from benchmarks.quality.complete_journey import ShopData
from benchmarks.quality.measure import list_rows
from lakehouse.errors import ConfigurationError
from models.evaluation.next_basket import NextBaskets
from models.ranking.buy_again import BuyAgain
from models.recommenders.decayed_counts import DecayedCounts
from models.recommenders.popularity import Popularity
from tests import shop

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
LINES = """\
1,10A,LANTERN,6,2011-09-01 08:26:00,3.5,17850.0,United Kingdom
1,POST,POSTAGE,1,2011-09-01 08:26:00,18,17850.0,France
C2,10A,LANTERN,-6,2011-09-01 09:00:00,3.5,17850.0,United Kingdom
3,10B,,2,2011-09-01 10:00:00,1,,United Kingdom
4,10B,HOLDER,2,2011-09-01 10:00:00,0,13047.0,United Kingdom
5,10B,HOLDER,2,2011-09-01 11:00:00,1.25,13047.0,United Kingdom
"""


def test_online_retail_is_read_as_its_orders_stand(tmp_path: Path) -> None:
    (tmp_path / "2011-09-01.csv").write_text(HEADER + LINES)
    read = read_online_retail(tmp_path)
    events = read.interactions
    assert events.user_ids.tolist() == ["13047", "17850"]
    assert events.item_ids.tolist() == ["10A", "10B"]
    assert events.user.tolist() == [1, 0]
    assert events.order.tolist() == [0, 1]
    assert events.value.tolist() == [21.0, 2.5]
    pd.testing.assert_frame_equal(
        read.items.reset_index(drop=True),
        pd.DataFrame({"item_id": ["10A", "10B"], "title": ["LANTERN", "HOLDER"]}, dtype="str"),
    )


def test_a_folder_without_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no CSV file in"):
        read_online_retail(tmp_path)


def test_a_cut_is_measured_and_its_lists_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = {
        OURS: lambda: BuyAgain(nights=3, rounds=10),
        "decayed_counts": DecayedCounts,
        "popularity": Popularity,
    }
    monkeypatch.setattr(next_basket, "METHODS", methods)
    year = ShopData(shop.interactions(), shop.item_features(), shop.user_attributes())
    start, end = shop.AS_OF, date(2024, 4, 30)
    figures = next_basket.measure_cut(year, start, end, lists=tmp_path, keep=())
    context = year.context(start)
    baskets = NextBaskets.of(context, year.interactions.between(start, end))
    counts = next_basket.listed(DecayedCounts().fit(context), context)
    expected = np.nanmean(baskets.measure(counts[baskets.users])["ndcg@10"])
    assert figures["users"] == len(baskets.users)
    assert list(figures["methods"]) == list(methods)
    assert figures["methods"]["decayed_counts"]["ndcg@10"] == round(float(expected), 4)
    assert "gain" not in figures["methods"][OURS]
    assert figures["due"]["pairs"] > 0
    again = next_basket.measure_cut(year, start, end, lists=tmp_path, keep=list(methods))
    for name in methods:
        assert again["methods"][name]["ndcg@10"] == figures["methods"][name]["ndcg@10"]
    text = page({"complete_journey": {start.isoformat(): figures}})
    assert f"### {start}, {figures['users']} users" in text
    assert "| `popularity` |" in text


def test_lists_come_back_as_they_were_kept(tmp_path: Path) -> None:
    events = shop.interactions()
    item = np.full((events.users, 10), -1, dtype=np.int32)
    item[3, :2] = [5, 7]
    list_rows(events.user_ids, item, events.item_ids).to_pandas().to_parquet(tmp_path / "lists")
    np.testing.assert_array_equal(stored_lists(tmp_path / "lists", events), item)


def test_every_peer_is_there() -> None:
    assert {OURS, "two_stage", "tifuknn", "up_cf", "gp_topfreq", "popularity"} <= set(METHODS)
