"""The demo: land a year of real retail, run one night through Airflow, show what came of it."""

import json
import os
import re
import subprocess
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.config.settings import Settings, load
from jobs.night.job_report import JobReport, JsonValue
from jobs.night.outcomes import read_report
from jobs.night.running import run_step
from jobs.reports.overview import REPORT, Overview, collect
from jobs.reports.page import SHOWN_METRICS, findings, layer_rows, page_path
from jobs.reports.rule_effects import Effect
from lakehouse.errors import InfrastructureError
from lakehouse.files import write_text
from lakehouse.locks import process_lock
from lakehouse.steps import STEPS, Step
from models.evaluation.primary import PRIMARY_METRIC

PROJECT: Final = Path(__file__).resolve().parents[2]
CONFIG: Final = PROJECT / "infra" / "config" / "complete_journey.toml"
FOLDER: Final = Path(".topshelf/demo")
SUMMARY: Final = FOLDER / "summary.json"
LOG: Final = FOLDER / "airflow.log"
LOCK: Final = FOLDER / "lock"
RUN_DATE: Final = date(2018, 1, 2)
DAG: Final = "nightly_recommendations"
DEMO_DATA: Final = Step("demo-data", "Land the demo's data.")
TAIL_LINES: Final = 25
SHOWN_ITEMS: Final = 5
PIPE_WIDTH: Final = 200

STARTED = re.compile(r"\[DAG TEST\] starting task_id=(?:\w+\.)?(?P<step>[\w-]+)")
SAID = re.compile(r"\] topshelf (?P<step>[\w-]+): (?P<text>.*?)\s+\[airflow\.")


@dataclass(frozen=True, slots=True)
class DagRun:
    """How long ``airflow dags test`` took, and how much of it no step accounts for."""

    wall_seconds: float
    step_seconds: float

    @property
    def overhead_seconds(self) -> float:
        """Starting Airflow, its tasks and their JVMs."""
        return self.wall_seconds - self.step_seconds

    @property
    def overhead_share(self) -> float:
        """The overhead as a share of the whole run."""
        return self.overhead_seconds / self.wall_seconds


def run() -> None:
    """Run the demo in the checkout's folder; a second run brings the same state.

    Raises ``InfrastructureError`` where another demo runs, or where the DAG run fails, after
    showing the end of its log.
    """
    # Relative paths of the configuration start here in Airflow's tasks too.
    os.chdir(PROJECT)
    settings = load(CONFIG)
    with process_lock(LOCK, wait_seconds=0):
        _run(settings)


def _run(settings: Settings) -> None:
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(f"{DEMO_DATA.name:<10} ", end="")
    landed = run_step(DEMO_DATA, settings, RUN_DATE)
    console.print(_counts(landed))
    wall_seconds = _run_dag(console)
    night = _with_its_report(collect(settings, RUN_DATE), settings)
    dag_run = DagRun(wall_seconds, sum(night.seconds.values()))
    paths = {
        "run_report": str(page_path(settings, RUN_DATE)),
        "data_docs": str(night.steps[REPORT].facts["data_docs"]) if REPORT in night.steps else None,
        "airflow_log": str(LOG),
    }
    summary = summarise(night, landed, dag_run) | {"paths": dict(paths)}
    write_text(SUMMARY, json.dumps(summary, indent=2, sort_keys=True) + "\n")
    _show(console, night, dag_run)
    for name, path in {**paths, "figures": str(SUMMARY)}.items():
        console.print(f"{name.replace('_', ' '):<12} {path}")
    console.print(
        "\nNext: infra/run topshelf lookup --user 1    make airflow    make mlflow    "
        "docs/operations.md"
    )


def _with_its_report(night: Overview, settings: Settings) -> Overview:
    """The night with the step that built its page, which no page can know of."""
    report = read_report(settings.paths.lake, RUN_DATE, REPORT)
    return night if report is None else replace(night, steps={**night.steps, REPORT: report})


def summarise(night: Overview, landed: JobReport, dag_run: DagRun) -> dict[str, JsonValue]:
    """The demo's figures as JSON."""
    return {
        "run_date": night.run_date.isoformat(),
        "release": night.release,
        "rows": {"demo-data": dict(landed.rows), **{s: dict(r) for s, r in night.rows.items()}},
        "metrics": {
            name: {method: dict(values) for method, values in methods.items()}
            for name, methods in night.metrics.items()
        },
        "methods": dict(night.methods),
        "seconds": {"demo-data": landed.seconds, **night.seconds},
        "airflow": {
            "wall_seconds": round(dag_run.wall_seconds, 2),
            "overhead_seconds": round(dag_run.overhead_seconds, 2),
            "overhead_share": round(dag_run.overhead_share, 4),
        },
        "validations": {"passed": sum(v.passed for v in night.validations)},
        "warnings": [f"{step}: {text}" for step, text in night.warnings],
    }


