"""The run report and the demo's summary, from a made-up night."""

import base64
import io
import re
from dataclasses import replace
from datetime import date, timedelta
from html import unescape
from pathlib import Path

import pyarrow as pa
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from expectations import checks
from expectations.data_docs import STYLE
from expectations.validation import validate
from jobs.config.settings import Settings, load
from jobs.night.job_report import JobReport, JsonValue, Outcome, StepFailure
from jobs.night.outcomes import keep
from jobs.operate.demo import DagRun, progress, rules_table, summarise
from jobs.reports import charts
from jobs.reports.differences import Change, Differences, ListChange
from jobs.reports.overview import (
    Accounted,
    BrokenRule,
    Habit,
    Overview,
    Serving,
    Shelf,
    State,
    Suggestion,
    Validation,
    Waiting,
    collect,
)
from jobs.reports.page import SHOWN_METRICS, Headline, findings, headline, layer_rows, render
from jobs.reports.responses import Response, responses
from jobs.reports.rule_effects import Effect, Listed
from jobs.steps.report import run
from lakehouse.colours import EMPHASIS
from lakehouse.io import arrow
from lakehouse.steps import STEPS
from lakehouse.tables import (
    EXPECTATION_RESULTS,
    FEEDBACK_DAILY,
    OPS_RUNS,
    RECOMMENDATIONS,
    ROW_ACCOUNTING,
    USER_FEATURES,
    USER_ITEM_FEATURES,
)
from serving.format.comparison import Mover, SegmentChurn
from serving.stores.opening import open_store
from tests.expectations.test_expectations import pandas_frame
from tests.rows import put, row

NIGHT = date(2024, 1, 2)
BEFORE = date(2024, 1, 1)
STEP_NAMES = [step.name for step in STEPS if step.name != "report"]
MEASURES = dict.fromkeys(SHOWN_METRICS, 0.5) | {"ndcg@10": 0.25}


def report(step: str, seconds: float, **facts: JsonValue) -> JobReport:
    return JobReport(step, NIGHT, facts=facts, seconds=seconds)


CHECK: dict[str, JsonValue] = {
    "list": "all",
    "rule": "ndcg@10 over popular",
    "challenger": 0.25,
    "against": 0.125,
    "difference": 0.125,
    "low": 0.1,
    "high": 0.15,
    "asked": "lower end above 0",
    "passed": True,
}


@pytest.fixture(scope="module")
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
        rule_costs={
            "all": [],
            "discover": [
                {
                    "rule": "no <tobacco>",
                    "users": 1300,
                    "places": 417,
                    "short": 0,
                    "ndcg_lost": 0.0033,
                    "ndcg_low": 0.0019,
                    "ndcg_high": 0.0047,
                    "coverage_lost": 0.0011,
                    "revenue_recall_lost": -0.0001,
                }
            ],
        },
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
            "gate": report("gate", 0.5, accepted=True, checks=[CHECK]),
            "publish": report("publish", 0.25, release="2024-01-02-0a1b2c3d"),
        },
        progress=dict.fromkeys(STEP_NAMES, "done"),
        failures=(),
        damaged=(),
        serving=Serving("2024-01-02-0a1b2c3d"),
        accounting=(Accounted("bronze.events", 1234567, 1234560, 4, 3),),
        waiting=(Waiting("till", "quantity_<b>", {"last night": 4, "older": 1234}),),
        validations=(
            Validation("bronze.events", True, 9, ()),
            Validation("silver.items", True, 7, ("title is known",)),
        ),
        broken_rules=(
            BrokenRule("silver.items", "title is <known>", "warn", "data", 0.25, 0.125, 3, 27),
            BrokenRule("silver.users", "rows are many", "fail", "data", 12.0, None, 0, 0),
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
        changes=Differences(
            run_date=BEFORE,
            rows=(Change("bronze.events", 1000000, 1234567),),
            metrics=(Change("all: method", "popular", "counts"), Change("all: ndcg@10", 0.2, 0.25)),
            lists=(ListChange("all", 2469, 12, 3, 0.256, 40, 5),),
            movers=(Mover("17", "TEA & <i>MORE</i>", 1200, 100),),
            settings=(Change("train.seed", 42, 7),),
            segments=(SegmentChurn("1 (1 to 8 days)", 77, 0.125),),
        ),
        rule_example=Effect(
            "27",
            "discover",
            (
                Listed("RICE", 1, 1, ()),
                Listed("SALT & <i>PEPPER</i>", 2, None, ("salt-first",)),
                Listed("TEA", 3, 2, ()),
                Listed("CIGARS", None, 3, ("no <tobacco>", "three-of-a-kind")),
            ),
        ),
        responses=(
            Response("all", "1", 8000, 250, 20),
            Response("all", "not known", 0, 3, 0),
            Response("discover", "4-5", 1200, 0, 0),
        ),
    )


