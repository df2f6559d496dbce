"""What people do with what is served: look, hide, compare, go forward and back."""

from typing import Annotated

import typer

from jobs.cli.app import ConfigFile, app, explaining, load_settings, now, print_content
from lakehouse.errors import ConfigurationError
from lakehouse.lists import LISTS
from serving.format.releases import EVERYBODY

rollout_app = typer.Typer(
    help="Let a new release serve more users, all of them, or none.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(rollout_app, name="rollout")

Items = Annotated[
    list[str] | None, typer.Option("--item", metavar="ITEM", help="An item's id (repeatable).")
]
Who = Annotated[str, typer.Option("--who", help="Who decides; kept with the deny list.")]
Why = Annotated[str, typer.Option("--why", help="The reason; kept with the deny list.")]
Decider = Annotated[str, typer.Option("--who", help="Who decides; kept with the pointer.")]
Reason = Annotated[str, typer.Option("--why", help="The reason; kept with the pointer.")]


@app.command()
def lookup(
    config: ConfigFile,
    user: Annotated[
        str, typer.Option("--user", help="The user's id in the source; without, nobody known.")
    ] = "",
    list_name: Annotated[
        str,
        typer.Option("--list", metavar="|".join(LISTS), help="Which list."),
    ] = LISTS[0],
    context: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="E.g. store_id=367 or category=BEER: whose list, or what is known of an unknown "
            "user (repeatable; values of one name are mixed, others asked for in their order).",
        ),
    ] = None,
    item: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ITEM", help="For lists about items: one, or those of a basket (repeatable)."
        ),
    ] = None,
) -> None:
    """Print a list as it is served now."""
    from jobs.operate import lookup as job

    with explaining("lookup"):
        settings = load_settings(config, with_models=False)
        print_content(
            job.lookup(settings, user, list_name, contexts=context or (), items=item or ())
        )


@app.command()
def releases(config: ConfigFile) -> None:
    """Print the releases in the store, and which one serves."""
    from jobs.operate import lookup as job

    with explaining("releases"):
        print_content(job.releases(load_settings(config, with_models=False)))


@app.command()
def rollback(
    config: ConfigFile,
    to: Annotated[
        str | None, typer.Option("--to", help="Release to serve; by default the previous one.")
    ] = None,
) -> None:
    """Let an earlier release serve again, at once."""
    from jobs.operate import lookup as job

    with explaining("rollback"):
        settings = load_settings(config, with_models=False)
        print(f"topshelf rollback: {job.rollback(settings, to)}")


@app.command()
def diff(
    config: ConfigFile,
    before: Annotated[str | None, typer.Argument(help="A release of `topshelf releases`.")] = None,
    after: Annotated[str | None, typer.Argument(help="Another one.")] = None,
) -> None:
    """Print what readers get from one release, against another.

    By default the current release against the previous one, or a rollout's candidate against the
    current one.
    """
    from jobs.operate import diff as job

    with explaining("diff"):
        if (before is None) != (after is None):
            raise ConfigurationError("give two releases, or none.")
        print_content(job.diff(load_settings(config, with_models=False), before, after))


@app.command()
def deny(config: ConfigFile, item: Items = None, who: Who = "", why: Why = "") -> None:
    """Hide items from all lists at once, or print them.

    Without items, prints what is denied, by whom and why. Acts on all releases, published ones too,
    until `topshelf allow`.
    """
    from jobs.operate import deny as job

    with explaining("deny"):
        settings = load_settings(config, with_models=False)
        if not item:
            print_content(job.denied(settings))
            return
        for sentence in job.deny(settings, item, who=who, why=why, when=now()):
            print(f"topshelf deny: {sentence}")


@app.command()
def allow(
    config: ConfigFile,
    item: Annotated[list[str], typer.Option("--item", metavar="ITEM", help="As for deny.")],
    who: Who,
    why: Why,
) -> None:
    """Let denied items be shown again."""
    from jobs.operate import deny as job

    with explaining("allow"):
        settings = load_settings(config, with_models=False)
        for sentence in job.allow(settings, item, who=who, why=why, when=now()):
            print(f"topshelf allow: {sentence}")


@rollout_app.command("status")
def rollout_status(config: ConfigFile) -> None:
    """Print which release serves whom."""
    from jobs.operate import rollout as job

    with explaining("rollout status"):
        print_content(job.status(load_settings(config, with_models=False)))


@rollout_app.command("set")
def rollout_set(
    config: ConfigFile,
    share: Annotated[float, typer.Argument(help="Per cent of the users, above 0 and below 100.")],
    release: Annotated[
        str | None,
        typer.Option("--release", help="A stored release; by default the candidate."),
    ] = None,
    who: Decider = "",
    why: Reason = "",
) -> None:
    """Let the candidate serve that share of the users."""
    from jobs.operate import rollout as job

    with explaining("rollout set"):
        if not 0 < share < EVERYBODY:
            raise ConfigurationError(
                f"{share:g} is no share above 0 and below 100; `topshelf rollout finish` lets the "
                "candidate serve everybody, `abort` nobody."
            )
        by = job.signed(who, why, now())
        settings = load_settings(config, with_models=False)
        print(f"topshelf rollout: {job.set_share(settings, share, release, by)}")


@rollout_app.command("finish")
def rollout_finish(config: ConfigFile, who: Decider = "", why: Reason = "") -> None:
    """Let the candidate serve everybody."""
    from jobs.operate import rollout as job

    with explaining("rollout finish"):
        by = job.signed(who, why, now())
        print(f"topshelf rollout: {job.finish(load_settings(config, with_models=False), by)}")


@rollout_app.command("abort")
def rollout_abort(config: ConfigFile, who: Decider = "", why: Reason = "") -> None:
    """Withdraw the candidate; the current release serves everybody."""
    from jobs.operate import rollout as job

    with explaining("rollout abort"):
        by = job.signed(who, why, now())
        print(f"topshelf rollout: {job.abort(load_settings(config, with_models=False), by)}")
