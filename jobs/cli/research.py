"""Comparisons and searches; none changes what is served."""

from pathlib import Path
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
    parse_date,
    print_content,
    show,
)
from lakehouse.errors import ConfigurationError

Methods = Annotated[
    str | None,
    typer.Option("--methods", metavar="A,B,C", help="Methods; by default all but spark_als."),
]


@app.command()
def compare(
    run_date: RunDate, config: ConfigFile, methods: Methods = None, *, future: Future = False
) -> None:
    """Train several methods on a night and print how they did.

    NDCG@10 on the test window with the gain over the best simple method, coverage, time and memory.
    Tracked in an MLflow experiment apart from the nights'; changes no release.
    """
    from jobs.night import recipes
    from jobs.research import compare as job

    with explaining("compare"):
        print_content(
            job.run(
                load_settings(config),
                run_date=night(run_date, future=future),
                methods=recipes.chosen_methods(methods),
            )
        )


@app.command("feature-value")
def feature_value(run_date: RunDate, config: ConfigFile, *, future: Future = False) -> None:
    """Measure what the ranker's groups of features are worth.

    NDCG@10 lost where a group is shuffled among the candidates, and where the rankers are trained
    without it. Changes no release.
    """
    from jobs.research import feature_value as job

    with explaining("feature-value"):
        print_content(job.run(load_settings(config), run_date=night(run_date, future=future)))


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
    from jobs.research import tune as job

    with explaining("tune"):
        if method not in (tunable := job.tunable()):
            raise ConfigurationError(
                f"--method {method!r} cannot be tuned; give one of {', '.join(tunable)}."
            )
        report = job.run(
            load_settings(config),
            run_date=night(run_date, future=future),
            method=method,
            trials=trials,
        )
        show("tune", report)
        print(Path(str(report.facts["proposal"])).read_text(), end="")


@app.command()
def backtest(
    run_date: RunDate,
    config: ConfigFile,
    cuts: Annotated[
        str, typer.Option(metavar="DAY,DAY,...", help="First days of the test windows.")
    ],
    methods: Methods = None,
    *,
    future: Future = False,
) -> None:
    """Judge methods on several past dates.

    At each date methods learn from what was before, are chosen as a night chooses, and judged by
    the days after it. Tracked in an MLflow experiment apart from the nights'; changes no release.
    """
    from jobs.night import recipes
    from jobs.research import backtest as job

    with explaining("backtest"):
        settings, last = load_settings(config), night(run_date, future=future)
        starts = [parse_date(text.strip(), "--cuts") for text in cuts.split(",")]
        print_content(
            job.run(
                settings,
                run_date=last,
                cuts=job.cuts_of(settings, last, starts),
                methods=recipes.chosen_methods(methods),
            )
        )