@pytest.fixture(scope="module")
def html(night: Overview) -> str:
    """The page of the night."""
    return render(night, "../docs/index.html")


def test_the_page_says_what_business_rules_change_and_cost(html: str) -> None:
    [found] = [cells for cells in texts(html) if "no &lt;tobacco&gt;" in cells[1:2]]
    assert found == [
        "discover",
        "no &lt;tobacco&gt;",
        "1,300",
        "417",
        "0",
        "+0.0033",
        "[+0.0019, +0.0047]",
        "+0.0011",
        "-0.0001",
    ]


def test_the_page_shows_what_rules_did_to_one_list(html: str) -> None:
    rows = texts(html)
    start = rows.index(["place", "item", "without rules", "rules"])
    assert rows[start + 1 : start + 5] == [
        ["1", "RICE", "same", ""],
        ["2", "SALT &amp; &lt;i&gt;PEPPER&lt;/i&gt;", "not listed", "salt-first"],
        ["3", "TEA", "2", ""],
        ["✗", "CIGARS", "3", "no &lt;tobacco&gt; three-of-a-kind"],
    ]


def test_the_demo_shows_what_rules_did_to_one_household(night: Overview) -> None:
    assert night.rule_example is not None
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(rules_table(night.rule_example))
    assert [line.rstrip() for line in console.export_text().splitlines()] == [
        "What rules did to the list discover of household 27",
        "place  item                  without rules  rules",
        "    1  RICE",
        "    2  SALT & <i>PEPPER</i>     not listed  salt-first",
        "    3  TEA                               2",
        "  out  CIGARS                            3  no <tobacco>, three-of-a-kind",
    ]


def test_the_page_says_what_came_of_the_places_that_were_shown(html: str) -> None:
    rows = texts(html)
    start = rows.index(
        ["surface", "places", "impressions", "clicks", "CTR", "purchases", "conversion"]
    )
    assert rows[start + 1 : start + 4] == [
        ["all", "1", "8,000", "250", "3.12 %", "20", "0.25 %"],
        ["", "not known", "0", "3", "-", "0", "-"],
        ["discover", "4-5", "1,200", "0", "0.00 %", "0", "0.00 %"],
    ]


def test_responses_are_those_of_the_last_nights_by_band(tmp_path: Path) -> None:
    assert responses(tmp_path, NIGHT) == ()
    counts = {"impressions": 10, "clicks": 2, "purchases": 1, "surface": "all"}
    places = [1, 5, 4, 250, 0]
    put(
        tmp_path,
        FEEDBACK_DAILY,
        [counts | {"position": position} for position in places]
        + [counts | {"position": 1, "source": "two_stage", "surface": "all"}],
        {"run_date": NIGHT},
    )
    for other in (date(2023, 12, 27), date(2023, 12, 26), date(2024, 1, 3)):
        put(tmp_path, FEEDBACK_DAILY, [counts | {"position": 2}], {"run_date": other})
    assert responses(tmp_path, NIGHT) == (
        Response("all", "1", 20, 4, 2),
        Response("all", "2", 10, 2, 1),
        Response("all", "4-5", 20, 4, 2),
        Response("all", "11 and on", 10, 2, 1),
        Response("all", "not known", 10, 2, 1),
    )


def texts(html: str) -> list[list[str]]:
    """The texts of the cells of each table row."""
    return [
        [re.sub("<[^>]+>", "", cell).strip() for cell in re.findall("(?s)<t[dh].*?</t[dh]>", row)]
        for row in re.findall("(?s)<tr.*?</tr>", html)
    ]


