"""What is different from the last night that was published: rows, measures, lists, settings."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, NamedTuple, cast

import pyarrow as pa
import pyarrow.compute as pc

from jobs.config.settings import Settings
from jobs.night.facts import TrainFacts, check_reported, facts_of
from jobs.night.job_report import JobReport, JsonValue
from jobs.night.outcomes import nights_of, read_report
from jobs.night.release import is_shown
from lakehouse.errors import DataError
from lakehouse.io import arrow
from lakehouse.lists import PERSONAL_LISTS
from lakehouse.tables import RECOMMENDATIONS, USER_FEATURES
from models.evaluation.segments import quarters
from serving.format.comparison import Mover, SegmentChurn, movers

# Where things lie shapes no list, and an address may hold a password.
PLACES: Final = {"paths", "serving", "mlflow"}
MOST_PLACES: Final = 2**31 - 1
COMPARED_STEPS: Final = ("ingest", "clean", "features", "train", "recommend")


@dataclass(frozen=True, slots=True)
class Change:
    """One figure or setting, then and now; ``None`` where a night had none."""

    name: str
    before: JsonValue
    now: JsonValue


@dataclass(frozen=True, slots=True)
class ListChange:
    """How the lists of one name changed.

    ``changed`` is the share of the places of users of both nights whose item they were not listed
    the night before; ``None`` where there are no such users. ``items_in`` and ``items_out`` count
    items that no list had before, or has now. Spare places don't count.
    """

    list_name: str
    users: int
    new_users: int
    gone_users: int
    changed: float | None
    items_in: int
    items_out: int


@dataclass(frozen=True, slots=True)
class Differences:
    """Tonight against the night of ``run_date``; ``settings`` is ``None`` where not known.

    ``movers`` are the items whose number of users' lists changed most, ``segments`` the share of
    places with another item by quarters of the users' active days tonight.
    """

    run_date: date
    rows: tuple[Change, ...]
    metrics: tuple[Change, ...]
    lists: tuple[ListChange, ...]
    movers: tuple[Mover, ...]
    settings: tuple[Change, ...] | None
    segments: tuple[SegmentChurn, ...] = ()


def differences(
    settings: Settings, run_date: date, steps: Mapping[str, JobReport]
) -> Differences | None:
    """Tonight's ``steps`` against the last night before that was published, if there is one."""
    lake = settings.paths.lake
    last = _last_published(lake, run_date)
    if last is None:
        return None
    before = dict(_readable_reports(lake, last))
    known = before["report"].facts.get("settings") if "report" in before else None
    compared = _lists(lake, before, steps) if "recommend" in steps else None
    return Differences(
        run_date=last,
        rows=_changes(_rows(before, steps), _rows(steps, steps)),
        metrics=_changes(published_measures(before), published_measures(steps))
        if "train" in steps
        else (),
        lists=() if compared is None else compared.lists,
        movers=() if compared is None else compared.movers,
        segments=() if compared is None else _segments(lake, run_date, compared.churn),
        settings=None
        if known is None
        else tuple(
            change
            for change in _changes(
                cast("Mapping[str, JsonValue]", known), settings_by_name(settings)
            )
            if change.before != change.now
        ),
    )


def settings_by_name(settings: Settings) -> dict[str, JsonValue]:
    """What shapes a night, by dotted name: ``train.seed``, ``sources.till.path``."""
    content = settings.model_dump(mode="json", exclude=PLACES)
    content["sources"] = {source["name"]: source for source in content["sources"]}
    return dict(_flat(content, ""))


def published_measures(steps: Mapping[str, JobReport]) -> dict[str, JsonValue]:
    """The method published for each list, and its measures on the test window."""
    trained = facts_of(steps["train"], TrainFacts) if "train" in steps else TrainFacts()
    found: dict[str, JsonValue] = {}
    for list_name, method in trained.methods.items():
        found[f"{list_name}: method"] = method
        for name, value in trained.metrics[list_name][method].items():
            found[f"{list_name}: {name}"] = value
    return found