def progress(lines: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """What an Airflow log says about the steps: ``(step, None)`` as one starts, then its sentences.

    Airflow repeats a failed task's output; a sentence is given once.
    """
    steps = {step.name for step in STEPS}
    seen = set()
    for line in lines:
        if (started := STARTED.search(line)) and started["step"] in steps:
            yield started["step"], None
        elif (said := SAID.search(line)) and said.groups() not in seen:
            seen.add(said.groups())
            yield said["step"], said["text"]


def _run_dag(console: Console) -> float:
    """Run the night with ``airflow dags test``; return its wall-clock seconds."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    began = time.perf_counter()
    with (
        LOG.open("w") as log,
        subprocess.Popen(  # noqa: S603
            ["airflow", "dags", "test", DAG, RUN_DATE.isoformat()],  # noqa: S607
            env=os.environ | {"TOPSHELF_CONFIG": str(CONFIG)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as airflow,
    ):

        def lines() -> Iterator[str]:
            for line in airflow.stdout or ():
                log.write(line)
                tail.append(line)
                yield line

        _print_progress(console, lines())
    if airflow.returncode:
        console.print("".join(["\n", *tail]))
        raise InfrastructureError(f"the DAG run failed; above is the end of its log {LOG}")
    return time.perf_counter() - began


def _print_progress(console: Console, lines: Iterable[str]) -> None:
    """One line a step: its name as it starts, the rest as it ends; warnings below."""
    running = False
    for step, text in progress(lines):
        if text is None:
            console.print("failed, tried again\n" if running else "", end="")
            console.print(f"{step:<10} ", end="")
        else:
            console.print(text if running else f"{'':<10} {text}")
        running = text is None


def _counts(report: JobReport) -> str:
    rows = ", ".join(f"{name} {count:,}" for name, count in report.rows.items())
    return f"{rows} ({report.seconds:.1f} s)"


def _show(console: Console, night: Overview, dag_run: DagRun) -> None:
    console.print("")
    console.print(_accounting_table(night))
    console.print("")
    for name in night.metrics:
        console.print(_metrics_table(night, name))
    for sentence in findings(night):
        console.print(sentence)
    console.print("")
    console.print(_seconds_table(night, dag_run))
    if night.rule_example is not None:
        console.print("")
        console.print(rules_table(night.rule_example))
    for shelf in night.shelves[:1]:
        console.print("")
        console.print(f"Household {shelf.user} takes most:")
        for habit in shelf.history[:SHOWN_ITEMS]:
            console.print(f"     {habit.item} ({habit.times} times, {habit.days_ago} days ago)")
        for name, suggestions in shelf.lists.items():
            console.print(f"  and is recommended ({name}):")
            for it in suggestions[:SHOWN_ITEMS]:
                console.print(f"  {it.rank}. {it.item} ({it.reason})")
    console.print("")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position == 0 else "right", no_wrap=True)
    return table


def _accounting_table(night: Overview) -> Table:
    table = _table("Rows", "table", "bronze", "= silver", "+ quarantine", "+ duplicates")
    for row in night.accounting:
        counts = (row.bronze, row.silver, row.quarantine, row.duplicates)
        table.add_row(row.table, *(f"{count:,}" for count in counts))
    for name, count in layer_rows(night).items():
        if name.startswith("gold."):
            table.add_row(name, f"{count:,}")
    return table


def _metrics_table(night: Overview, list_name: str) -> Table:
    table = _table(f"Methods for the list {list_name}, test window", "method", *SHOWN_METRICS)
    methods = night.metrics[list_name]
    for method in sorted(methods, key=lambda name: -methods[name][PRIMARY_METRIC]):
        chosen = method == night.methods[list_name]
        table.add_row(
            Text(f"{method} (published)" if chosen else method),
            *(f"{methods[method][name]:.4f}" for name in SHOWN_METRICS),
            style="bold" if chosen else "",
        )
    return table


def rules_table(example: Effect) -> Table:
    """The first places of a list, where they would be without rules, and which rules did it."""
    table = Table(
        title=f"What rules did to the list {example.list_name} of household {example.user}",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
    )
    table.add_column("place", justify="right")
    table.add_column("item")
    table.add_column("without rules", justify="right")
    table.add_column("rules")
    for row in example.listed:
        usual = "not listed" if row.before is None else str(row.before)
        table.add_row(
            "out" if row.place is None else str(row.place),
            Text(row.item),
            "" if row.before == row.place else usual,
            Text(", ".join(row.rules)),
            style="dim" if row.before == row.place else "",
        )
    return table


def _seconds_table(night: Overview, dag_run: DagRun) -> Table:
    table = _table("Seconds", "step", "seconds")
    for name, seconds in night.seconds.items():
        table.add_row(name, f"{seconds:.1f}")
    share = f"Airflow's own ({dag_run.overhead_share:.0%})"
    table.add_row(share, f"{dag_run.overhead_seconds:.1f}")
    table.add_row("together", f"{dag_run.wall_seconds:.1f}", style="bold")
    return table
