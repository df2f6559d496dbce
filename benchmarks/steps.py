"""Seconds and rows per step of the last `make demo`."""

import json
import os
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

SUMMARY = Path(".topshelf/demo/summary.json")


def main() -> None:
    """Print the table; without a demo, say how to get one."""
    if not SUMMARY.is_file():
        raise SystemExit(f"steps: no {SUMMARY}; run `make demo` first")
    summary = json.loads(SUMMARY.read_text())
    table = Table(
        "step",
        Column("seconds", justify="right"),
        "rows",
        title=f"make demo, {os.cpu_count()} cores, run date {summary['run_date']}",
    )
    for step, seconds in summary["seconds"].items():
        rows = ", ".join(f"{t} {n:,}" for t, n in summary["rows"].get(step, {}).items())
        table.add_row(step, f"{seconds:.1f}", rows)
    airflow = summary["airflow"]
    share = f"{airflow['overhead_share']:.1%} of the DAG run"
    table.add_row("Airflow's own", f"{airflow['overhead_seconds']:.1f}", share)
    together = summary["seconds"]["demo-data"] + airflow["wall_seconds"]
    table.add_row("together", f"{together:.1f}", "")
    Console().print(table)


if __name__ == "__main__":
    main()
