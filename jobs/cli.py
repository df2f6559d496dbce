"""The command line: one command per step, the same in a terminal, a test and Airflow.

Exit codes: 0 done, 2 a wrong call or configuration, 3 wrong data, 4 an infrastructure failure,
99 the gate refused. The last line on stderr is then ``topshelf STEP: reason``. An exception that
nobody foresaw keeps its traceback and exits with 1.

Each command imports what it needs when it runs, so that ``lookup`` answers without loading Spark.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.steps import STEPS, Step, run_step
from lakehouse.errors import ConfigurationError, TopshelfError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from jobs.config import Settings
    from jobs.job_report import JobReport

EXIT_REFUSED = 99
PIPE_WIDTH = 200


class PersonalList(StrEnum):
    """The lists that are made for each user."""

    ALL = "all"
    DISCOVER = "discover"


app = typer.Typer(
    help="Nightly recommendations, from landing files to a key-value store.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RunDate = Annotated[
    str, typer.Option("--run-date", metavar="YYYY-MM-DD", help="Night to process, in UTC.")
]
ConfigFile = Annotated[
    Path,
    typer.Option("--config", envvar="TOPSHELF_CONFIG", help="Configuration file (TOML)."),
]


def main() -> None:
    """Entry point of the ``topshelf`` command and of spark-submit."""
    app(prog_name="topshelf")


@app.callback()
def _log_progress() -> None:
    """Let our own packages say how far they are; libraries only what is wrong."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for package in ("jobs", "features", "models", "expectations", "serving", "lakehouse"):
        logging.getLogger(package).setLevel(logging.INFO)


@contextmanager
def _explaining(command: str) -> Iterator[None]:
    """Turn a foreseen error into its message and exit code."""
    try:
        yield
    except TopshelfError as error:
        for line in _explanation(command, error):
            print(line, file=sys.stderr, flush=True)
        raise typer.Exit(error.exit_code) from error


def _explanation(command: str, error: TopshelfError) -> list[str]:
    """The lines of the message; the last one can stand alone, as schedulers show only that."""
    reason, *details = str(error).splitlines() or [type(error).__name__]
    if len(details) == 1:
        return [f"topshelf {command}: {reason} {details[0].strip()}"]
    if details:
        return [*details, f"topshelf {command}: {reason.rstrip(':')} (listed above)"]
    return [f"topshelf {command}: {reason}"]


def _parse_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"--run-date {text!r} is no date; give YYYY-MM-DD.") from error


def _load(config: Path) -> "Settings":
    settings: Settings = import_module("jobs.config").load(config)
    return settings


def _show(command: str, report: "JobReport") -> None:
    for warning in report.warnings:
        print(f"topshelf {command}: warning: {warning}")
    rows = ", ".join(f"{name} {count:,}" for name, count in report.rows.items())
    print(f"topshelf {command}: {rows or 'done'} ({report.seconds:.1f} s)", flush=True)


def _add_step(step: Step) -> None:
    @app.command(step.name, help=step.doc)
    def command(run_date: RunDate, config: ConfigFile) -> None:
        with _explaining(step.name):
            report = run_step(step, _load(config), _parse_date(run_date))
            _show(step.name, report)
            if step.name == "gate" and not report.facts["accepted"]:
                print("topshelf gate: refused; the former release goes on being served", flush=True)
                raise typer.Exit(EXIT_REFUSED)


for _step in STEPS:
    _add_step(_step)


@app.command("demo-data")
def demo_data(config: ConfigFile) -> None:
    """Land a year of real grocery retail, one file a day."""
    with _explaining("demo-data"):
        demo = import_module("jobs.demo")
        _show("demo-data", run_step(demo.DEMO_DATA, _load(config), demo.RUN_DATE))


@app.command()
def demo() -> None:
    """Run a night on the demo's data through Airflow and show what came of it."""
    with _explaining("demo"):
        import_module("jobs.demo").run()


@app.command()
def lookup(
    config: ConfigFile,
    user: Annotated[str, typer.Option("--user", help="The user's id in the source.")],
    list_name: Annotated[
        PersonalList, typer.Option("--list", help="Everything, or only what is new to the user.")
    ] = PersonalList.ALL,
) -> None:
    """Print the list that a user is served now."""
    with _explaining("lookup"):
        settings = _load(config)
        _print(import_module("jobs.lookup").lookup(settings, user, list_name.value))


@app.command()
def releases(config: ConfigFile) -> None:
    """Print the releases in the store, and which one serves."""
    with _explaining("releases"):
        _print(import_module("jobs.lookup").releases(_load(config)))


@app.command()
def rollback(
    config: ConfigFile,
    to: Annotated[
        str | None, typer.Option("--to", help="Release to serve; by default the previous one.")
    ] = None,
) -> None:
    """Let an earlier release serve again, at once."""
    with _explaining("rollback"):
        print(f"topshelf rollback: {import_module('jobs.lookup').rollback(_load(config), to)}")


@app.command("tables-doc")
def tables_doc() -> None:
    """Print the documentation of all tables (docs/tables.md)."""
    print(import_module("jobs.tables_doc").tables_doc(), end="")


def _print(content: "RenderableType") -> None:
    """Print tables as wide as the terminal; in a pipe nothing is cut off."""
    console = import_module("rich.console").Console
    console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(content)
