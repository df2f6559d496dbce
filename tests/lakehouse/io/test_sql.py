"""SQL over a lake of two tables: what it answers, and what it must not do."""

import re
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse.errors import ConfigurationError, DataError
from lakehouse.io import arrow
from lakehouse.io.sql import query
from lakehouse.tables import RECOMMENDATIONS, SILVER_ITEMS
from tests.rows import row

NIGHT = date(2024, 5, 1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lake")
    places = [
        row(RECOMMENDATIONS, run_date=NIGHT, user_id="u1", rank=rank, item_id=item)
        for rank, item in ((1, "b"), (2, "a"))
    ]
    items = [
        row(SILVER_ITEMS, ingest_date=NIGHT, item_id=item, tags=tags)
        for item, tags in (("a", ["x", "y"]), ("b", []))
    ]
    for table, night, rows in (
        (RECOMMENDATIONS, "run_date", places),
        (SILVER_ITEMS, "ingest_date", items),
    ):
        written = pa.Table.from_pylist(rows, arrow.arrow_schema(table))
        arrow.replace(root, table, written, {night: NIGHT})
    return root


def test_tables_go_by_their_full_names_with_their_types(root: Path) -> None:
    found = query(
        root,
        "SELECT run_date, rank, item_id, tags FROM gold.recommendations "
        "JOIN silver.items USING (item_id) ORDER BY rank",
    )
    expected = {
        "run_date": pa.array([NIGHT, NIGHT], pa.date32()),
        "rank": pa.array([1, 2], pa.int32()),
        "item_id": ["b", "a"],
        "tags": pa.array([[], ["x", "y"]], pa.list_(pa.string())),
    }
    assert found.equals(pa.table(expected))


def test_what_there_is_can_be_asked(root: Path) -> None:
    found = query(
        root,
        "SELECT table_schema || '.' || table_name AS name FROM information_schema.tables "
        "WHERE table_schema IN ('gold', 'silver') ORDER BY name",
    )
    assert found.to_pydict() == {"name": ["gold.recommendations", "silver.items"]}


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM gold.recommendations",
        "DROP VIEW gold.recommendations",
        "CREATE TABLE mine AS SELECT 1",
        "COPY gold.recommendations TO 'FOLDER/stolen.csv'",
        "ATTACH 'FOLDER/other.db'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "SELECT 1; SELECT 2",
        "",
    ],
)
def test_all_but_one_question_is_refused(root: Path, tmp_path: Path, statement: str) -> None:
    with pytest.raises(ConfigurationError, match="give one statement that begins with SELECT"):
        query(root, statement.replace("FOLDER", str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_files_and_variables_outside_of_the_lake_are_out_of_reach(
    root: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with pytest.raises(ConfigurationError, match="disabled by configuration"):
        query(root, f"FROM '{secret}'")
    with pytest.raises(ConfigurationError, match="written"):
        query(root, "SELECT * FROM written")


def test_a_mistake_is_explained_as_duckdb_does(root: Path) -> None:
    with pytest.raises(ConfigurationError, match=r'(?s)"itm" not found.*"item_id"'):
        query(root, "SELECT itm FROM gold.recommendations")
    with pytest.raises(ConfigurationError, match="syntax error"):
        query(root, "SELECT FROM WHERE")


def test_columns_of_one_name_are_refused(root: Path) -> None:
    with pytest.raises(ConfigurationError, match="several columns are called a: name them by AS"):
        query(root, "SELECT 1 AS a, 2 AS b, 3 AS a")


def test_a_lake_without_tables_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no table was ever written"):
        query(tmp_path, "SELECT 1")


def test_a_missing_and_a_damaged_file_are_named(tmp_path: Path) -> None:
    rows = [row(RECOMMENDATIONS, run_date=NIGHT, user_id="u1")]
    schema = arrow.arrow_schema(RECOMMENDATIONS)
    arrow.replace(
        tmp_path, RECOMMENDATIONS, pa.Table.from_pylist(rows, schema), {"run_date": NIGHT}
    )
    (file,) = (tmp_path / RECOMMENDATIONS.path).glob("run_date=*/*.parquet")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="is missing or damaged"):
        query(tmp_path, "SELECT user_id FROM gold.recommendations")
    file.unlink()
    with pytest.raises(DataError, match=re.escape(file.name)):
        query(tmp_path, "SELECT user_id FROM gold.recommendations")
