"""The entry point: ``topshelf COMMAND``, the same in a terminal, a test and Airflow.

Each command imports what it needs when it runs, so that ``lookup`` answers without loading Spark.
"""

import os
from functools import partial

from jobs.cli import nights, operate, research, serving
from jobs.cli.app import app
from jobs.night.supervision import supervised

# isort: split
# The overview lists commands as they are loaded: those of the night first, this one's last.
from jobs.cli import api, configuration, quarantine, rules

__all__ = [
    "api",
    "app",
    "configuration",
    "main",
    "nights",
    "operate",
    "quarantine",
    "research",
    "rules",
    "serving",
]

OWNER_ONLY = 0o077  # What a night writes is about people; Spark's JVM has the same in its settings.


def main() -> None:
    """Entry point of the ``topshelf`` command and of spark-submit."""
    os.umask(OWNER_ONLY)
    supervised(partial(app, prog_name="topshelf"))
