"""What a night did, put together from the lake, validations and the store, for people."""

import logging
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from jobs.config.settings import Settings
from jobs.night.facts import GateFacts, PublishFacts, TrainFacts, check_reported, facts_of
from jobs.night.job_report import JobReport, JsonValue, Outcome, StepFailure
from jobs.night.outcomes import read_outcome
from jobs.reports.differences import Differences, differences
from jobs.reports.responses import Response, responses
from jobs.reports.rule_effects import Effect, greatest_effect
from lakehouse.clean.quarantine import acts, by_age, groups, waiting
from lakehouse.errors import ConfigurationError, DataError, InfrastructureError
from lakehouse.files import read_json
from lakehouse.io import arrow
from lakehouse.lists import PERSONAL_LISTS, USERS_LISTS
from lakehouse.steps import STEPS
from lakehouse.tables import (
    EXPECTATION_RESULTS,
    ITEM_FEATURES,
    RECOMMENDATIONS,
    ROW_ACCOUNTING,
    USER_ITEM_FEATURES,
    Table,
)
from serving.stores.opening import open_store

logger = logging.getLogger(__name__)

SAMPLE_USERS: Final = 3
SAMPLE_ITEMS: Final = 8
# So many users' lists are looked at for one that rules have changed.
COMPARED_USERS: Final = 100
# How far back the trend of a rule goes.
TREND_DAYS: Final = 28
REPORT: Final = "report"
# The step that validates the tables of a layer; the recommendations have one of their own.
VALIDATING_STEP: Final = {"bronze": "ingest", "silver": "clean", "gold": "features"}

State: TypeAlias = Literal["done", "damaged", "failed", "refused", "not reached"]
Facts = TypeVar("Facts")


@dataclass(frozen=True, slots=True)
class Accounted:
    """Where one bronze table's rows of the night went."""

    table: str
    bronze: int
    silver: int
    quarantine: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rejected rows that nobody has dealt with, by their age (``AGES`` and ``OLDER``)."""

    source: str
    rules: str
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Validation:
    """The outcome of one table's suite; ``broken`` names the rules that did not hold."""

    table: str
    passed: bool
    rules: int
    broken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule that the night broke, what was observed, and how the nights before did.

    ``usual`` is the median of what they observed, ``nights_broken`` how many of the ``nights`` that
    were asked broke it.
    """

    table: str
    rule: str
    severity: str
    owner: str
    observed: float | None
    usual: float | None
    nights_broken: int
    nights: int


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
class Serving:
    """The release that readers get now (``None``: none yet), or why the store doesn't say.

    While a rollout is on, ``share`` per cent of the users get the ``candidate`` instead.
    """

    release: str | None
    problem: str | None = None
    candidate: str | None = None
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that the run report and the demo's summary show of one night.

    ``metrics`` holds the test window's measures by list, method and name; ``methods`` is the method
    published for each list. Both are empty where training did not run. ``progress`` says how far
    each step before the report came, ``failures`` why steps failed, the one that stopped the night
    first, and ``damaged`` what could not be read, each with the remedy. ``changes`` is
    ``None`` where no earlier night was published. ``rule_example`` is a list that rules changed,
    if there is any; ``responses`` are those of people to what they were shown lately.
    """

    run_date: date
    steps: Mapping[str, JobReport]
    progress: Mapping[str, State]
    failures: tuple[StepFailure, ...]
    damaged: tuple[str, ...]
    serving: Serving
    accounting: tuple[Accounted, ...]
    waiting: tuple[Waiting, ...]
    validations: tuple[Validation, ...]
    broken_rules: tuple[BrokenRule, ...]
    shelves: tuple[Shelf, ...]
    changes: Differences | None
    rule_example: Effect | None = None
    responses: tuple[Response, ...] = ()

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
        said = self._facts("gate", GateFacts)
        return None if said is None else said.accepted

    @property
    def release(self) -> str | None:
        """The release that the night published; ``None`` where it published none."""
        said = self._facts("publish", PublishFacts)
        return None if said is None else said.release

    @property
    def metrics(self) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
        """Measures on the test window by list, method and name."""
        return self._trained.metrics

    @property
    def methods(self) -> Mapping[str, str]:
        """The method published for each list."""
        return self._trained.methods

    @property
    def curve(self) -> Sequence[Mapping[str, float]]:
        """LightFM's measures after each epoch, on the validation window."""
        return self._trained.curve

    @property
    def gate_checks(self) -> Sequence[Mapping[str, JsonValue]]:
        """The gate's rules as its report holds them (``jobs.steps.gate``)."""
        said = self._facts("gate", GateFacts)
        return () if said is None else said.checks

    @property
    def rule_costs(self) -> Mapping[str, Sequence[Mapping[str, JsonValue]]]:
        """What business rules change and cost, of the lists that have any."""
        return {name: costs for name, costs in self._trained.rule_costs.items() if costs}

    @property
    def _trained(self) -> TrainFacts:
        return self._facts("train", TrainFacts) or TrainFacts()

    def _facts(self, step: str, kind: type[Facts]) -> Facts | None:
        return facts_of(self.steps[step], kind) if step in self.steps else None


