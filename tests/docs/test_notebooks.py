"""The notebooks run as they stand, on a small lake."""

from datetime import date
from pathlib import Path

import nbformat
import pyarrow as pa
import pytest
from nbclient import NotebookClient

from lakehouse.io import arrow
from lakehouse.tables import ITEM_FEATURES, RECOMMENDATIONS, Table
from tests.project import ROOT
from tests.rows import row

NIGHT = date(2024, 5, 1)


def write(lake: Path, table: Table, rows: list[dict[str, object]]) -> None:
    content = [row(table, run_date=NIGHT, **values) for values in rows]
    arrow.replace(
        lake, table, pa.Table.from_pylist(content, arrow.arrow_schema(table)), {"run_date": NIGHT}
    )


@pytest.mark.parametrize(
    "notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem
)
def test_notebook_runs_on_any_lake(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = tmp_path / "lake"
    write(
        lake,
        RECOMMENDATIONS,
        [
            {"list": "all", "user_id": "u1", "rank": 1, "item_id": "tea", "title": "Tea"},
            {"list": "all", "user_id": "u1", "rank": 2, "item_id": "jam", "title": "Jam"},
            {"list": "fallback", "user_id": "", "rank": 1, "item_id": "tea", "title": "Tea"},
        ],
    )
    write(
        lake,
        ITEM_FEATURES,
        [
            {"as_of": NIGHT, "item_id": "tea", "department": "DRINKS", "buyers_total": 3},
            {"as_of": NIGHT, "item_id": "jam", "department": "FOOD", "buyers_total": 1},
        ],
    )
    monkeypatch.setenv("TOPSHELF_ROOT", str(ROOT))
    monkeypatch.setenv("TOPSHELF_CONFIG", str(ROOT / "infra/config/complete_journey.toml"))
    monkeypatch.setenv("TOPSHELF__PATHS__LAKE", str(lake))

    # nbformat leaves it untyped.
    cells = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    executed = NotebookClient(cells, timeout=120, kernel_name="python3").execute()

    texts = [
        output["data"]["text/plain"]
        for cell in executed.cells
        for output in cell.get("outputs", [])
        if "text/plain" in output.get("data", {})
    ]
    assert "all           1     2      2" in texts[0]
    assert "tea" in texts[3]
    assert "DRINKS" in texts[3]
