"""The mappings that ship take in files of their data set's shape, to the row."""

import os
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.item_features import catalogue_in_force
from jobs.config.settings import Settings, load
from jobs.steps import clean, ingest
from lakehouse.errors import DataError
from lakehouse.ingest.sources import SourceMapping
from lakehouse.io.lake import Lakehouse
from lakehouse.tables import SILVER_INTERACTIONS, SILVER_ITEMS, SILVER_USERS, Table
from tests.project import ROOT
from tests.rows import rows_of, stored

ONLINE_RETAIL = ROOT.parent / "shared" / "data" / "online-retail" / "by-day"
GENRES = 19


def settings_for(mapping: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("lake", "landing", "runs", "data_quality"):
        monkeypatch.setenv(f"TOPSHELF__PATHS__{name.upper()}", str(folder / name))
    (folder / "landing").mkdir()
    return load(ROOT / "infra" / "config" / f"{mapping}.toml")


def take_in(lake: Lakehouse, settings: Settings, night: date) -> dict[str, int]:
    """Ingest and clean a night; the rows of the clean step."""
    ingest.run(lake, settings, run_date=night)
    return dict(clean.run(lake, settings, run_date=night).rows)


def columns(lake: Lakehouse, table: Table, *names: str) -> list[tuple[Any, ...]]:
    """These columns of a table's rows."""
    return [tuple(row[name] for name in names) for row in stored(lake.root, table)]


def land_rows(path: Path, source: SourceMapping, *rows: dict[str, str]) -> None:
    """Write rows as Parquet with all the columns of the mapping, ``1`` where a row has none."""
    columns = dict.fromkeys([*source.mapped_source_columns, *source.other_columns], "1")
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist([columns | row for row in rows]), path)


def test_a_new_catalogue_arrives_under_a_new_name(
    lake: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for("complete_journey", tmp_path, monkeypatch)
    landing = settings.paths.landing
    transactions, products, demographics = settings.sources
    soap, bread = {"product_id": "7", "product_type": "SOAP"}, {"product_id": "1"}
    time = {"transaction_timestamp": "2017-01-01 10:00:00"}
    land_rows(landing / "transactions" / "2017-01-01.parquet", transactions, time)
    land_rows(landing / "demographics.parquet", demographics, {})
    land_rows(landing / "products.parquet", products, soap, bread | {"product_type": "BREAD"})
    assert take_in(lake, settings, date(2017, 1, 2))["silver.items"] == 2

    renamed = bread | {"product_type": "WHITE BREAD"}
    land_rows(landing / "products.parquet", products, renamed)
    with pytest.raises(DataError, match=r"products\.parquet has other content .* new name"):
        ingest.run(lake, settings, run_date=date(2017, 1, 3))
    (landing / "products.parquet").rename(landing / "products-2017-01-02.parquet")
    land_rows(landing / "products.parquet", products, soap, bread | {"product_type": "BREAD"})
    assert take_in(lake, settings, date(2017, 1, 3))["silver.items"] == 1
    catalogue = catalogue_in_force(lake.read(SILVER_ITEMS)).select("item_id", "title")
    assert rows_of(catalogue) == [
        {"item_id": "1", "title": "WHITE BREAD"},
        {"item_id": "7", "title": "SOAP"},
    ]


def test_movielens_with_headers(
    lake: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for("movielens", tmp_path, monkeypatch)
    landing = settings.paths.landing
    (landing / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,10,4.5,881250949\n1,10,4.5,881250949\n2,10,five,881250950\n"
    )
    (landing / "movies.csv").write_text(
        'movieId,title,genres\n10,"Heat, The (1995)",Thriller|Action\n11,Sky,(no genres listed)\n'
    )
    rows = take_in(lake, settings, date(2024, 1, 1))
    assert rows["bronze.events"] == 3
    # A rating that is no number is rejected; the same rating again is a repeat.
    assert (rows["silver.interactions"], rows["silver.quarantine"], rows["repeated events"]) == (
        1,
        1,
        1,
    )
    rated = datetime(1997, 12, 4, 15, 55, 49, tzinfo=UTC)
    assert columns(lake, SILVER_INTERACTIONS, "user_id", "item_id", "event_ts", "value") == [
        ("1", "10", rated, 4.5)
    ]
    assert columns(lake, SILVER_ITEMS, "item_id", "title", "tags") == [
        ("10", "Heat, The (1995)", ["Action", "Thriller"]),
        ("11", "Sky", []),
    ]


def test_movielens_100k(lake: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for("movielens_100k", tmp_path, monkeypatch)
    landing = settings.paths.landing
    (landing / "u.data").write_text("1\t10\t4\t881250949\n")
    flags = "|".join("1" if place in (1, 16) else "0" for place in range(GENRES))
    (landing / "u.item").write_text(
        f"10|Café (1995)|01-Jan-1995||http://x|{flags}\n", encoding="latin-1"
    )
    (landing / "u.user").write_text("1|24|M|technician|85711\n")
    rows = take_in(lake, settings, date(2024, 1, 1))
    assert (rows["silver.interactions"], rows["silver.items"], rows["silver.users"]) == (1, 1, 1)
    assert columns(lake, SILVER_ITEMS, "title", "tags") == [
        ("Café (1995)", ["Action", "Thriller"]),
    ]
    assert columns(lake, SILVER_USERS, "user_id", "attributes") == [
        ("1", {"age": "24", "gender": "M", "occupation": "technician"}),
    ]


@pytest.mark.skipif(
    not ONLINE_RETAIL.is_dir(), reason=f"no daily order files at {os.path.relpath(ONLINE_RETAIL)}"
)
def test_daily_orders_night_after_night(
    lake: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for("online_retail", tmp_path, monkeypatch)
    days = [date(2011, 2, 6), date(2011, 2, 7), date(2011, 2, 8)]
    seen = []
    for day in days:
        shutil.copy(ONLINE_RETAIL / f"{day}.csv", settings.paths.landing)
        seen.append(take_in(lake, settings, day + timedelta(days=1)))
    for day, rows in zip(days, seen, strict=True):
        lines = len((ONLINE_RETAIL / f"{day}.csv").read_text().splitlines()) - 1
        assert (rows["bronze.events"], rows["bronze.items"]) == (lines, lines)
        kept = rows["silver.interactions"] + rows["silver.items"]
        left_out = rows["repeated events"] + rows["superseded items"]
        assert kept + rows["silver.quarantine"] + left_out == 2 * lines
        assert rows["silver.interactions"] > 0
    events = stored(lake.root, SILVER_INTERACTIONS)
    assert not any(
        row["user_id"].endswith(".0") or row["order_id"].startswith("C") or row["item_id"] == "POST"
        for row in events
    )
    assert len({row["ingest_date"] for row in events}) == len(days)
