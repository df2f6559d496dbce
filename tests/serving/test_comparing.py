"""Comparisons that people look at again and again."""

from datetime import date
from pathlib import Path

import pytest

from lakehouse.errors import ConfigurationError
from serving.comparing import Comparisons, compare_releases
from serving.stores.opening import open_store
from tests.groceries import BANANAS, fill
from tests.stored_lists import SHOP, decide


def test_a_comparison_is_made_once_until_something_else_is_denied(tmp_path: Path) -> None:
    with open_store(f"lmdb:{tmp_path}", SHOP) as store:
        before, after = fill(store, date(2024, 3, 2))
        comparisons = Comparisons(store)
        first = comparisons.of(before, after)
        assert first == compare_releases(store, before, after)
        assert comparisons.of(before, after) is first
        assert comparisons.of(after, before) != first
        decide(store, "denied", BANANAS)
        assert comparisons.of(before, after) == compare_releases(store, before, after) != first


def test_what_would_take_long_is_left_to_the_command(tmp_path: Path) -> None:
    with open_store(f"lmdb:{tmp_path}", SHOP) as store:
        before, after = fill(store, date(2024, 3, 2))
        lists = sum(manifest.records for manifest in store.manifests().values())
        assert Comparisons(store, most_records=lists).of(before, after).lists
        with pytest.raises(ConfigurationError, match=f"`topshelf diff {before} {after}`"):
            Comparisons(store, most_records=lists - 1).of(before, after)
        with pytest.raises(ConfigurationError, match="has no release 'gone'"):
            Comparisons(store).of(before, "gone")
