"""Seconds and rows per step of the last `make demo`, as a Markdown table."""

import json
import os
from pathlib import Path

SUMMARY = Path(".topshelf/demo/summary.json")


def main() -> None:
    """Print the table; without a demo, say how to get one."""
    if not SUMMARY.is_file():
        raise SystemExit(f"steps: no {SUMMARY}; run `make demo` first")
    summary = json.loads(SUMMARY.read_text())
    print(f"`make demo`, {os.cpu_count()} cores, run date {summary['run_date']}\n")
    print("| step | seconds | rows |")
    print("|---|---:|---|")
    for step, seconds in summary["seconds"].items():
        rows = ", ".join(f"{t} {n:,}" for t, n in summary["rows"].get(step, {}).items())
        print(f"| {step} | {seconds:.1f} | {rows} |")
    airflow = summary["airflow"]
    share = f"{airflow['overhead_share']:.1%} of the DAG run"
    print(f"| Airflow's own | {airflow['overhead_seconds']:.1f} | {share} |")
    together = summary["seconds"]["demo-data"] + airflow["wall_seconds"]
    print(f"| together | {together:.1f} | |")


if __name__ == "__main__":
    main()
