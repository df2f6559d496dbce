"""Seconds until a Spark step can work, each time in a process of its own.

The clock runs from the start of the process. The session is ready when ``spark_session`` returns;
after it, the first query on a small Delta table loads what every step needs.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STARTS = ("first", "second")


def main() -> None:
    """Write a small Delta table without Spark, then start Spark twice and read it."""
    import pyarrow as pa  # noqa: PLC0415 (the started processes shall not pay for these)
    from deltalake import write_deltalake  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Column, Table  # noqa: PLC0415

    table = Table(
        "start",
        Column("session ready after s", justify="right"),
        Column("Delta table read after s", justify="right"),
        title=f"Spark's start, {os.cpu_count()} cores",
    )
    with tempfile.TemporaryDirectory() as folder:
        write_deltalake(folder, pa.table({"number": [1, 2, 3]}))
        for name in STARTS:
            command = [sys.executable, __file__, folder, str(time.time())]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            table.add_row(name, *done.stdout.split())
    Console().print(table)


def start(table: Path, started: float) -> None:
    """Start the session, read the table, and print the seconds since ``started``."""
    from lakehouse.io.session import spark_session  # noqa: PLC0415 (its loading is part of a start)

    with spark_session("benchmark") as spark:
        ready = time.time() - started
        spark.read.format("delta").load(str(table)).count()
        print(f"{ready:.1f} {time.time() - started:.1f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        start(Path(sys.argv[1]), float(sys.argv[2]))
    else:
        main()
