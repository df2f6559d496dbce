"""The application given to spark-submit; it lives here so that jobs/ is not put on sys.path."""

import os
from pathlib import Path

from jobs.cli.main import main

# Relative paths of the configuration start at the project, wherever a worker was started.
os.chdir(Path(__file__).resolve().parents[2])
main()
