"""The lake in SQL: its Delta tables as views of DuckDB, to be read and not to be changed."""

from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from lakehouse.errors import ConfigurationError, DataError, InfrastructureError
from lakehouse.io import arrow
from lakehouse.tables import ALL_TABLES

# A statement sees the views alone: neither files, nor the network, nor the caller's variables.
LOCKED: Final = (
    "SET python_enable_replacements = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)

# What DuckDB says where Arrow cannot read a file for it.
STREAM_FAILED: Final = "reading the stream registered as"


def query(root: Path, statement: str) -> pa.Table:
    """The rows of one SQL statement over the tables of the lake at ``root``.

    Each table goes by its full name, as in ``SELECT * FROM gold.recommendations``, and is the
    version that is newest when the query begins. Raises ``ConfigurationError`` for a statement that
    DuckDB refuses, ``DataError`` where the lake has no table or a table cannot be read,
    ``InfrastructureError`` where the machine has too little memory for the answer.
    """
    written = [table for table in ALL_TABLES if arrow.exists(root, table)]
    if not written:
        raise DataError(f"no table was ever written below {root}. Run a night first.")
    with duckdb.connect() as database:
        for schema in {table.layer for table in written}:
            database.execute(f"CREATE SCHEMA {schema}")
        for table in written:
            name = table.full_name.replace(".", "_")
            database.register(name, arrow.dataset(root, table))
            view = f"CREATE VIEW {table.full_name} AS SELECT * FROM temp.{name}"  # noqa: S608
            database.execute(view)
        for setting in LOCKED:
            database.execute(setting)
        try:
            asked = database.extract_statements(statement)
            if [one.type for one in asked] != [duckdb.StatementType.SELECT]:
                raise ConfigurationError(
                    "give one statement that begins with SELECT, FROM, WITH, DESCRIBE or SHOW: the "
                    "lake is changed by the steps of a night alone."
                )
            rows = database.sql(statement)
            if twice := sorted({name for name in rows.columns if rows.columns.count(name) > 1}):
                raise ConfigurationError(
                    f"several columns are called {', '.join(twice)}: name them by AS."
                )
            return rows.to_arrow_table()
        except duckdb.OutOfMemoryException as error:
            raise InfrastructureError(
                "the query needs more memory than the machine has. Ask for fewer rows or columns."
            ) from error
        except (duckdb.Error, *arrow.UNREADABLE) as error:
            if not isinstance(error, duckdb.Error) or STREAM_FAILED in str(error):
                raise DataError(
                    "a file of the lake is missing or damaged: "
                    f"{str(error).splitlines()[0][:300]} Restore it from a backup, or run the step "
                    "that wrote its night again."
                ) from error
            raise ConfigurationError(str(error)) from error
