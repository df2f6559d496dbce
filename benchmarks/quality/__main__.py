"""Measure all methods on four dates of Complete Journey: ``python -m benchmarks.quality``."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.quality import measure
from jobs.cli.app import ConfigFile, explaining, load_settings, parse_date
from jobs.cli.research import Methods
from jobs.night.recipes import chosen_methods
from jobs.steps.demo_data import data_folder

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


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
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    with explaining("quality"):
        settings = load_settings(config)
        measure.run(
            settings,
            data=data_folder(),
            out=out,
            lists=lists,
            at=measure.cuts(settings, [parse_date(text, "--cut") for text in cut or ()]),
            methods=chosen_methods(methods),
        )
        print(f"quality: {out / 'quality.md'}, {out / 'quality.json'}, lists in {lists}")


if __name__ == "__main__":
    app()