def collect(settings: Settings, run_date: date) -> Overview:
    """Gather what the night left behind.

    The newest run counts: where a step failed, was refused or never ran, what an earlier run of the
    same night left of the later steps is left out.
    """
    lake = settings.paths.lake
    found = {step.name: _found(lake, run_date, step.name) for step in STEPS if step.name != REPORT}
    progress = _progress(found)
    reached = {name for name, state in progress.items() if state != "not reached"}
    steps = {name: o for name, o in found.items() if name in reached and isinstance(o, JobReport)}
    unreadable = [str(found[name]) for name, state in progress.items() if state == "damaged"]
    validations, damaged = _validations(settings.paths.data_quality, run_date, reached)
    try:
        broken_rules = _broken_rules(lake, run_date, reached)
    except DataError as damage:
        broken_rules = ()
        damaged.append(str(damage))
    users, titles = _users(lake, run_date) if "recommend" in steps else ((), {})
    return Overview(
        run_date=run_date,
        steps=steps,
        progress=progress,
        failures=tuple(o for o in found.values() if isinstance(o, StepFailure)),
        damaged=(*unreadable, *damaged),
        serving=_serving(settings),
        accounting=_accounting(lake, run_date) if "clean" in steps else (),
        waiting=_waiting(lake, run_date),
        validations=validations,
        broken_rules=broken_rules,
        shelves=_shelves(lake, run_date, users[:SAMPLE_USERS], titles),
        changes=differences(settings, run_date, steps),
        rule_example=_rule_example(settings, run_date, users, titles),
        responses=responses(lake, run_date) if "features" in steps else (),
    )


def _found(lake: Path, run_date: date, step: str) -> Outcome | DataError | None:
    """What became of a step, or why nobody can tell."""
    try:
        outcome = read_outcome(lake, run_date, step)
        if isinstance(outcome, JobReport):
            check_reported(outcome)
    except DataError as damage:
        return damage
    return outcome


def _progress(found: Mapping[str, Outcome | DataError | None]) -> dict[str, State]:
    """Every step's state, up to where the night ended."""
    progress: dict[str, State] = {}
    ended = False
    for name, outcome in found.items():
        progress[name] = "not reached" if ended else _state(outcome)
        ended = progress[name] not in ("done", "damaged")
    return progress


def _state(outcome: Outcome | DataError | None) -> State:
    match outcome:
        case None:
            return "not reached"
        case DataError():
            return "damaged"
        case StepFailure():
            return "failed"
        case JobReport(step="gate") if not facts_of(outcome, GateFacts).accepted:
            return "refused"
    return "done"


def _serving(settings: Settings) -> Serving:
    try:
        with open_store(settings.serving.store, settings.shop.name) as store:
            pointer = store.pointer()
        return Serving(pointer.current, candidate=pointer.candidate, share=pointer.share)
    except InfrastructureError as error:
        return Serving(None, str(error))


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


def _waiting(lake: Path, run_date: date) -> tuple[Waiting, ...]:
    found = by_age(waiting(groups(lake), acts(lake)), run_date)
    return tuple(Waiting(*place, rows) for place, rows in sorted(found.items()))


