"""What people do about rejected rows."""

from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.app import (
    ConfigFile,
    app,
    explaining,
    load_settings,
    now,
    parse_date,
    print_content,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lakehouse.clean.quarantine import Wanted

quarantine_app = typer.Typer(
    help="See rejected rows, take them back in, or let them be.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(quarantine_app, name="quarantine")

Source = Annotated[str | None, typer.Option("--source", help="Only rows of this landing source.")]
Rule = Annotated[str | None, typer.Option("--rule", help="Only rows that broke this rule.")]
First = Annotated[
    str | None, typer.Option("--from", metavar="YYYY-MM-DD", help="Only nights from this one on.")
]
Last = Annotated[
    str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="Only nights up to this one.")
]
Who = Annotated[str, typer.Option("--who", help="Who decides; kept in ops.quarantine_acts.")]
Why = Annotated[str, typer.Option("--why", help="The reason; kept there too.")]


def _wanted(source: str | None, rule: str | None, first: str | None, last: str | None) -> "Wanted":
    from lakehouse.clean.quarantine import Wanted

    return Wanted(
        source,
        rule,
        None if first is None else parse_date(first, "--from"),
        None if last is None else parse_date(last, "--to"),
    )


@quarantine_app.command("list")
def list_groups(
    config: ConfigFile,
    *,
    source: Source = None,
    rule: Rule = None,
    first: First = None,
    last: Last = None,
) -> None:
    """Count the rows that wait, by night, source and broken rules."""
    from jobs.operate.lake import quarantine as job

    with explaining("quarantine list"):
        settings = load_settings(config, with_models=False)
        print_content(job.listed(settings, _wanted(source, rule, first, last)))


@quarantine_app.command("show")
def show_rows(
    config: ConfigFile,
    *,
    source: Source = None,
    rule: Rule = None,
    first: First = None,
    last: Last = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 20,
) -> None:
    """Print rejected rows as delivered; they may hold personal data."""
    from jobs.operate.lake import quarantine as job

    with explaining("quarantine show"):
        settings = load_settings(config, with_models=False)
        print_content(job.show(settings, _wanted(source, rule, first, last), limit))


@quarantine_app.command("replay")
def replay(
    config: ConfigFile,
    *,
    who: Who,
    why: Why,
    source: Source = None,
    rule: Rule = None,
    first: First = None,
    last: Last = None,
) -> None:
    """Clean the nights of rows that wait once more, after the cause is mended.

    Rows that are sound now are in silver then, as of the day of their event; the next night's
    features have them.
    """
    from jobs.operate.lake import quarantine as job

    with explaining("quarantine replay"):
        settings = load_settings(config, with_models=False)
        wanted = _wanted(source, rule, first, last)
        _tell(job.replay(settings, wanted, job.Decision(who, why, now())), "replay")


@quarantine_app.command("drop")
def drop(
    config: ConfigFile,
    *,
    who: Who,
    why: Why,
    source: Source = None,
    rule: Rule = None,
    first: First = None,
    last: Last = None,
) -> None:
    """Let rows wait no longer; they stay in silver.quarantine."""
    from jobs.operate.lake import quarantine as job

    with explaining("quarantine drop"):
        settings = load_settings(config, with_models=False)
        wanted = _wanted(source, rule, first, last)
        _tell(job.drop(settings, wanted, job.Decision(who, why, now())), "drop")


def _tell(sentences: "Iterator[str]", command: str) -> None:
    nothing = "nothing that is meant waits in the quarantine"
    first = next(sentences, nothing)
    for sentence in (first, *sentences):
        print(f"topshelf quarantine {command}: {sentence}", flush=True)