def outcome(html: str) -> str:
    """The words of the page's first section."""
    section = html[html.index("<section") : html.index("</section>")]
    return unescape(" ".join(re.sub("<[^>]+>", " ", section).split()))


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


def test_the_page_shows_the_night_and_needs_nothing_else(html: str) -> None:
    for text in (
        "2024-01-02-0a1b2c3d",
        "1,234,567",
        "2 of 2 passed",
        "</b> warned: title is known",
        "counts (published)",
        "you take it often",
        '<a href="../docs/index.html">',
    ):
        assert text in html
    assert html.count("<img") == html.count('src="data:image/svg+xml;base64,') == 4


def test_the_page_never_runs_what_the_data_say(html: str) -> None:
    assert "&lt;b&gt;7&lt;/b&gt;" in html
    assert "SALT &amp; &lt;i&gt;PEPPER&lt;/i&gt;" in html
    assert "<i>" not in html
    assert "default-src 'none'" in html


def test_the_same_night_gives_the_same_page(night: Overview, html: str) -> None:
    assert render(night, "../docs/index.html") == html


def test_the_page_begins_with_the_outcome(html: str) -> None:
    assert outcome(html) == (
        "✓ Published 2024-01-02-0a1b2c3d, which serves ✓ ingest ✓ clean ✓ features ✓ relate "
        "✓ train ✓ gate ✓ recommend ✓ publish"
    )


def test_the_gate_s_table_has_the_intervals(html: str) -> None:
    assert [
        "all",
        "ndcg@10 over popular",
        "0.2500",
        "0.1250",
        "+0.1250",
        "[+0.1000, +0.1500]",
        "lower end above 0",
        "✓ pass",
    ] in texts(html)


def test_the_page_says_what_is_different_from_the_last_night(html: str) -> None:
    rows = texts(html)
    assert ["all", "2,469", "12", "3", "25.6 %", "40", "5"] in rows
    assert ["1 (1 to 8 days)", "77", "12.5 %"] in rows
    assert ["TEA &amp; &lt;i&gt;MORE&lt;/i&gt;", "1,200", "100", "-1100"] in rows
    assert ["bronze.events", "1,000,000", "1,234,567", "+23.5 %"] in rows
    assert ["all: method", "popular", "counts", ""] in rows
    assert ["all: ndcg@10", "0.2000", "0.2500", "+25.0 %"] in rows
    assert ["train.seed", "42", "7"] in rows


def test_the_page_has_the_trend_of_broken_rules(html: str) -> None:
    rows = texts(html)
    assert [
        "silver.items",
        "! title is &lt;known&gt;",
        "data",
        "0.2500",
        "0.1250",
        "3 of 27",
    ] in rows
    assert ["silver.users", "✗ rows are many", "data", "12.0000", "-", "0 of 0"] in rows


def test_the_page_says_how_long_rejected_rows_have_waited(html: str) -> None:
    rows = texts(html)
    ages = ["last night", "2 to 7 nights", "8 to 28 nights", "older"]
    assert ["source", "broken rules", *ages] in rows
    assert ["till", "quantity_&lt;b&gt;", "4", "0", "0", "1,234"] in rows


def test_tables_have_the_order_of_the_chart(html: str) -> None:
    section = html[html.index("<h2>Methods on the test window") :]
    methods = [row[0] for row in texts(section) if len(row) == 7]
    assert methods == [
        "method",
        "counts (published)",
        "popular",
        "method",
        "counts",
        "popular (published)",
    ]


