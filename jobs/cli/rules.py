"""What people ask about business rules."""

from typing import Annotated

import typer

from jobs.cli.app import (
    ConfigFile,
    RunDate,
    app,
    explaining,
    load_settings,
    parse_date,
    print_content,
    rules_app,
)


@rules_app.command("check")
def rules_check(
    config: ConfigFile,
    run_date: Annotated[
        str | None,
        typer.Option(
            "--run-date",
            metavar="YYYY-MM-DD",
            help="Say which hold then; expired ones are mistakes.",
        ),
    ] = None,
) -> None:
    """Print the rules, or every mistake in their file."""
    from jobs.operate import rules as job

    with explaining("rules check"):
        night = None if run_date is None else parse_date(run_date)
        print_content(job.check(load_settings(config, with_models=False), night))


@rules_app.command("preview")
def rules_preview(config: ConfigFile, run_date: RunDate) -> None:
    """Print what each rule would change on a night, and what it would cost."""
    from jobs.operate import rules as job

    with explaining("rules preview"):
        print_content(job.preview(load_settings(config), parse_date(run_date)))


app.add_typer(rules_app, name="rules")
