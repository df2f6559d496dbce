"""The notebooks run as they stand, on a small lake."""

import re
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

NIGHT, WEEK_AGO = date(2024, 5, 8), date(2024, 5, 1)


def write(lake: Path, table: Table, rows: list[dict[str, object]], night: date = NIGHT) -> None:
    content = [row(table, run_date=night, **values) for values in rows]
    arrow.replace(
        lake, table, pa.Table.from_pylist(content, arrow.arrow_schema(table)), {"run_date": night}
    )


def listed(*places: tuple[str, str, int, str], **values: object) -> list[dict[str, object]]:
    return [
        {"list": name, "user_id": user, "rank": rank, "item_id": item, "title": item.title()}
        | {"tier": "user", "reason_code": "again", "rules": [], "spare": False}
        | values
        for name, user, rank, item in places
    ]


@pytest.mark.parametrize(
    "notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem
)
def test_notebook_answers_on_any_lake(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = tmp_path / "lake"
    write(lake, RECOMMENDATIONS, listed(("all", "u1", 1, "tea"), ("all", "u1", 2, "oil")), WEEK_AGO)
    write(
        lake,
        RECOMMENDATIONS,
        [
            *listed(("all", "u1", 1, "tea"), ("discover", "u2", 1, "tea")),
            *listed(("all", "u1", 2, "jam"), rules=["jam-first"], reason_code="chosen"),
            *listed(("all", "u1", 3, "oil"), spare=True),
            *listed(("fallback", "", 1, "tea"), tier="global", reason_code="popular"),
        ],
    )
    write(
        lake,
        ITEM_FEATURES,
        [
            {"as_of": NIGHT, "item_id": item, "title": item.title(), "department": "FOOD"}
            | {"sellable": item != "gin", "buyers_total": buyers}
            for item, buyers in (("tea", 3), ("jam", 1), ("oil", 7), ("gin", 9), ("rye", 8))
        ],
    )
    monkeypatch.setenv("TOPSHELF_ROOT", str(ROOT))
    monkeypatch.setenv("TOPSHELF_CONFIG", str(ROOT / "infra/config/complete_journey.toml"))
    monkeypatch.setenv("TOPSHELF__PATHS__LAKE", str(lake))

    # nbformat leaves it untyped.
    cells = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    executed = NotebookClient(cells, timeout=120, kernel_name="python3").execute()

    summary, who, why, changed, moved, rules, by_rule, nobody = (
        cells_of(output["data"]["text/html"])
        for cell in executed.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    )
    # Spare places are nobody's.
    assert "all 1 2 2" in summary
    assert "1 all 2 jam Jam chosen x x" in who
    assert "chosen 1 0 0" in why
    # Of two places one has another item: jam came, oil went.
    assert "2024-05-08 against 2024-05-01" in changed[1]
    assert changed[2:] == ["all 1 0.5 1 1"]
    assert {"jam 0 1 1 Jam", "oil 1 0 -1 Oil"} <= set(moved)
    assert "jam-first NaN NaN all 1.0 1.0 1.0" in rules
    assert "0 jam-first jam Jam 1 2.0" in by_rule
    assert "2 of 4" in nobody[1]
    assert nobody[2:] == ["0 rye Rye FOOD NaN 8", "1 oil Oil FOOD NaN 7"]


def cells_of(html: str) -> list[str]:
    """The texts of each row of a table."""
    return [
        " ".join(re.sub("<[^>]+>", " ", row).split()) for row in re.findall("(?s)<tr.*?</tr>", html)
    ]
