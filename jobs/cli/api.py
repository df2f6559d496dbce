"""The API: start it, and say who may use it."""

from typing import Annotated

import typer

from jobs.cli.app import ConfigFile, app, explaining, load_settings, now, print_content
from serving.keys import SCOPES

keys_app = typer.Typer(
    help="Make, list and revoke keys of the API.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(keys_app, name="keys")


@app.command()
def serve(
    config: ConfigFile,
    host: Annotated[
        str, typer.Option(help="Address to listen at; all but loopback is for a proxy with TLS.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port.")] = 8600,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 1,
) -> None:
    """Serve lists by HTTP and take events in."""
    from jobs.operate import api as job

    with explaining("serve"):
        job.serve(load_settings(config, with_models=False), host, port, workers)


@app.command("api-doc")
def api_doc() -> None:
    """Print the API's OpenAPI document."""
    from jobs.operate import api as job

    print(job.document(), end="")


@keys_app.command("add")
def keys_add(
    config: ConfigFile,
    name: Annotated[str, typer.Option("--name", help="Whose key it is, for people.")],
    scope: Annotated[
        list[str],
        typer.Option("--scope", metavar="|".join(SCOPES), help="What it may do (repeatable)."),
    ],
) -> None:
    """Make a key and print it, this once."""
    from jobs.operate import api as job

    with explaining("keys add"):
        settings = load_settings(config, with_models=False)
        print(job.add_key(settings, name, scope, when=now()))


@keys_app.command("list")
def keys_list(config: ConfigFile) -> None:
    """Print the keys' ids, names and scopes."""
    from jobs.operate import api as job

    with explaining("keys list"):
        print_content(job.list_keys(load_settings(config, with_models=False)))


@keys_app.command("revoke")
def keys_revoke(
    config: ConfigFile,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="An id of `topshelf keys list`.")],
) -> None:
    """Take a key away; servers that run refuse it within a second."""
    from jobs.operate import api as job

    with explaining("keys revoke"):
        settings = load_settings(config, with_models=False)
        print(f"topshelf keys: {job.revoke_key(settings, key_id)}")
