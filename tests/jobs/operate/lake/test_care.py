"""`topshelf lake status` and `maintain` on a lake of many nights, with one release in the store."""

import subprocess
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.config.settings import Retention, Settings
from jobs.operate.lake.care import maintain
from lakehouse.errors import DataError, InfrastructureError
from lakehouse.io import arrow
from lakehouse.tables import RECOMMENDATIONS, SILVER_USERS, USER_FEATURES, Table
from serving.publishing import publish
from serving.stores.opening import open_store
from tests.nights import settings_in
from tests.rows import row
from tests.stored_lists import make_release

TODAY = date(2024, 5, 11)
NIGHTS = [TODAY - timedelta(days=back) for back in range(11, 0, -1)]
SERVED = NIGHTS[0]


def write(root: Path, table: Table, night: date, user: str) -> int:
    column = table.partition_by[0]
    # Features lie in a folder for each day of which they tell.
    others = {name: night for name in table.partition_by if name != column}
    partition = {column: night}
    rows = [row(table, **partition, **others, user_id=user)]
    return arrow.replace(
        root, table, pa.Table.from_pylist(rows, arrow.arrow_schema(table)), partition
    )


def nights(root: Path, table: Table, version: int | None = None) -> list[date]:
    read = arrow.read(root, table, columns=[table.partition_by[0]], version=version)
    return sorted(read.column(0).to_pylist())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Eleven nights, each written twice; the release of the oldest has version 4 of features."""
    settings = settings_in(tmp_path)
    root = settings.paths.lake
    for night in NIGHTS:
        for user in ("first try", "u"):
            for table in (USER_FEATURES, RECOMMENDATIONS, SILVER_USERS):
                write(root, table, night, user)
    with open_store(settings.serving.store, settings.shop.name) as store:
        publish(store, *make_release(f"{SERVED}-1"), keep=5)
    kept = Retention(gold_days=5, versions_days=1)
    return settings.model_copy(update={"retention": kept})


def test_old_nights_and_unused_files_go_and_what_a_release_needs_stays(settings: Settings) -> None:
    root = settings.paths.lake
    before = arrow.version(root, USER_FEATURES)
    # No file is old enough to be deleted yet.
    assert maintain(settings, TODAY) == [
        "silver.users: wrote a checkpoint of its log",
        "gold.user_features: dropped 5 nights from 2024-05-01 to 2024-05-05",
        "gold.user_features: wrote a checkpoint of its log",
        "gold.recommendations: dropped 5 nights from 2024-05-01 to 2024-05-05",
        "gold.recommendations: wrote a checkpoint of its log",
    ]
    assert nights(root, USER_FEATURES) == [SERVED, *NIGHTS[6:]]
    assert nights(root, SILVER_USERS) == NIGHTS
    assert nights(root, USER_FEATURES, before) == NIGHTS
    assert maintain(settings, TODAY) == []

    at_once = Retention.model_construct(gold_days=5, versions_days=0)
    done = maintain(settings.model_copy(update={"retention": at_once}), TODAY)
    # The first try of each night, and the second of the nights that were dropped; version 4 of the
    # features is the second try of the second night, with what the first night had.
    assert [sentence.rsplit(",", 1)[0] for sentence in done] == [
        "silver.users: deleted 11 files that nobody reads",
        "gold.user_features: deleted 15 files that nobody reads",
        "gold.recommendations: deleted 16 files that nobody reads",
    ]
    assert nights(root, USER_FEATURES) == [SERVED, *NIGHTS[6:]]
    assert nights(root, USER_FEATURES, 4) == NIGHTS[:2]
    with pytest.raises(DataError, match="missing or damaged"):
        nights(root, USER_FEATURES, before)


def test_nothing_is_touched_where_the_releases_are_not_known(settings: Settings) -> None:
    root = settings.paths.lake
    serving = settings.serving.model_copy(update={"store": "redis://127.0.0.1:1/0"})
    with pytest.raises(InfrastructureError):
        maintain(settings.model_copy(update={"serving": serving}), TODAY)
    assert nights(root, RECOMMENDATIONS) == NIGHTS


def test_the_commands(settings: Settings, tmp_path: Path) -> None:
    def typed(*words: str) -> list[str]:
        command = ("topshelf", *words, "--config", str(tmp_path / "config.toml"))
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    # 90 days by default: nothing is that old.
    assert typed("maintain", "--run-date", str(TODAY)) == [
        "topshelf maintain: silver.users: wrote a checkpoint of its log",
        "topshelf maintain: gold.user_features: wrote a checkpoint of its log",
        "topshelf maintain: gold.recommendations: wrote a checkpoint of its log",
    ]
    assert typed("maintain", "--run-date", str(TODAY)) == ["topshelf maintain: nothing to do"]
    line = next(line for line in typed("lake", "status") if "silver.users" in line)
    shown = [cell.strip() for cell in line.strip("│").split("│")]
    assert shown[:3] == ["silver.users", "11", "11"]
    assert (shown[4], shown[6:]) == ("11", ["22", "0"])
