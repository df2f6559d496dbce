"""The run report and the demo's summary, from a made-up night."""

from dataclasses import replace
from datetime import date

import pytest

from jobs.demo import DagRun, progress, summarise
from jobs.job_report import JobReport
from jobs.overview import Accounted, Habit, Overview, Shelf, Suggestion, Validation
from jobs.report import SHOWN_METRICS, findings, layer_rows, render

NIGHT = date(2024, 1, 2)
MEASURES = dict.fromkeys(SHOWN_METRICS, 0.5) | {"ndcg@10": 0.25}


def report(step: str, seconds: float, **facts: object) -> JobReport:
    return JobReport(step, NIGHT, facts=facts, seconds=seconds)  # type: ignore[arg-type]


@pytest.fixture
def night() -> Overview:
    train = report(
        "train",
        9.5,
        methods={"all": "counts", "discover": "popular"},
        metrics={
            "all": {"popular": MEASURES | {"ndcg@10": 0.125}, "counts": MEASURES},
            "discover": {"popular": MEASURES, "counts": MEASURES | {"ndcg@10": 0.375}},
        },
        curve=[{"epoch": 1, "ndcg@10": 0.1}, {"epoch": 2, "ndcg@10": 0.2}],
    )
    return Overview(
        run_date=NIGHT,
        steps={
            "ingest": replace(
                report("ingest", 2.0), rows={"bronze.items": 5, "bronze.events": 1234567}
            ),
            "clean": replace(
                report("clean", 3.0), rows={"silver.interactions": 1234560}, warnings=("few rows",)
            ),
            "train": train,
            "gate": report("gate", 0.5, accepted=True),
            "publish": report("publish", 0.25, release="2024-01-02-0a1b2c3d"),
        },
        accounting=(Accounted("bronze.events", 1234567, 1234560, 4, 3),),
        validations=(
            Validation("bronze.events", True, 9, ()),
            Validation("silver.items", True, 7, ("title is known",)),
        ),
        shelves=(
            Shelf(
                "<b>7</b>",
                (Habit("SALT & <i>PEPPER</i>", 12, 3),),
                {
                    "all": (Suggestion(1, "MILK", "you take it often", "counts"),),
                    "discover": (Suggestion(1, "TEA", "popular", "popular"),),
                },
            ),
        ),
    )


def test_the_overview_gives_what_the_steps_reported(night: Overview) -> None:
    assert night.seconds == {
        "ingest": 2.0,
        "clean": 3.0,
        "train": 9.5,
        "gate": 0.5,
        "publish": 0.25,
    }
    assert night.warnings == (("clean", "few rows"),)
    assert night.release == "2024-01-02-0a1b2c3d"
    assert night.accepted is True


def test_the_rows_of_the_layers_stand_in_their_order(night: Overview) -> None:
    assert list(layer_rows(night).items()) == [
        ("bronze.events", 1234567),
        ("silver.interactions", 1234560),
    ]


def test_the_findings_say_so_where_another_method_would_have_done_better(night: Overview) -> None:
    assert findings(night) == [
        "List all: counts is published with ndcg@10 0.2500, ahead of popular with 0.1250.",
        "List discover: popular is published with ndcg@10 0.2500; on the test window counts would "
        "have done better with 0.3750, which nobody could know when choosing.",
    ]


def test_the_page_shows_the_night_and_needs_nothing_else(night: Overview) -> None:
    html = render(night, "../docs/index.html")
    for text in (
        "2024-01-02-0a1b2c3d",
        "1,234,567",
        "2 of 2 passed",
        "! warned: title is known",
        "counts (published)",
        "you take it often",
        '<a href="../docs/index.html">',
    ):
        assert text in html
    assert html.count("<img") == html.count('src="data:image/svg+xml;base64,') == 4


def test_the_page_never_runs_what_the_data_say(night: Overview) -> None:
    html = render(night, "docs")
    assert "&lt;b&gt;7&lt;/b&gt;" in html
    assert "SALT &amp; &lt;i&gt;PEPPER&lt;/i&gt;" in html
    assert "<i>" not in html
    assert "default-src 'none'" in html


def test_the_same_night_gives_the_same_page(night: Overview) -> None:
    assert render(night, "docs") == render(night, "docs")


def test_a_refused_night_has_a_page_too(night: Overview) -> None:
    refused = replace(
        night,
        steps={
            "train": replace(night.steps["train"], facts={}),
            "gate": report("gate", 0.5, accepted=False),
        },
        accounting=(),
        validations=(),
        shelves=(),
    )
    html = render(refused, "docs")
    assert "<b>refused</b>" in html
    assert "<b>none</b>" in html
    assert "Methods on the test window" not in html


def test_the_demo_s_figures_tell_steps_from_airflow(night: Overview) -> None:
    landed = JobReport("demo-data", NIGHT, rows={"transactions": 9}, seconds=4.0)
    summary = summarise(night, landed, DagRun(wall_seconds=20.0, step_seconds=15.25))
    assert summary["rows"] == {
        "demo-data": {"transactions": 9},
        "ingest": {"bronze.items": 5, "bronze.events": 1234567},
        "clean": {"silver.interactions": 1234560},
    }
    assert summary["seconds"] == {"demo-data": 4.0, **night.seconds}
    assert summary["airflow"] == {
        "wall_seconds": 20.0,
        "overhead_seconds": 4.75,
        "overhead_share": 0.2375,
    }
    assert summary["metrics"] == night.metrics
    assert summary["methods"] == {"all": "counts", "discover": "popular"}


def test_progress_is_what_the_steps_say_each_sentence_once() -> None:
    task, hook = "[airflow.sdk.definitions.dag] loc=dag.py:1501", "[airflow.task.hooks.x.Y] loc=x:9"
    log = [
        f"T [info     ] [DAG TEST] starting task_id=bronze.ingest map_index=-1 {task}",
        f"T [info     ] Spark-Submit cmd: spark-submit /x/submit.py ingest {hook}",
        f"T [info     ] topshelf ingest: warning: 2 columns [x] {hook}",
        f"T [info     ] topshelf ingest: bronze.events 1,234 (2.0 s) {hook}",
        "topshelf ingest: bronze.events 1,234 (2.0 s)",
        f"T [info     ] topshelf ingest: bronze.events 1,234 (2.0 s) {hook}",
        f"T [info     ] [DAG TEST] starting task_id=report map_index=-1 {task}",
    ]
    assert list(progress(log)) == [
        ("ingest", None),
        ("ingest", "warning: 2 columns [x]"),
        ("ingest", "bronze.events 1,234 (2.0 s)"),
        ("report", None),
    ]
