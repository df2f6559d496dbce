"""The command line: one command per step, the same in a terminal, a test and Airflow.

Exit codes: 0 done, 2 a wrong call or configuration, 3 wrong data, 4 an infrastructure failure,
99 the gate refused. The last line on stderr is then ``topshelf STEP: reason``, also where a signal
ended the step (4). An exception that nobody foresaw keeps its traceback and exits with 1.

Each command imports what it needs when it runs, so that ``lookup`` answers without loading Spark.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.steps import STEPS, Step, run_step
from jobs.supervision import supervised
from lakehouse.errors import (
    ConfigurationError,
    DataError,
    TopshelfError,
    foreseeing_system_failures,
)
from lakehouse.ownership import check_owner
from lakehouse.windows import FIRST_DAY, LAST_DAY

if TYPE_CHECKING:
    from rich.console import RenderableType

    from jobs.config import Settings
    from jobs.job_report import JobReport

EXIT_REFUSED = 99
OWNER_ONLY = 0o077  # What a night writes is about people; Spark's JVM has the same in its settings.
PIPE_WIDTH = 200


class PersonalList(StrEnum):
    """The lists that are made for each user."""

    ALL = "all"
    DISCOVER = "discover"


config_app = typer.Typer(
    help="Write a configuration, check it, and print what can be set.", rich_markup_mode=None
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

Who = Annotated[str, typer.Option("--who", help="Who decides; kept in MLflow.")]
Why = Annotated[str, typer.Option("--why", help="The reason; kept in MLflow.")]


def main() -> None:
    """Entry point of the ``topshelf`` command and of spark-submit."""
    os.umask(OWNER_ONLY)
    supervised(partial(app, prog_name="topshelf"))


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


def _parse_date(text: str, option: str = "--run-date") -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"{option} {text!r} is no date; give YYYY-MM-DD.") from error
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ConfigurationError(f"{option} {day} is not between {FIRST_DAY} and {LAST_DAY}.")
    return day


def _night(text: str, *, future: bool) -> date:
    """The run date; one after today is refused unless the caller says that they mean it."""
    run_date, today = _parse_date(text), _today()
    if run_date > today and not future:
        raise ConfigurationError(
            f"--run-date {run_date} is after today, {today} (UTC, by this machine's clock). Such a "
            "night would take in files of the nights before it, and serve until it has come. "
            "Correct the date, or the clock; --future runs it all the same."
        )
    return run_date


def _today() -> date:
    """The only look at the wall clock: a step depends on its run date alone."""
    return datetime.now(UTC).date()


def _load(config: Path) -> "Settings":
    settings: Settings = import_module("jobs.config").load(config)
    for folder in settings.state_folders:
        check_owner(folder, settings.shop.name)
    return settings


def _show(command: str, report: "JobReport") -> None:
    for warning in report.warnings:
        print(f"topshelf {command}: warning: {warning}")
    rows = ", ".join(f"{name} {count:,}" for name, count in report.rows.items())
    print(f"topshelf {command}: {rows or 'done'} ({report.seconds:.1f} s)", flush=True)


def _run(step: Step, config: Path, run_date: date) -> "JobReport":
    report = run_step(step, _load(config), run_date)
    _show(step.name, report)
    return report


def _add_step(step: Step) -> None:
    @app.command(step.name, help=step.doc)
    def command(run_date: RunDate, config: ConfigFile, *, future: Future = False) -> None:
        with _explaining(step.name):
            report = _run(step, config, _night(run_date, future=future))
            if step.name == "gate" and not report.facts["accepted"]:
                print("topshelf gate: refused; the former release goes on being served", flush=True)
                raise typer.Exit(EXIT_REFUSED)


def _add_recommend(step: Step) -> None:
    @app.command(step.name, help=f"{step.doc} Or, with --history, the list of one newcomer.")
    def command(
        config: ConfigFile,
        run_date: Annotated[
            str | None, typer.Option(metavar="YYYY-MM-DD", help="Night to process, in UTC.")
        ] = None,
        history: Annotated[
            list[str] | None,
            typer.Option(metavar="ITEM", help="Only print a list for who took it (repeatable)."),
        ] = None,
        history_file: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="The same, an item id a line; - reads from stdin."),
        ] = None,
        *,
        future: Future = False,
    ) -> None:
        with _explaining(step.name):
            is_newcomer = bool(history) or history_file is not None
            if run_date is not None and not is_newcomer:
                _run(step, config, _night(run_date, future=future))
            elif is_newcomer and run_date is None:
                newcomer = import_module("jobs.newcomer")
                lines = [] if history_file is None else newcomer.read_history(history_file)
                _print(newcomer.recommend(_load(config), [*(history or ()), *lines]))
            else:
                raise ConfigurationError("give either --run-date, or --history or --history-file.")


for _step in STEPS:
    (_add_recommend if _step.name == "recommend" else _add_step)(_step)


@app.command("demo-data")
def demo_data(config: ConfigFile) -> None:
    """Land a year of real grocery retail, one file a day."""
    with _explaining("demo-data"):
        demo = import_module("jobs.demo")
        _show("demo-data", run_step(demo.DEMO_DATA, _load(config), demo.RUN_DATE))


@app.command()
def demo() -> None:
    """Run a night on the demo's data through Airflow.

    Shows what came of it: rows, measures, seconds, a user's list, and where to look further.
    """
    with _explaining("demo"):
        import_module("jobs.demo").run()


@app.command()
def lookup(
    config: ConfigFile,
    user: Annotated[str, typer.Option("--user", help="The user's id in the source.")],
    list_name: Annotated[
        PersonalList, typer.Option("--list", help="Everything, or only what is new to the user.")
    ] = PersonalList.ALL,
    context: Annotated[
        str | None,
        typer.Option(metavar="NAME=VALUE", help="For unknown users, e.g. store_id=367."),
    ] = None,
) -> None:
    """Print the list that a user is served now."""
    with _explaining("lookup"):
        settings = _load(config)
        _print(import_module("jobs.lookup").lookup(settings, user, list_name.value, context))


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


@app.command("undo-night")
def undo_night(run_date: RunDate, config: ConfigFile) -> None:
    """Take a night out of the lake; its files are new again.

    As if ingest to recommend had never run for that date. Models and releases stay.
    """
    with _explaining("undo-night"):
        night = _parse_date(run_date)
        removed = import_module("jobs.undo_night").undo_night(_load(config), night)
        rows = ", ".join(f"{name} {count:,}" for name, count in removed.items())
        print(f"topshelf undo-night: rows removed: {rows}")


@app.command()
def compare(
    run_date: RunDate, config: ConfigFile, methods: Methods = None, *, future: Future = False
) -> None:
    """Train several methods on a night and print how they did.

    NDCG@10 on the test window with the gain over the best simple method, coverage, time and memory.
    Tracked in an MLflow experiment apart from the nights'; changes no release.
    """
    with _explaining("compare"):
        _print(
            import_module("jobs.compare").run(
                _load(config),
                run_date=_night(run_date, future=future),
                methods=import_module("jobs.recipes").chosen_methods(methods),
            )
        )


@app.command("feature-value")
def feature_value(run_date: RunDate, config: ConfigFile, *, future: Future = False) -> None:
    """Measure what the ranker's groups of features are worth.

    NDCG@10 lost where a group is shuffled among the candidates, and where the rankers are trained
    without it. Changes no release.
    """
    with _explaining("feature-value"):
        _print(
            import_module("jobs.feature_value").run(
                _load(config), run_date=_night(run_date, future=future)
            )
        )


@app.command()
def tune(
    run_date: RunDate,
    config: ConfigFile,
    method: Annotated[str, typer.Option(help="Method whose parameters are tried.")] = "two_stage",
    trials: Annotated[int, typer.Option(min=1, help="Trials that the search shall have.")] = 20,
    *,
    future: Future = False,
) -> None:
    """Search better parameters for a method and propose them.

    Only days before the test window are looked at. Writes and prints a fragment of configuration
    that nothing reads: a person copies it, and the gate decides.
    """
    with _explaining("tune"):
        job = import_module("jobs.tune")
        if method not in job.TUNABLE:
            raise ConfigurationError(
                f"--method {method!r} cannot be tuned; give one of {', '.join(job.TUNABLE)}."
            )
        report = job.run(
            _load(config), run_date=_night(run_date, future=future), method=method, trials=trials
        )
        _show("tune", report)
        print(Path(str(report.facts["proposal"])).read_text(), end="")


@app.command()
def quality(
    config: ConfigFile,
    out: Annotated[Path, typer.Option(help="Folder of quality.json and quality.md.")] = Path(
        "docs"
    ),
    lists: Annotated[Path, typer.Option(help="Folder of the lists, as Parquet.")] = Path(
        ".topshelf/quality"
    ),
    cut: Annotated[
        list[str] | None, typer.Option(metavar="YYYY-MM-DD", help="Only this cut (repeatable).")
    ] = None,
    methods: Methods = None,
) -> None:
    """Measure all methods on four dates of Complete Journey.

    What a night would publish is measured too. Writes quality.json, quality.md and every list.
    """
    with _explaining("quality"):
        job = import_module("jobs.quality")
        settings = _load(config)
        job.run(
            settings,
            data=import_module("jobs.demo_data").data_folder(),
            out=out,
            lists=lists,
            at=job.cuts(settings, [_parse_date(text, "--cut") for text in cut or ()]),
            methods=import_module("jobs.recipes").chosen_methods(methods),
        )
        print(f"topshelf quality: {out / 'quality.md'}, {out / 'quality.json'}, lists in {lists}")


@app.command()
def promote(
    config: ConfigFile,
    version: Annotated[str, typer.Argument(help="Model version, e.g. topshelf/3 or 3.")],
    who: Who,
    why: Why,
) -> None:
    """Make a model version champion, whatever the gate said."""
    with _explaining("promote"):
        done = import_module("jobs.promote").promote(_load(config), version, who=who, why=why)
        print(f"topshelf promote: {done}")


@app.command()
def demote(
    config: ConfigFile,
    who: Who,
    why: Why,
    to: Annotated[
        str | None,
        typer.Option("--to", help="Version to be champion; by default the one before."),
    ] = None,
) -> None:
    """Take the champion back; it gets no lists any more."""
    with _explaining("demote"):
        done = import_module("jobs.promote").demote(_load(config), who=who, why=why, to=to)
        print(f"topshelf demote: {done}")


@app.command()
def models(config: ConfigFile) -> None:
    """Print the model versions and what people decided."""
    with _explaining("models"):
        _print(import_module("jobs.promote").models(_load(config)))


@app.command()
def mlflow(
    config: ConfigFile,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 5000,
) -> None:
    """Serve MLflow's page and print where it opens."""
    with _explaining("mlflow"):
        import_module("jobs.mlflow_page").serve(_load(config), port)