def test_a_refused_night_has_a_page_too(night: Overview) -> None:
    done: list[State] = ["done"] * 5
    missing: list[State] = ["not reached"] * 2
    refused = replace(
        night,
        steps={
            "train": replace(night.steps["train"], facts={}),
            "gate": replace(report("gate", 0.5, accepted=False), warnings=("all: worse",)),
        },
        progress=dict(zip(STEP_NAMES, [*done, "refused", *missing], strict=True)),
        serving=Serving("2024-01-01-ffffffff"),
        accounting=(),
        waiting=(),
        validations=(),
        broken_rules=(),
        shelves=(),
        changes=None,
    )
    html = render(refused, "docs")
    assert outcome(html) == (
        "! The gate refused the night's model Nothing was published. Release 2024-01-01-ffffffff "
        "is served. all: worse ✓ ingest ✓ clean ✓ features ✓ relate ✓ train ! gate: refused "
        "· recommend: not reached · publish: not reached"
    )
    assert "<b>refused</b>" in html
    assert "<b>none</b>" in html
    assert "Methods on the test window" not in html


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    config = tmp_path / "shop.toml"
    config.write_text(
        f"""
[shop]
name = "corner"
[paths]
lake = "{tmp_path}/lake"
landing = "{tmp_path}/landing"
runs = "{tmp_path}/runs"
data_quality = "{tmp_path}/data_quality"
[serving]
store = "lmdb:{tmp_path}/store"
[[sources]]
name = "till"
target = "events"
path = "{{date}}.csv"
format = "csv"
columns = {{ user_id = "u", item_id = "i", event_time = "t" }}
constants = {{ event_type = "purchase" }}
"""
    )
    return load(config)


def kept(settings: Settings, outcome: Outcome) -> None:
    keep(outcome, lake=settings.paths.lake, runs=settings.paths.runs)


def made(settings: Settings, *steps: str, at: date = NIGHT, **facts: JsonValue) -> None:
    for step in steps:
        kept(settings, JobReport(step, at, rows={step: 1}, facts=facts, seconds=1.0))


def page_of(settings: Settings) -> str:
    return Path(str(run(settings, run_date=NIGHT).facts["page"])).read_text()


def test_a_failed_night_s_page_begins_with_what_failed_and_why(settings: Settings) -> None:
    made(settings, "ingest", "clean", "features", "train")
    kept(settings, StepFailure("clean", NIGHT, 3, "silver.x breaks 2 rules:", ("y <1", "z")))
    with open_store(settings.serving.store, settings.shop.name) as store, store.publishing():
        store.update(lambda pointer: pointer.activated("2024-01-01-ffffffff"))

    html = page_of(settings)

    assert outcome(html) == (
        "✗ clean failed (exit code 3) silver.x breaks 2 rules: y <1 z Nothing was published. "
        "Release 2024-01-01-ffffffff is served. Once the cause is mended, run clean and what "
        "follows again: clear the task in Airflow, or `topshelf clean --run-date 2024-01-02`. "
        "✓ ingest ✗ clean: failed · features: not reached · relate: not reached "
        "· train: not reached · gate: not reached · recommend: not reached · publish: not reached"
    )
    # What an earlier run of the night left of later steps is left out, and no chart is empty.
    assert list(collect(settings, NIGHT).steps) == ["ingest"]
    assert "none made" in html
    assert html.count("<img") == 1
    assert "of 0 passed" not in html


def test_a_night_of_which_nothing_ran_has_a_page(settings: Settings) -> None:
    html = page_of(settings)
    assert outcome(html).startswith("! Nothing of this night has run Nothing is served yet.")
    assert "<img" not in html


def test_a_night_that_ended_without_a_word_says_where(settings: Settings) -> None:
    made(settings, "ingest", "clean")
    assert outcome(page_of(settings)).startswith(
        "! The night ended before features features left neither a report nor a failure: it was "
        "not started, is still running, or was killed; its log knows. Nothing is served yet. "
        "✓ ingest ✓ clean · features: not reached"
    )


