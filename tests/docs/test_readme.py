"""The README's Python lines run as they stand, on a small lake, and all give the same answer."""

import ast
import re
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from lakehouse.io import arrow
from lakehouse.tables import RECOMMENDATIONS
from tests.project import ROOT
from tests.rows import row

README = ROOT / "README.md"
SNIPPETS = re.findall("(?s)```python\n(.*?)```", README.read_text(encoding="utf-8"))
NIGHT = date(2024, 5, 1)
PLACES = [
    ("discover", "u1", 1, "tea", "counts"),
    ("discover", "u1", 2, "jam", "counts"),
    ("discover", "u2", 1, "tea", "counts"),
    ("discover", "u2", 2, "salt", "popular"),
    ("all", "u2", 1, "rice", "popular"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a lake where the README has one."""
    folder = tmp_path_factory.mktemp("checkout")
    names = ("list", "user_id", "rank", "item_id", "source")
    rows = [
        row(RECOMMENDATIONS, run_date=NIGHT, **dict(zip(names, place, strict=True)))
        for place in PLACES
    ]
    arrow.replace(
        folder / ".topshelf" / "complete_journey" / "lake",
        RECOMMENDATIONS,
        pa.Table.from_pylist(rows, arrow.arrow_schema(RECOMMENDATIONS)),
        {"run_date": NIGHT},
    )
    return folder


def value_of_last_line(snippet: str) -> Any:
    """Run the lines as a prompt would."""
    *lines, last = ast.parse(snippet).body
    assert isinstance(last, ast.Expr)
    names: dict[str, object] = {}
    exec(compile(ast.Module(lines, []), str(README), "exec"), names)  # noqa: S102
    return eval(compile(ast.Expression(last.value), str(README), "eval"), names)  # noqa: S307


def by_source(answer: Any) -> dict[str, int]:
    if isinstance(answer, pd.Series):
        return {str(name): count for name, count in answer.items()}
    pairs = answer.rows() if hasattr(answer, "rows") else answer.to_numpy().tolist()
    return dict(pairs)


def test_there_are_lines_for_pandas_polars_and_duckdb() -> None:
    assert len(SNIPPETS) == 3
    for name, snippet in zip(("arrow", "polars", "duckdb"), SNIPPETS, strict=True):
        assert name in snippet


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_the_lines_answer_how_many_items_each_source_has_in_discover(
    snippet: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert by_source(value_of_last_line(snippet)) == {"counts": 2, "popular": 1}
