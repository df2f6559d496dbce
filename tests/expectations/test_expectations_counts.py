"""What the rules over whole rows count, against a plain count of the same rows."""

from collections import Counter, defaultdict

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from expectations.counts import duplicate_rows, misranked_groups, unbalanced_rows
from expectations.frames import column_types

small = st.integers(0, 3)
pairs = st.lists(st.tuples(small, small), max_size=12)


@given(pairs)
def test_duplicate_rows_are_those_beyond_the_first(rows: list[tuple[int, int]]) -> None:
    frame = pd.DataFrame(rows, columns=["a", "b"], dtype="int64")

    assert duplicate_rows(frame, ["a", "b"]) == len(rows) - len(set(rows))
    assert duplicate_rows(frame, ["a"]) == sum(n - 1 for n in Counter(a for a, _ in rows).values())


@given(pairs)
def test_a_group_is_ranked_if_its_ranks_are_one_to_its_size(rows: list[tuple[int, int]]) -> None:
    frame = pd.DataFrame(rows, columns=["group", "rank"], dtype="int64")
    groups = defaultdict(list)
    for group, rank in rows:
        groups[group].append(rank)
    misranked = [r for r in groups.values() if sorted(r) != list(range(1, len(r) + 1))]

    assert misranked_groups(frame, ["group"], "rank") == (len(misranked), len(groups))


@given(st.lists(st.tuples(small, small, small), max_size=12))
def test_a_row_is_balanced_if_its_parts_add_up(rows: list[tuple[int, int, int]]) -> None:
    frame = pd.DataFrame(rows, columns=["total", "a", "b"], dtype="int64")

    assert unbalanced_rows(frame, "total", ["a", "b"]) == sum(t != a + b for t, a, b in rows)


def test_types_of_pandas_columns() -> None:
    frame = pd.DataFrame(
        {
            "string": ["x", None],
            "int": pd.array([1, 2], dtype="int32"),
            "long": pd.array([1, None], dtype="Int64"),
            "double": [0.5, None],
            "boolean": [True, False],
            "date": [pd.Timestamp("2024-01-02").date(), None],
            "timestamp": pd.to_datetime(pd.Series(["2024-01-02", None]), utc=True),
            "array<string>": [["x"], []],
            "null": [None, None],
            "mixed": ["x", 1],
        }
    )

    assert column_types(frame) == [(name, name) for name in frame.columns]