def test_damaged_outcomes_and_validations_are_named_with_the_remedy(settings: Settings) -> None:
    made(settings, *STEP_NAMES, accepted=True, release="r")
    [path] = (settings.paths.lake / OPS_RUNS.path).glob("*/step=features/*.parquet")
    path.unlink()
    made(settings, "train", methods=["a former form"])
    results = settings.paths.data_quality / "2024-01-02" / "results"
    results.mkdir(parents=True)
    (results / "silver.items.json").write_text("{")

    night = collect(settings, NIGHT)

    features, *others = night.damaged
    assert features.startswith(
        f"table ops.runs: run_date=2024-01-02/step=features/{path.name} below ops/runs is missing "
    )
    assert others == [
        "the outcome of the train step for 2024-01-02 lacks methods, or has it in a former form. "
        "Run `topshelf train --run-date 2024-01-02` again.",
        f"{results}/silver.items.json is damaged: it is no JSON. Run "
        "`topshelf clean --run-date 2024-01-02` again.",
    ]
    assert night.progress["features"] == night.progress["train"] == "damaged"
    assert night.progress["publish"] == "done"
    assert headline(night).verdict == "warn"
    assert "silver.items.json is damaged" in page_of(settings)


def test_broken_rules_are_kept_and_shown_beside_earlier_nights(settings: Settings) -> None:
    for day, items in ((NIGHT - timedelta(days=29), 4), (BEFORE, 3), (NIGHT, 1)):
        made(settings, *STEP_NAMES, accepted=True, release="r", at=day)
        validate(
            pandas_frame(ROW_ACCOUNTING, [{"table_name": f"t{item}"} for item in range(items)]),
            ROW_ACCOUNTING,
            run_date=day,
            results=settings.paths.data_quality,
            checks=[checks.row_count(minimum=items + (day == NIGHT), advice="A.", severity="warn")],
        )
        run(settings, run_date=day)
    broken = BrokenRule(
        "silver.row_accounting", "the row count must be at least 2", "warn", "data", 1.0, 3.0, 0, 1
    )
    assert collect(settings, NIGHT).broken_rules == (broken,)
    run(settings, run_date=NIGHT)
    kept = arrow.read(settings.paths.lake, EXPECTATION_RESULTS, filters=[("run_date", "=", NIGHT)])
    assert kept.num_rows == 13

    # A table that takes nothing stops no report.
    for commit in (settings.paths.lake / EXPECTATION_RESULTS.path / "_delta_log").iterdir():
        commit.write_text("{")
    unkept, damaged = run(settings, run_date=NIGHT).warnings
    assert unkept.startswith("ops.expectation_results was not brought up to date: ")
    assert "ops/expectation_results/_delta_log cannot be used" in damaged


def test_a_night_for_a_share_of_the_users_says_who_gets_what(night: Overview) -> None:
    serving = Serving("2024-01-01-ffffffff", candidate=night.release, share=5.0)
    assert headline(replace(night, serving=serving)) == Headline(
        "pass",
        "Published 2024-01-02-0a1b2c3d, which serves 5 % of the users",
        (
            "Release 2024-01-01-ffffffff is served; 5 % of the users get 2024-01-02-0a1b2c3d "
            "instead, a rollout that is on.",
        ),
    )
    other = replace(serving, candidate="2024-01-01-eeeeeeee")
    assert headline(replace(night, serving=other)).title.endswith("which does not serve")


def test_a_store_that_cannot_be_read_does_not_stop_the_report(settings: Settings) -> None:
    down = settings.serving.model_copy(update={"store": "redis://:hunter2@127.0.0.1:1/0"})
    html = page_of(settings.model_copy(update={"serving": down}))
    assert "What is served is not known: " in html
    assert "hunter2" not in html


def lists_of(night: date, *places: tuple[str, str]) -> pa.Table:
    rows = [
        {
            "run_date": night,
            "list": "all",
            "user_id": user,
            "rank": rank,
            "item_id": item,
            "title": None,
            "score": 0.0,
            "source": "s",
            "reason": "r",
            "model_version": "m",
            "release": "r",
        }
        for rank, (user, item) in enumerate(places, start=1)
    ]
    return pa.Table.from_pylist(rows, arrow.arrow_schema(RECOMMENDATIONS))


