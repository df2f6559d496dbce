from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from lakehouse.errors import DataError
from lakehouse.io import arrow
from lakehouse.io.lake import Lakehouse
from lakehouse.tables import BRONZE_FILES, SILVER_ITEMS, SILVER_USERS, Table
from tests.rows import frame, row, rows_of

FIRST, SECOND = date(2024, 1, 1), date(2024, 1, 2)


def rows(table: Table, *given: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(
        [row(table, **values) for values in given], arrow.arrow_schema(table)
    )


def files(night: date, *names: str, batch: str = "b") -> pa.Table:
    return rows(
        BRONZE_FILES,
        *[{"source_file": n, "ingest_date": night, "ingest_batch": batch} for n in names],
    )


def test_a_partition_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    arrow.replace(tmp_path, BRONZE_FILES, files(FIRST, "a", "b"), {"ingest_date": FIRST})
    arrow.replace(tmp_path, BRONZE_FILES, files(SECOND, "c"), {"ingest_date": SECOND})
    arrow.replace(tmp_path, BRONZE_FILES, files(FIRST, "d"), {"ingest_date": FIRST})
    found = arrow.read(tmp_path, BRONZE_FILES, columns=["source_file", "ingest_date"])
    assert sorted(found.to_pylist(), key=repr) == [
        {"source_file": "c", "ingest_date": SECOND},
        {"source_file": "d", "ingest_date": FIRST},
    ]


def test_reading_filters_and_pins_versions(tmp_path: Path) -> None:
    first = arrow.replace(tmp_path, BRONZE_FILES, files(FIRST, "a"), {"ingest_date": FIRST})
    second = arrow.replace(tmp_path, BRONZE_FILES, files(SECOND, "b"), {"ingest_date": SECOND})
    assert arrow.version(tmp_path, BRONZE_FILES) == second
    later = arrow.read(tmp_path, BRONZE_FILES, filters=[("ingest_date", ">", FIRST)])
    assert later["source_file"].to_pylist() == ["b"]
    assert arrow.read(tmp_path, BRONZE_FILES, version=first)["source_file"].to_pylist() == ["a"]
    assert arrow.read(tmp_path, BRONZE_FILES).schema.names == list(BRONZE_FILES.column_names)


def test_partition_rows_come_from_the_log(tmp_path: Path) -> None:
    assert arrow.partition_rows(tmp_path, BRONZE_FILES) == {}
    arrow.replace(tmp_path, BRONZE_FILES, files(FIRST, "a", "b"), {"ingest_date": FIRST})
    arrow.replace(tmp_path, BRONZE_FILES, files(SECOND, "c"), {"ingest_date": SECOND})
    arrow.replace(tmp_path, BRONZE_FILES, files(SECOND), {"ingest_date": SECOND})
    assert arrow.partition_rows(tmp_path, BRONZE_FILES) == {("2024-01-01",): 2}


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    assert not arrow.exists(tmp_path, BRONZE_FILES)
    with pytest.raises(DataError, match=r"table bronze\.files does not exist"):
        arrow.read(tmp_path, BRONZE_FILES)
    with pytest.raises(DataError, match=r"table bronze\.files does not exist"):
        arrow.version(tmp_path, BRONZE_FILES)


def test_rows_of_another_schema_are_refused(tmp_path: Path) -> None:
    wrong = files(FIRST, "a").set_column(3, "bytes", pa.array([1], pa.int32()))
    with pytest.raises(DataError, match=r"bronze\.files: the rows' schema is not the declared one"):
        arrow.replace(tmp_path, BRONZE_FILES, wrong, {"ingest_date": FIRST})
    assert not arrow.exists(tmp_path, BRONZE_FILES)


@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_a_flipped_bit_is_harmless_or_named(tmp_path: Path, is_checkpointed: bool) -> None:
    for night in (FIRST, SECOND):
        table = files(night, *[f"file-{n}" for n in range(200)])
        arrow.replace(tmp_path, BRONZE_FILES, table, {"ingest_date": night})
    folder = tmp_path / BRONZE_FILES.path
    if is_checkpointed:
        DeltaTable(folder).create_checkpoint()

    def content() -> tuple[object, ...]:
        read = arrow.read(tmp_path, BRONZE_FILES)
        ordered = read.sort_by([("ingest_date", "ascending"), ("source_file", "ascending")])
        return ordered.to_pylist(), arrow.version(tmp_path, BRONZE_FILES)

    whole = content()
    random = np.random.default_rng(1)
    errors: list[tuple[str, str]] = []
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        kept = path.read_bytes()
        for place in random.integers(len(kept), size=20):
            damaged = bytearray(kept)
            damaged[place] ^= 1 << int(random.integers(8))
            path.write_bytes(damaged)
            try:
                assert content() == whole
            except DataError as error:
                errors.append((path.name, str(error)))
        path.write_bytes(kept)
    assert len(errors) > 30
    for name, message in errors:
        assert "is missing or damaged" in message or "_delta_log cannot be used" in message
        assert name in message or not name.startswith("part-")


def test_damage_names_the_file_and_the_way_out(tmp_path: Path) -> None:
    arrow.replace(tmp_path, BRONZE_FILES, files(FIRST, "a"), {"ingest_date": FIRST})
    [path] = (tmp_path / BRONZE_FILES.path).rglob("*.parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(DataError) as raised:
        arrow.read(tmp_path, BRONZE_FILES)
    assert str(raised.value).startswith(
        f"table bronze.files: ingest_date=2024-01-01/{path.name} below bronze/files is missing or "
        "damaged ("
    )
    assert str(raised.value).endswith(
        "). Restore it from a backup, or run the step that wrote the night of the file again."
    )
    path.unlink()
    with pytest.raises(DataError, match=rf"{path.name} below bronze/files is missing or damaged"):
        arrow.read(tmp_path, BRONZE_FILES)
    log = tmp_path / BRONZE_FILES.path / "_delta_log" / f"{1:020}.json"
    log.write_bytes(log.read_bytes().replace(b"ingest_date=2024-01-01", b"ingest_date=2024-01-03"))
    for look in (arrow.read, arrow.version, arrow.partition_rows):
        with pytest.raises(
            DataError, match=r"_delta_log cannot be used: the file ingest_date=2024"
        ):
            look(tmp_path, BRONZE_FILES)


def test_a_damaged_file_of_another_partition_is_not_so_much_as_opened(tmp_path: Path) -> None:
    for night, name in ((FIRST, "a"), (SECOND, "b")):
        arrow.replace(tmp_path, BRONZE_FILES, files(night, name), {"ingest_date": night})
    [path] = (tmp_path / BRONZE_FILES.path).glob("ingest_date=2024-01-01/*.parquet")
    path.unlink()
    read = arrow.read(tmp_path, BRONZE_FILES, filters=[("ingest_date", "=", SECOND)])
    assert read["source_file"].to_pylist() == ["b"]


def test_rows_of_another_partition_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a row for the partition 2024-01-02 has another ingest_d"):
        arrow.replace(tmp_path, BRONZE_FILES, files(FIRST, "a"), {"ingest_date": SECOND})
    with pytest.raises(
        DataError, match=r"is partitioned by \('ingest_date',\), not by \['bytes'\]"
    ):
        arrow.replace(tmp_path, BRONZE_FILES, files(FIRST, "a"), {"bytes": "1"})


def test_spark_reads_what_arrow_wrote_and_the_other_way_round(lake: Lakehouse) -> None:
    item = row(SILVER_ITEMS, item_id="i\u0142", title=None, tags=["a", "b"])
    user = row(SILVER_USERS, user_id="u", attributes={"age": "7"})
    night = {"ingest_date": item["ingest_date"]}
    arrow.replace(lake.root, SILVER_ITEMS, rows(SILVER_ITEMS, item), night)
    lake.replace(SILVER_USERS, frame(lake.spark, SILVER_USERS, [user]), night)
    assert rows_of(lake.read(SILVER_ITEMS)) == [item]
    [read] = arrow.read(lake.root, SILVER_USERS).to_pylist(maps_as_pydicts="strict")
    assert read == user

    lake.replace(SILVER_ITEMS, frame(lake.spark, SILVER_ITEMS, [item, item]), night)
    assert arrow.partition_rows(lake.root, SILVER_ITEMS) == {("2024-01-01",): 2}
    arrow.replace(lake.root, SILVER_ITEMS, rows(SILVER_ITEMS, item), night)
    assert rows_of(lake.read(SILVER_ITEMS)) == [item]
