"""The command line's frame: the app, options that commands share, errors as exit codes.

Exit codes: 0 done, 2 a wrong call or configuration, 3 wrong data, 4 an infrastructure failure,
99 the gate refused. The last line on stderr is then ``topshelf STEP: reason``, also where a signal
ended the step (4). An exception that nobody foresaw keeps its traceback and exits with 1.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.errors import ConfigurationError, TopshelfError, foreseeing_system_failures
from lakehouse.ownership import check_owner
from lakehouse.windows import FIRST_DAY, LAST_DAY

if TYPE_CHECKING:
    from rich.console import RenderableType

    from jobs.config.settings import Settings
    from jobs.night.job_report import JobReport

PIPE_WIDTH = 200

config_app = typer.Typer(
    help="Write a configuration, check it, and print what can be set.", rich_markup_mode=None
)
rules_app = typer.Typer(
    help="Check the business rules, and see what they would change.", rich_markup_mode=None
)
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
Future = Annotated[bool, typer.Option("--future", help="Allow a run date after today (UTC).")]
ConfigFile = Annotated[
    Path,
    typer.Option("--config", envvar="TOPSHELF_CONFIG", help="Configuration file (TOML)."),
]
Methods = Annotated[
    str | None,
    typer.Option("--methods", metavar="A,B,C", help="Methods; by default all but spark_als."),
]


@app.callback()
def _log_progress() -> None:
    """Let our own packages say how far they are; libraries only what is wrong."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for package in ("jobs", "features", "models", "expectations", "serving", "lakehouse"):
        logging.getLogger(package).setLevel(logging.INFO)


@contextmanager
def explaining(command: str) -> Iterator[None]:
    """Turn a foreseen error into its message and exit code."""
    try:
        with foreseeing_system_failures():
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


def parse_date(text: str, option: str = "--run-date") -> date:
    """The date of an option; raises ``ConfigurationError`` for what is none."""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"{option} {text!r} is no date; give YYYY-MM-DD.") from error
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ConfigurationError(f"{option} {day} is not between {FIRST_DAY} and {LAST_DAY}.")
    return day


def night(text: str, *, future: bool, option: str = "--run-date") -> date:
    """The run date; one after today is refused unless the caller says that they mean it."""
    run_date, today = parse_date(text, option), _today()
    if run_date > today and not future:
        raise ConfigurationError(
            f"{option} {run_date} is after today, {today} (UTC, by this machine's clock). Such a "
            "night would take in files of the nights before it, and serve until it has come. "
            "Correct the date, or the clock; --future runs it all the same."
        )
    return run_date


def _today() -> date:
    return now().date()


def now() -> datetime:
    """The only look at the wall clock: a step depends on its run date alone."""
    return datetime.now(UTC)


def load_settings(config: Path, *, with_models: bool = True) -> "Settings":
    """The configuration; refuses state that belongs to another shop.

    Who needs no model spares the seconds of loading them: ``[models.*]`` is not looked at then.
    """
    from jobs.config.settings import load

    settings = load(config, with_models=with_models)
    for folder in settings.state_folders:
        check_owner(folder, settings.shop.name)
    return settings


def show(command: str, report: "JobReport") -> None:
    """Print what a step did."""
    for warning in report.warnings:
        print(f"topshelf {command}: warning: {warning}")
    rows = ", ".join(f"{name} {count:,}" for name, count in report.rows.items())
    print(f"topshelf {command}: {rows or 'done'} ({report.seconds:.1f} s)", flush=True)


def print_content(content: "RenderableType") -> None:
    """Print tables as wide as the terminal; in a pipe nothing is cut off."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(content)
