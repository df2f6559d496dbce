"""Copy a SQLite database that nobody else has open; fail where somebody has, or it is damaged."""

import sqlite3
import sys
from contextlib import closing

old, new = sys.argv[1:]
with closing(sqlite3.connect(old)) as source, closing(sqlite3.connect(new)) as target:
    (problem,) = source.execute("PRAGMA quick_check(1)").fetchone()
    if problem != "ok":
        sys.exit(f"{old} is damaged: {problem}")
    # Leaving the write-ahead log, which folds it in, takes having the database to oneself.
    try:
        source.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        sys.exit(f"{old} is in use ({error}): stop Airflow first")
    source.backup(target)