@app.command()
def reproduce(
    config: ConfigFile,
    release: Annotated[str, typer.Argument(help="A release of `topshelf releases`.")],
) -> None:
    """Make a release's lists again and compare them.

    Trains at the Delta versions of the release's manifest; nothing is written. With one thread the
    lists are the same or the command fails, with more it prints how much they agree.
    """
    with _explaining("reproduce"):
        _print(import_module("jobs.reproduce").reproduce(_load(config), release))


@app.command("tables-doc")
def tables_doc() -> None:
    """Print the documentation of all tables (docs/tables.md)."""
    print(import_module("jobs.tables_doc").tables_doc(), end="")


@config_app.command("init")
def config_init(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Your files.")],
    out: Annotated[
        Path | None, typer.Option(help="File to write; by default SHOP.toml in this folder.")
    ] = None,
    shop: Annotated[
        str | None, typer.Option(help="Name of the shop; by default that of the files' folder.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=YOURS", help="E.g. user_id=Klient (repeatable)."),
    ] = None,
) -> None:
    """Look at files and write a first configuration, doubts as comments."""
    with _explaining("config init"):
        given = dict(_pair(text) for text in column or ())
        written, doubts = import_module("jobs.config_init").write_first_configuration(
            files, out=out, shop=shop, given=given
        )
        print(
            f"topshelf config init: wrote {written}; {doubts} line(s) that begin with `# ?` are "
            f"doubts. Then: topshelf config check --config {written}"
        )


def _pair(text: str) -> tuple[str, str]:
    ours, equals, yours = text.partition("=")
    if not (ours and equals and yours):
        raise ConfigurationError(f"--column {text!r} is not OURS=YOURS, such as user_id=Klient.")
    return ours, yours


@config_app.command("check")
def config_check(config: ConfigFile) -> None:
    """Say what is wrong, what each source matches, and how rows are read.

    People's ids are shown in part only. Writes nothing.
    """
    with _explaining("config check"):
        job = import_module("jobs.config_check")
        checked = job.check(_load(config))
        _print(job.show(checked))
        if problems := checked.problems:
            raise DataError(f"{len(problems)} source(s) cannot be taken in (see above).")
        print("topshelf config check: nothing is wrong")


@config_app.command("doc")
def config_doc() -> None:
    """Print the documentation of all settings (docs/configuration.md)."""
    print(import_module("jobs.config_doc").config_doc(), end="")


app.add_typer(config_app, name="config")


def _print(content: "RenderableType") -> None:
    """Print tables as wide as the terminal; in a pipe nothing is cut off."""
    console = import_module("rich.console").Console
    console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(content)
