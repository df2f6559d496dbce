"""What people do with models, releases and the demo."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from jobs.cli.app import (
    ConfigFile,
    Future,
    RunDate,
    app,
    explaining,
    load_settings,
    night,
    print_content,
    show,
)
from lakehouse.steps import MAINTAIN

lake_app = typer.Typer(
    help="See what the lake's tables take.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(lake_app, name="lake")

Who = Annotated[str, typer.Option("--who", help="Who decides; kept in MLflow.")]
Why = Annotated[str, typer.Option("--why", help="The reason; kept in MLflow.")]


class Format(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    CSV = "csv"
    JSONL = "jsonl"


@app.command("demo-data")
def demo_data(config: ConfigFile) -> None:
    """Land a year of real grocery retail, one file a day."""
    from jobs.night.running import run_step
    from jobs.operate import demo

    with explaining("demo-data"):
        settings = load_settings(config, with_models=False)
        show("demo-data", run_step(demo.DEMO_DATA, settings, demo.RUN_DATE))


@app.command()
def demo() -> None:
    """Run a night on the demo's data through Airflow.

    Shows what came of it: rows, measures, seconds, a user's list, and where to look further.
    """
    from jobs.operate import demo as job

    with explaining("demo"):
        job.run()


@app.command()
def promote(
    config: ConfigFile,
    version: Annotated[str, typer.Argument(help="Model version, e.g. topshelf/3 or 3.")],
    who: Who,
    why: Why,
) -> None:
    """Make a model version champion, whatever the gate said."""
    from jobs.operate import promote as job

    with explaining("promote"):
        settings = load_settings(config, with_models=False)
        done = job.promote(settings, version, who=who, why=why)
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
    from jobs.operate import promote as job

    with explaining("demote"):
        settings = load_settings(config, with_models=False)
        done = job.demote(settings, who=who, why=why, to=to)
        print(f"topshelf demote: {done}")


@app.command()
def models(config: ConfigFile) -> None:
    """Print the model versions and what people decided."""
    from jobs.operate import model_versions as job

    with explaining("models"):
        print_content(job.models(load_settings(config, with_models=False)))


@app.command()
def mlflow(
    config: ConfigFile,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 5000,
) -> None:
    """Serve MLflow's page and print where it opens."""
    from jobs.operate import mlflow_page as job

    with explaining("mlflow"):
        job.serve(load_settings(config, with_models=False), port)


@app.command()
def reproduce(
    config: ConfigFile,
    release: Annotated[str, typer.Argument(help="A release of `topshelf releases`.")],
) -> None:
    """Make a release's lists again and compare them.

    Trains at the Delta versions of the release's manifest; nothing is written. With one thread the
    lists are the same or the command fails, with more it prints how much they agree.
    """
    from jobs.operate import reproduce as job

    with explaining("reproduce"):
        print_content(job.reproduce(load_settings(config), release))


@app.command()
def lineage(
    config: ConfigFile,
    release: Annotated[str, typer.Argument(help="A release of `topshelf releases`.")],
) -> None:
    """Print what a release was made from, down to the files."""
    from jobs.operate import lineage as job

    with explaining("lineage"):
        print_content(job.lineage(load_settings(config, with_models=False), release))


@app.command()
def sql(
    config: ConfigFile,
    statement: Annotated[str, typer.Argument(help="e.g. 'SELECT * FROM gold.recommendations'")],
    how: Annotated[
        Format, typer.Option("--format", help="A table for people, or all rows as text.")
    ] = Format.TABLE,
) -> None:
    """Ask the lake's tables a question in SQL.

    In DuckDB's dialect (docs/queries.md); nothing can be changed by it.
    """
    from jobs.operate.lake import sql as job

    with explaining("sql"):
        settings = load_settings(config, with_models=False)
        if how is Format.TABLE:
            print_content(job.as_table(settings, statement))
        else:
            sys.stdout.write(job.as_text(settings, statement, as_csv=how is Format.CSV))


@lake_app.command("status")
def lake_status(config: ConfigFile) -> None:
    """Print each table's rows, files and bytes, and what former versions take."""
    from jobs.operate.lake import care as job

    with explaining("lake status"):
        print_content(job.status(load_settings(config, with_models=False)))


@app.command(MAINTAIN.name, help=f"{MAINTAIN.doc} What releases were made from stays.")
def maintain(run_date: RunDate, config: ConfigFile, *, future: Future = False) -> None:
    """Drop old gold nights, and delete files that nobody reads."""
    from jobs.operate.lake import care as job

    with explaining(MAINTAIN.name):
        settings = load_settings(config, with_models=False)
        for sentence in job.maintain(settings, night(run_date, future=future)) or ["nothing to do"]:
            print(f"topshelf {MAINTAIN.name}: {sentence}")