def _flat(content: Mapping[str, JsonValue], prefix: str) -> Iterator[tuple[str, JsonValue]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _last_published(lake: Path, run_date: date) -> date | None:
    """The newest night before ``run_date`` whose ``publish`` ended well."""
    nights = nights_of(lake, "publish", before=run_date)
    return next((night for night in nights if _readable(lake, night, "publish")), None)


def _readable_reports(lake: Path, run_date: date) -> Iterator[tuple[str, JobReport]]:
    """The reports of a night; its own page is where a damaged one is told."""
    for step in (*COMPARED_STEPS, "report"):
        report = _readable(lake, run_date, step)
        if report is not None:
            yield step, report


def _readable(lake: Path, run_date: date, step: str) -> JobReport | None:
    try:
        report = read_report(lake, run_date, step)
        if report is not None:
            check_reported(report)
    except DataError:
        return None
    return report


def _rows(night: Mapping[str, JobReport], tonight: Mapping[str, JobReport]) -> dict[str, JsonValue]:
    """Rows by table, of the steps that ran tonight; the first step that counts a table is asked."""
    rows: dict[str, JsonValue] = {}
    for step in COMPARED_STEPS:
        if step in tonight and step in night:
            for table, count in night[step].rows.items():
                rows.setdefault(table, count)
    return rows


def _changes(before: Mapping[str, JsonValue], now: Mapping[str, JsonValue]) -> tuple[Change, ...]:
    names = [*now, *(name for name in before if name not in now)]
    return tuple(Change(name, before.get(name), now.get(name)) for name in names)


class _Compared(NamedTuple):
    """The lists of two nights: by name, the items that moved, and by user.

    ``churn`` has a row for each list that a user of both nights has tonight: ``user_id`` and
    ``churn``, the share of its items that were not in it.
    """

    lists: tuple[ListChange, ...]
    movers: tuple[Mover, ...]
    churn: pa.Table


def _lists(
    lake: Path, before: Mapping[str, JobReport], now: Mapping[str, JobReport]
) -> _Compared | None:
    """How the users' lists changed, by name, and which items moved most in all of them."""
    if "recommend" not in before or not arrow.exists(lake, RECOMMENDATIONS):
        return None
    changes: list[ListChange] = []
    churns: list[pa.Table] = []
    counts_before, counts_now = Counter[str](), Counter[str]()
    titles: dict[str, str | None] = {}
    for name in PERSONAL_LISTS:
        listed_before = _listed(lake, before["recommend"], name)
        listed_now = _listed(lake, now["recommend"], name)
        items_before, items_now = _counts(listed_before, titles), _counts(listed_now, titles)
        change, churn = _list_change(
            name,
            listed_before,
            listed_now,
            items_in=len(items_now.keys() - items_before.keys()),
            items_out=len(items_before.keys() - items_now.keys()),
        )
        changes.append(change)
        churns.append(churn)
        counts_before += items_before
        counts_now += items_now
    moved = movers(counts_before, counts_now, titles)
    return _Compared(tuple(changes), moved, pa.concat_tables(churns))


def _segments(lake: Path, run_date: date, churn: pa.Table) -> tuple[SegmentChurn, ...]:
    """The mean churn of lists by quarters of their users' active days."""
    if not arrow.exists(lake, USER_FEATURES):
        return ()
    users = arrow.read(
        lake,
        USER_FEATURES,
        columns=["user_id", "active_days"],
        filters=[("run_date", "=", run_date), ("as_of", "=", run_date)],
    )
    labels = quarters(users["active_days"].to_numpy())
    labelled = users.select(["user_id"]).append_column("segment", pa.array(labels, pa.string()))
    joined = churn.join(labelled, "user_id", join_type="inner")
    by_segment = joined.group_by("segment").aggregate([("churn", "count"), ("churn", "mean")])
    return tuple(
        SegmentChurn(row["segment"], row["churn_count"], row["churn_mean"])
        for row in by_segment.sort_by("segment").to_pylist()
    )


def _listed(lake: Path, recommended: JobReport, list_name: str) -> pa.Table:
    """The places of lists on the night of the report, without those that are spare."""
    rows = arrow.read(
        lake,
        RECOMMENDATIONS,
        columns=["user_id", "item_id", "title", "rank", "spare"],
        filters=[("run_date", "=", recommended.run_date), ("list", "=", list_name)],
    )
    # Before there were spare places, steps didn't say how many are shown: all.
    size = cast("int", recommended.facts.get("size", MOST_PLACES))
    return rows.filter(is_shown(rows, size)).select(["user_id", "item_id", "title"])


def _counts(listed: pa.Table, titles: dict[str, str | None]) -> Counter[str]:
    """The number of lists that each item is in; its title is written to ``titles``."""
    items = listed.group_by("item_id").aggregate([("user_id", "count"), ("title", "max")])
    columns = (items[name].to_pylist() for name in ("item_id", "user_id_count", "title_max"))
    counts: Counter[str] = Counter()
    for item, count, title in zip(*columns, strict=True):
        counts[item], titles[item] = count, title
    return counts


def _list_change(
    list_name: str, before: pa.Table, now: pa.Table, *, items_in: int, items_out: int
) -> tuple[ListChange, pa.Table]:
    """How the lists of a name changed, and the churn of each."""
    users_before = before.group_by("user_id").aggregate([])
    users_now = now.group_by("user_id").aggregate([])
    of_both = now.join(users_before, "user_id", join_type="left semi")
    kept = of_both.join(before, ["user_id", "item_id"], join_type="left semi")
    both = users_now.join(users_before, "user_id", join_type="left semi").num_rows
    change = ListChange(
        list_name=list_name,
        users=users_now.num_rows,
        new_users=users_now.num_rows - both,
        gone_users=users_before.num_rows - both,
        changed=1 - kept.num_rows / of_both.num_rows if of_both.num_rows else None,
        items_in=items_in,
        items_out=items_out,
    )
    places, same = (
        rows.group_by("user_id").aggregate([("item_id", "count")]) for rows in (of_both, kept)
    )
    by_user = places.join(same, "user_id", join_type="left outer", right_suffix="_kept")
    kept_share = pc.divide(
        pc.fill_null(by_user["item_id_count_kept"], 0).cast(pa.float64()),
        by_user["item_id_count"],
    )
    churn = pa.table({"user_id": by_user["user_id"], "churn": pc.subtract(1.0, kept_share)})
    return change, churn