def test_the_last_published_night_is_compared_with(settings: Settings) -> None:
    earlier = settings.model_copy(
        update={"train": settings.train.model_copy(update={"seed": 7, "test_days": 14})}
    )
    made(settings, "publish", at=date(2023, 12, 30), release="r")
    made(settings, "ingest", at=date(2024, 1, 3))
    made(settings, "ingest", "recommend", "publish", at=BEFORE, release="r")
    kept(settings, run(earlier, run_date=BEFORE))
    made(settings, *STEP_NAMES, accepted=True, release="r")
    lake = settings.paths.lake
    for night, places in {
        BEFORE: [("u1", "a"), ("u1", "b"), ("u2", "a"), ("u3", "a")],
        NIGHT: [("u1", "b"), ("u1", "c"), ("u2", "a"), ("u2", "d"), ("u4", "a")],
    }.items():
        arrow.replace(lake, RECOMMENDATIONS, lists_of(night, *places), {"run_date": night})
    days = {"u1": 1, "u2": 9, "u4": 9}
    users = [
        row(USER_FEATURES, run_date=NIGHT, as_of=NIGHT, user_id=user, active_days=count)
        for user, count in days.items()
    ]
    table = pa.Table.from_pylist(users, arrow.arrow_schema(USER_FEATURES))
    arrow.replace(lake, USER_FEATURES, table, {"run_date": NIGHT})

    changes = collect(settings, NIGHT).changes

    assert changes is not None
    assert changes.run_date == BEFORE
    assert changes.lists == (
        ListChange("all", 3, new_users=1, gone_users=1, changed=0.5, items_in=2, items_out=0),
        ListChange("discover", 0, new_users=0, gone_users=0, changed=None, items_in=0, items_out=0),
    )
    assert changes.segments == (
        SegmentChurn("1 (1 to 1 days)", 1, 0.5),
        SegmentChurn("2 (9 to 9 days)", 1, 0.5),
    )
    assert changes.movers == (
        Mover("a", None, 3, 2),
        Mover("c", None, 0, 1),
        Mover("d", None, 0, 1),
    )
    assert changes.settings == (Change("train.seed", 7, 42), Change("train.test_days", 14, 28))
    assert changes.rows[0] == Change("ingest", 1, 1)


def test_a_user_takes_most_what_counts_most_events_and_was_taken_last(settings: Settings) -> None:
    lake = settings.paths.lake
    arrow.replace(lake, RECOMMENDATIONS, lists_of(NIGHT, ("u1", "z")), {"run_date": NIGHT})
    taken = [("u1", "a", 2, 9), ("u1", "b", 2, 3), ("u1", "c", 5, 40), ("u2", "d", 9, 1)]
    rows = [
        {
            "run_date": NIGHT,
            "as_of": NIGHT,
            "user_id": user,
            "item_id": item,
            "events_total": times,
            "active_days": times,
            "days_since_last": days,
        }
        for user, item, times, days in taken
    ]
    pairs = pa.Table.from_pylist(rows, arrow.arrow_schema(USER_ITEM_FEATURES))
    arrow.replace(lake, USER_ITEM_FEATURES, pairs, {"run_date": NIGHT})
    made(settings, *STEP_NAMES, accepted=True, release="r")
    [shelf] = collect(settings, NIGHT).shelves
    assert shelf.history == (Habit("c", 5, 40), Habit("b", 2, 3), Habit("a", 2, 9))


@pytest.mark.parametrize("best", range(6))
def test_the_learning_curve_s_label_stays_within_the_axes(best: int) -> None:
    figure = Figure(figsize=(charts.WIDTH_INCHES, 2.2), layout="constrained")
    values = [0.1 + 0.01 * (place == best) for place in range(6)]
    label = charts.draw_curve(figure, values, first=1, x_label="epoch", y_label="ndcg@10")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    text, frame = label.get_window_extent(), axes.get_window_extent()
    assert label.get_text() == "best: 0.1100"
    assert frame.x0 < text.x0 < text.x1 < frame.x1
    assert frame.y0 < text.y0 < text.y1 < frame.y1


def test_the_ink_of_charts_follows_the_page(html: str) -> None:
    for picture in re.findall('base64,([^"]+)"', html):
        svg = base64.b64decode(picture).decode()
        assert "prefers-color-scheme:dark" in svg
        assert "currentColor" in svg
        assert charts.INK not in svg


def test_charts_have_the_accent_of_the_pages() -> None:
    assert f"--accent: {EMPHASIS};" in STYLE


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
        f"T [info     ] [DAG TEST] starting task_id=await_turn map_index=-1 {task}",
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