def _validations(
    data_quality: Path, run_date: date, reached: set[str]
) -> tuple[tuple[Validation, ...], list[str]]:
    """The outcomes of the steps that were reached, and which files are damaged."""
    validations, damaged = [], []
    for path in sorted((data_quality / run_date.isoformat() / "results").glob("[!.]*.json")):
        step = _validating_step(path.stem)
        if step not in reached:
            continue
        try:
            outcome = read_json(path, f"Run `topshelf {step} --run-date {run_date}` again.")
        except DataError as damage:
            damaged.append(str(damage))
            continue
        broken = tuple(
            rule["expectation_config"]["meta"]["rule"]
            for rule in outcome["results"]
            if not rule["success"]
        )
        validations.append(
            Validation(outcome["suite_name"], outcome["success"], len(outcome["results"]), broken)
        )
    return tuple(validations), damaged


def _broken_rules(lake: Path, run_date: date, reached: set[str]) -> tuple[BrokenRule, ...]:
    """Those of the steps that were reached, beside the nights of four weeks before."""
    first = run_date - timedelta(days=TREND_DAYS)
    span = [("run_date", ">=", first), ("run_date", "<=", run_date)]
    tonight, before = [], defaultdict(list)
    for row in _rows(lake, EXPECTATION_RESULTS, span).to_pylist():
        if row["run_date"] < run_date:
            before[_same_rule(row)].append(row)
        elif row["verdict"] == "broken" and _validating_step(row["table_name"]) in reached:
            tonight.append(row)
    broken = []
    for row in tonight:
        earlier = before[_same_rule(row)]
        observed = [one["observed"] for one in earlier if one["observed"] is not None]
        broken.append(
            BrokenRule(
                row["table_name"],
                row["rule"],
                row["severity"],
                row["owner"],
                row["observed"],
                statistics.median(observed) if observed else None,
                sum(one["verdict"] == "broken" for one in earlier),
                len(earlier),
            )
        )
    return tuple(sorted(broken, key=lambda one: (one.severity, one.table, one.rule)))


def _same_rule(row: Mapping[str, str]) -> tuple[str, ...]:
    """What stays the same of a rule over the nights; its bounds may follow the usual night."""
    return tuple(row[name] for name in ("table_name", "expectation", "subject", "severity"))


def _validating_step(table: str) -> str | None:
    if table == RECOMMENDATIONS.full_name:
        return "recommend"
    return VALIDATING_STEP.get(table.partition(".")[0])


def _users(lake: Path, run_date: date) -> tuple[Sequence[str], Mapping[str, str | None]]:
    """The first users with lists, those with short ids first, and the title of each item."""
    lists = _rows(
        lake,
        RECOMMENDATIONS,
        [("run_date", "=", run_date), ("rank", "=", 1), ("list", "in", PERSONAL_LISTS)],
    )
    users = sorted(set(lists["user_id"].to_pylist()), key=lambda user: (len(user), user))
    items = _rows(lake, ITEM_FEATURES, [("run_date", "=", run_date), ("as_of", "=", run_date)])
    titles = dict(zip(items["item_id"].to_pylist(), items["title"].to_pylist(), strict=True))
    return users[:COMPARED_USERS], titles


def _shelves(
    lake: Path, run_date: date, users: Sequence[str], titles: Mapping[str, str | None]
) -> tuple[Shelf, ...]:
    if not users:
        return ()
    of_users = [("run_date", "=", run_date), ("user_id", "in", users)]
    lists = _rows(lake, RECOMMENDATIONS, [*of_users, ("rank", "<=", SAMPLE_ITEMS)])
    habits = _rows(lake, USER_ITEM_FEATURES, [*of_users, ("as_of", "=", run_date)])
    return tuple(
        Shelf(
            user=user,
            history=_history(_of_user(habits, user), titles),
            lists={name: _suggestions(_of_user(lists, user), name) for name in USERS_LISTS},
        )
        for user in users
    )


def _rule_example(
    settings: Settings, run_date: date, users: Sequence[str], titles: Mapping[str, str | None]
) -> Effect | None:
    """The list among those of ``users`` of which rules changed most, if it can be made again."""
    if settings.recommend.rules is None:
        return None
    try:
        effect = greatest_effect(settings, run_date, users)
    except (DataError, InfrastructureError, ConfigurationError) as error:
        logger.info("no example of what rules did: %s", error)
        return None
    if effect is None:
        return None
    named = (replace(one, item=titles.get(one.item) or one.item) for one in effect.listed)
    return replace(effect, listed=tuple(named))


def _history(rows: pa.Table, titles: Mapping[str, str | None]) -> tuple[Habit, ...]:
    order = [
        ("events_total", "descending"),
        ("days_since_last", "ascending"),
        ("item_id", "ascending"),
    ]
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
