"""Delta tables read and written by Spark."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lakehouse.errors import DataError
from lakehouse.io import arrow
from lakehouse.io.schemas import SPARK_TYPES, conform, spark_schema
from lakehouse.locks import jvm_lock, lock_path
from lakehouse.tables import Table


class Lakehouse:
    """The lake below one root folder, through one Spark session."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        """Open the lake at ``root``; the folder need not exist yet."""
        self.spark = spark
        self.root = root.resolve()

    @contextmanager
    def writing(self, *tables: Table) -> Iterator[None]:
        """Hold the write locks of ``tables``, always taken in the same order."""
        with ExitStack() as held:
            for table in sorted(tables, key=lambda table: table.full_name):
                held.enter_context(jvm_lock(self.spark._jvm, lock_path(self.root, table)))
            yield

    def read(self, table: Table, *, version: int | None = None) -> DataFrame:
        """The table as of now; an empty frame with its schema where nothing was written yet.

        ``version`` pins a Delta version, whatever is committed meanwhile. A column that was
        declared after a row was written is null. Raises ``DataError`` where the table's log cannot
        be used or its columns cannot be read as declared; of a damaged file Spark tells when it is
        read.
        """
        if not arrow.exists(self.root, table):
            # From Arrow no Python worker has to start, as it would from an empty list.
            none = arrow.arrow_schema(table).empty_table()
            return self.spark.createDataFrame(none, spark_schema(table))
        arrow.check(self.root, table, version=version)
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        frame = reader.load(self._path(table))
        return frame.select(
            *[
                F.col(column.name)
                if column.name in frame.columns
                else F.lit(None).cast(SPARK_TYPES[column.type]).alias(column.name)
                for column in table.columns
            ]
        )

    def version(self, table: Table) -> int | None:
        """The table's newest Delta version; ``None`` where nothing was written yet."""
        return arrow.version(self.root, table) if arrow.exists(self.root, table) else None

    def create(self, table: Table) -> None:
        """Create the table, without rows, where it does not exist."""
        arrow.create(self.root, table)

    def replace(self, table: Table, frame: DataFrame, partition: Mapping[str, date | str]) -> None:
        """Replace the rows of one partition by ``frame``, in one Delta commit.

        ``partition`` gives a value for one or more of the table's partition columns; every row of
        ``frame`` must carry them. A second call with the same frame leaves the table as it is. A
        nullable column that the table lacks joins it in the same commit. Raises ``DataError`` where
        ``partition`` names another column or the columns or types of the frame or of the table
        differ otherwise from the declaration.
        """
        stray = sorted(set(partition) - set(table.partition_by))
        if stray or not partition:
            raise DataError(
                f"{table.full_name} is partitioned by {table.partition_by}, not by {stray}."
            )
        self.create(table)
        arrow.check(self.root, table)
        condition = " AND ".join(f"{name} = '{value}'" for name, value in partition.items())
        (
            conform(frame, table)
            .write.format("delta")
            .mode("overwrite")
            .option("replaceWhere", condition)
            # A column that was declared since joins the table; other differences are refused.
            .option("mergeSchema", "true")
            .save(self._path(table))
        )

    def _path(self, table: Table) -> str:
        return str(self.root / table.path)
