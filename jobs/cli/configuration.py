"""Configurations written, checked and documented, and the documentation of the tables."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.app import ConfigFile, app, config_app, explaining, load_settings, print_content
from lakehouse.errors import ConfigurationError, DataError


@app.command("tables-doc")
def tables_doc() -> None:
    """Print the documentation of all tables (docs/tables.md)."""
    from jobs.reports import tables_doc as job

    print(job.tables_doc(), end="")


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
    from jobs.config import init as job

    with explaining("config init"):
        given = dict(_pair(text) for text in column or ())
        written, doubts = job.write_first_configuration(files, out=out, shop=shop, given=given)
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
    from jobs.config import check as job

    with explaining("config check"):
        checked = job.check(load_settings(config))
        print_content(job.show(checked))
        if problems := checked.problems:
            raise DataError(f"{len(problems)} source(s) cannot be taken in (see above).")
        print("topshelf config check: nothing is wrong")


@config_app.command("doc")
def config_doc() -> None:
    """Print the documentation of all settings (docs/configuration.md)."""
    from jobs.config import doc as job

    print(job.config_doc(), end="")


app.add_typer(config_app, name="config")
