"""The steps of a night, and what takes a night back."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.app import (
    ConfigFile,
    Future,
    RunDate,
    app,
    explaining,
    load_settings,
    night,
    parse_date,
    print_content,
    show,
)
from lakehouse.errors import EXIT_REFUSED, ConfigurationError
from lakehouse.steps import STEPS, Step
from serving.format.releases import EVERYBODY

if TYPE_CHECKING:
    from jobs.config.settings import Settings
    from jobs.night.job_report import JobReport


def _run(step: Step, config: Path, run_date: date, *, share: float | None = None) -> "JobReport":
    from jobs.night.running import run_step

    settings = load_settings(config, with_models=step.checks_models)
    if share is not None:
        settings = _serving_share(settings, share)
    report = run_step(step, settings, run_date)
    show(step.name, report)
    return report


def _add_step(step: Step) -> None:
    @app.command(step.name, help=step.doc)
    def command(run_date: RunDate, config: ConfigFile, *, future: Future = False) -> None:
        with explaining(step.name):
            report = _run(step, config, night(run_date, future=future))
            if step.name == "gate" and not report.facts["accepted"]:
                print("topshelf gate: refused; the former release goes on being served", flush=True)
                raise typer.Exit(EXIT_REFUSED)


def _add_recommend(step: Step) -> None:
    @app.command(
        step.name, help=f"{step.doc} Or, without a night, one list: a newcomer's or a basket's."
    )
    def command(
        config: ConfigFile,
        run_date: Annotated[
            str | None, typer.Option(metavar="YYYY-MM-DD", help="Night to process, in UTC.")
        ] = None,
        *,
        history: Annotated[
            list[str] | None,
            typer.Option(metavar="ITEM", help="Only print a list for who took it (repeatable)."),
        ] = None,
        history_file: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="The same, an item id a line; - reads from stdin."),
        ] = None,
        category: Annotated[
            list[str] | None,
            typer.Option(metavar="CATEGORY", help="The same for who chose it (repeatable)."),
        ] = None,
        context: Annotated[
            str | None,
            typer.Option(metavar="NAME=VALUE", help="Where they are, e.g. store_id=367."),
        ] = None,
        basket: Annotated[
            list[str] | None,
            typer.Option(
                metavar="ITEM,...",
                help="Only print what a basket of these items lacks, from what is served "
                "(repeatable).",
            ),
        ] = None,
        future: Future = False,
    ) -> None:
        with explaining(step.name):
            told = (history, history_file, category, context)
            is_newcomer = any(given is not None for given in told)
            if basket is not None and run_date is None and not is_newcomer:
                from jobs.operate import lookup

                settings = load_settings(config, with_models=False)
                print_content(lookup.complete(settings, basket))
            elif basket is None and run_date is not None and not is_newcomer:
                _run(step, config, night(run_date, future=future))
            elif basket is None and is_newcomer and run_date is None:
                from jobs.operate import newcomer

                lines = [] if history_file is None else newcomer.read_history(history_file)
                listed = newcomer.recommend(
                    load_settings(config),
                    [*(history or ()), *lines],
                    categories=category or (),
                    context=context,
                )
                print_content(listed)
            else:
                raise ConfigurationError(
                    "give either --run-date, or what is known of a newcomer: --history, "
                    "--history-file, --category, --context; or a --basket."
                )


def _add_publish(step: Step) -> None:
    @app.command(step.name, help=f"{step.doc} With --share, for some users first.")
    def command(
        run_date: RunDate,
        config: ConfigFile,
        share: Annotated[
            float | None,
            typer.Option(help="Per cent of the users; by default [serving] share, or all."),
        ] = None,
        *,
        future: Future = False,
    ) -> None:
        with explaining(step.name):
            _run(step, config, night(run_date, future=future), share=share)


def _serving_share(settings: "Settings", share: float) -> "Settings":
    """The settings with another share of users for a new release."""
    if not 0 < share <= EVERYBODY:
        raise ConfigurationError(f"--share {share:g} is not above 0 and at most 100.")
    serving = settings.serving.model_copy(update={"share": share})
    return settings.model_copy(update={"serving": serving})


ADDING = {"recommend": _add_recommend, "publish": _add_publish}

for _step in STEPS:
    ADDING.get(_step.name, _add_step)(_step)


@app.command()
def backfill(
    config: ConfigFile,
    first: Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="The first night.")],
    last: Annotated[str, typer.Option("--to", metavar="YYYY-MM-DD", help="The last night.")],
) -> None:
    """Run all nights between that have not ended, the oldest first.

    Stops where one fails; called again, it goes on there. What a later night published stays.
    """
    from jobs.operate import backfill as job

    with explaining("backfill"):
        settings = load_settings(config)
        nights = parse_date(first, "--from"), night(last, future=False, option="--to")
        for ended in job.backfill(settings, *nights, job.in_processes(config)):
            print(f"topshelf backfill: {ended.night}: {ended.said}", flush=True)
            if ended.exit_code:
                raise typer.Exit(ended.exit_code)


@app.command("undo-night")
def undo_night(run_date: RunDate, config: ConfigFile) -> None:
    """Take a night out of the lake; its files are new again.

    As if ingest to recommend had never run for that date. Models and releases stay.
    """
    from jobs.operate.lake import undo_night as job

    with explaining("undo-night"):
        undone = parse_date(run_date)
        removed = job.undo_night(load_settings(config, with_models=False), undone)
        rows = ", ".join(f"{name} {count:,}" for name, count in removed.items())
        print(f"topshelf undo-night: rows removed: {rows}")
