"""What a night did, put together from the steps' reports, validations and the lake, for people."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, cast

import pyarrow as pa
import pyarrow.compute as pc

from jobs.config import Settings
from jobs.job_report import JobReport, JsonValue, read_report
from jobs.steps import STEPS
from lakehouse import arrow
from lakehouse.tables import (
    ITEM_FEATURES,
    RECOMMENDATIONS,
    ROW_ACCOUNTING,
    USER_ITEM_FEATURES,
    Table,
)

SAMPLE_USERS: Final = 3
SAMPLE_ITEMS: Final = 8
PERSONAL_LISTS: Final = ("all", "discover")


@dataclass(frozen=True, slots=True)
class Accounted:
    """Where one bronze table's rows of the night went."""

    table: str
    bronze: int
    silver: int
    quarantine: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class Validation:
    """The outcome of one table's suite; ``broken`` names the rules that did not hold."""

    table: str
    passed: bool
    rules: int
    broken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Habit:
    """An item of a user's history."""

    item: str
    times: int
    days_ago: int


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An item of a user's list."""

    rank: int
    item: str
    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """One user's history and lists, as an example."""

    user: str
    history: tuple[Habit, ...]
    lists: Mapping[str, tuple[Suggestion, ...]]


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that the run report and the demo's summary show of one night.

    ``metrics`` holds the test window's measures by list, method and name; ``methods`` is the method
    published for each list. Both are empty where training did not run.
    """

    run_date: date
    steps: Mapping[str, JobReport]
    accounting: tuple[Accounted, ...]
    validations: tuple[Validation, ...]
    shelves: tuple[Shelf, ...]

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of each step that ran, in order."""
        return {name: report.seconds for name, report in self.steps.items()}

    @property
    def rows(self) -> dict[str, dict[str, int]]:
        """Rows by step and table."""
        return {name: dict(report.rows) for name, report in self.steps.items() if report.rows}

    @property
    def warnings(self) -> tuple[tuple[str, str], ...]:
        """Step and sentence of each warning."""
        return tuple(
            (name, text) for name, report in self.steps.items() for text in report.warnings
        )

    @property
    def accepted(self) -> bool | None:
        """The gate's verdict; ``None`` where it gave none."""
        return cast("bool | None", self._fact("gate", "accepted"))

    @property
    def release(self) -> str | None:
        """The release that the night published; ``None`` where it published none."""
        return cast("str | None", self._fact("publish", "release"))

    @property
    def metrics(self) -> dict[str, dict[str, dict[str, float]]]:
        """Measures on the test window by list, method and name."""
        return cast("dict[str, dict[str, dict[str, float]]]", self._fact("train", "metrics") or {})

    @property
    def methods(self) -> dict[str, str]:
        """The method published for each list."""
        return cast("dict[str, str]", self._fact("train", "methods") or {})

    @property
    def curve(self) -> list[dict[str, float]]:
        """LightFM's measures after each epoch, on the validation window."""
        return cast("list[dict[str, float]]", self._fact("train", "curve") or [])

    def _fact(self, step: str, name: str) -> JsonValue:
        report = self.steps.get(step)
        return None if report is None else report.facts.get(name)


def collect(settings: Settings, run_date: date) -> Overview:
    """Gather what the night left behind; steps that did not run are left out.

    After a refusal by the gate, lists that an earlier run of the same night made are left out too.
    """
    steps = {}
    for step in STEPS:
        report = read_report(settings.paths.runs, run_date, step.name)
        if report is None:
            break
        steps[step.name] = report
        if step.name == "gate" and not report.facts["accepted"]:
            break
    return Overview(
        run_date=run_date,
        steps=steps,
        accounting=_accounting(settings.paths.lake, run_date),
        validations=_validations(settings.paths.data_quality, run_date),
        shelves=_shelves(settings.paths.lake, run_date) if "recommend" in steps else (),
    )


def _accounting(lake: Path, run_date: date) -> tuple[Accounted, ...]:
    rows = _rows(lake, ROW_ACCOUNTING, [("ingest_date", "=", run_date)])
    return tuple(
        Accounted(
            row["table_name"],
            row["bronze_rows"],
            row["silver_rows"],
            row["quarantine_rows"],
            row["duplicate_rows"],
        )
        for row in rows.sort_by("table_name").to_pylist()
    )


def _validations(data_quality: Path, run_date: date) -> tuple[Validation, ...]:
    folder = data_quality / run_date.isoformat() / "results"
    outcomes = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return tuple(
        Validation(
            table=outcome["suite_name"],
            passed=outcome["success"],
            rules=len(outcome["results"]),
            broken=tuple(
                rule["expectation_config"]["meta"]["rule"]
                for rule in outcome["results"]
                if not rule["success"]
            ),
        )
        for outcome in outcomes
    )


def _shelves(lake: Path, run_date: date) -> tuple[Shelf, ...]:
    night = [("run_date", "=", run_date)]
    lists = _rows(lake, RECOMMENDATIONS, [*night, ("rank", "<=", SAMPLE_ITEMS)])
    users = sorted(set(lists["user_id"].to_pylist()) - {""}, key=lambda user: (len(user), user))
    chosen = users[:SAMPLE_USERS]
    of_chosen = [*night, ("as_of", "=", run_date), ("user_id", "in", chosen)]
    habits = _rows(lake, USER_ITEM_FEATURES, of_chosen) if chosen else None
    items = _rows(lake, ITEM_FEATURES, [*night, ("as_of", "=", run_date)])
    titles = dict(zip(items["item_id"].to_pylist(), items["title"].to_pylist(), strict=True))
    return tuple(
        Shelf(
            user=user,
            history=() if habits is None else _history(_of_user(habits, user), titles),
            lists={name: _suggestions(_of_user(lists, user), name) for name in PERSONAL_LISTS},
        )
        for user in chosen
    )


def _history(rows: pa.Table, titles: Mapping[str, str | None]) -> tuple[Habit, ...]:
    order = [("decayed_events_120d", "descending"), ("item_id", "ascending")]
    return tuple(
        Habit(
            titles.get(row["item_id"]) or row["item_id"],
            row["events_total"],
            row["days_since_last"],
        )
        for row in rows.sort_by(order).slice(0, SAMPLE_ITEMS).to_pylist()
    )


def _suggestions(rows: pa.Table, list_name: str) -> tuple[Suggestion, ...]:
    ranked = rows.filter(pc.field("list") == list_name).sort_by("rank").to_pylist()
    return tuple(
        Suggestion(row["rank"], row["title"] or row["item_id"], row["reason"], row["source"])
        for row in ranked
    )


def _of_user(rows: pa.Table, user: str) -> pa.Table:
    return rows.filter(pc.field("user_id") == user)


def _rows(lake: Path, table: Table, filters: Sequence[arrow.Filter]) -> pa.Table:
    if not arrow.exists(lake, table):
        return arrow.arrow_schema(table).empty_table()
    return arrow.read(lake, table, filters=filters)
