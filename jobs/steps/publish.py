"""Write one night's recommendations to the store as a release, and let it serve all or some."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.config.guardrails import load_guardrails
from jobs.config.settings import Settings
from jobs.night.facts import PublishFacts, RecommendFacts, facts_of
from jobs.night.job_report import JobReport
from jobs.night.outcomes import nights_of, read_report
from jobs.night.release import is_shown
from lakehouse.errors import DataError, InfrastructureError
from lakehouse.io import arrow
from lakehouse.lists import FALLBACK
from lakehouse.tables import ITEM_FEATURES, OPS_RUNS, RECOMMENDATIONS
from serving.format.details import details_key, encode_details
from serving.format.records import (
    FORMAT,
    ITEM_FIELDS,
    Record,
    encode_places,
    key,
    summarise,
)
from serving.format.releases import EVERYBODY, Manifest
from serving.publishing import Publication, publish
from serving.stores.opening import open_store
from serving.stores.store import Store

DETAIL_COLUMNS: Final = ("item_id", "title", "category", "unit_price")


def run(settings: Settings, *, run_date: date) -> JobReport:
    """Publish the lists of ``run_date``.

    A second run changes nothing; the release of a past night is stored but doesn't take over.
    Raises ``DataError`` where ``gold.recommendations`` is not what the recommend step reported,
    ``DataQualityError`` where a release for some of the users breaks a guardrail, and
    ``InfrastructureError`` where the store fails: what served before goes on serving then.
    """
    facts = _recommend_facts(settings, run_date)
    rows = _read_recommendations(settings, facts, run_date)
    details = _details(settings.paths.lake, facts, run_date)
    manifest = _manifest(facts, run_date, rows, details)
    serving = settings.serving
    limits = load_guardrails(serving.guardrails) if serving.share < EVERYBODY else None
    with open_store(serving.store, settings.shop.name) as store:
        done = publish(
            store,
            manifest,
            to_records(rows, details, facts.size),
            keep=serving.keep_releases,
            share=serving.share,
            limits=limits,
        )
        denied, warnings = _denied(store, settings.paths.lake)
        return JobReport(
            step="publish",
            run_date=run_date,
            rows={RECOMMENDATIONS.full_name: rows.num_rows, "lists": sum(manifest.lists.values())},
            facts={
                "release": manifest.release,
                "current": done.current,
                "candidate": done.candidate,
                "share": done.share,
                "written": done.written,
                "dropped": list(done.dropped),
                "lists": dict(manifest.lists),
                "checksum": manifest.checksum,
                "store": store.name,
                "denied": denied,
            },
            warnings=(*_warnings(manifest.release, done, serving.share), *warnings),
        )


def to_records(rows: pa.Table, details: pa.Table, size: int) -> Iterator[Record]:
    """A night's lists and items' details as records, in key order.

    Each is made when it is asked for, so that they are never all in memory. ``size`` is the number
    of places shown, for rows of ``gold.recommendations`` that don't say so.
    """
    return merge(_lists(rows, size), _details_records(details), key=itemgetter(0))


def _details_records(details: pa.Table) -> Iterator[Record]:
    """A record for each item, in key order."""
    item_ids, *columns = (details[name].to_pylist() for name in DETAIL_COLUMNS)
    keys = [details_key(item_id) for item_id in item_ids]
    for record_key, *values in sorted(zip(keys, *columns, strict=True), key=itemgetter(0)):
        yield record_key, encode_details(record_key, *values)


def _lists(rows: pa.Table, size: int) -> Iterator[Record]:
    """The rows of ``gold.recommendations``, a record per user and list, in key order."""
    names = ("list", "user_id", "rank")
    ordered = rows.sort_by([(name, "ascending") for name in names])
    starts = _starts(ordered.select(["list", "user_id"]))
    firsts = ordered.select(["list", "user_id"]).take(starts).to_pydict()
    keys = map(key, firsts["list"], firsts["user_id"])
    columns = [ordered[name].combine_chunks() for name in ITEM_FIELDS]
    shown = is_shown(ordered, size).to_numpy().astype(np.int64)
    sizes = np.add.reduceat(shown, starts).tolist() if starts else []
    # A long id's key is a digest, in another order than the ids.
    lists = zip(keys, starts, [*starts[1:], len(rows)], sizes, strict=True)
    for record_key, start, end, places in sorted(lists):
        values = [column[start:end].to_pylist() for column in columns]
        yield record_key, encode_places(record_key, zip(*values, strict=True), places)


def _starts(ordered: pa.Table) -> list[int]:
    """Where runs of equal rows begin."""
    changes = np.ones(len(ordered), dtype=np.bool_)
    changes[1:] = False
    for column in ordered.columns:
        changes[1:] |= pc.not_equal(column[1:], column[:-1]).to_numpy()
    return np.flatnonzero(changes).tolist()


def _recommend_facts(settings: Settings, run_date: date) -> RecommendFacts:
    report = read_report(settings.paths.lake, run_date, "recommend")
    if report is None:
        raise DataError(
            f"{OPS_RUNS.full_name} has no recommend step for {run_date} that ended well. Run "
            f"`topshelf recommend --run-date {run_date}` first."
        )
    return facts_of(report, RecommendFacts)


def _read_recommendations(settings: Settings, facts: RecommendFacts, run_date: date) -> pa.Table:
    rows = arrow.read(settings.paths.lake, RECOMMENDATIONS, filters=[("run_date", "==", run_date)])
    again = f"Run `topshelf recommend --run-date {run_date}` again."
    for name, reported in (("release", facts.release), ("model_version", facts.model_version)):
        found = rows[name].unique().to_pylist()
        if found != [reported]:
            raise DataError(
                f"{RECOMMENDATIONS.full_name}: {name} is {found} in the rows of {run_date}, but "
                f"the recommend step reported {reported!r}. {again}"
            )
    if FALLBACK.name not in rows["list"].unique().to_pylist():
        raise DataError(
            f"{RECOMMENDATIONS.full_name} has no {FALLBACK.name!r} list for {run_date}, so unknown "
            f"users would get nothing. {again}"
        )
    return rows


def _details(lake: Path, facts: RecommendFacts, run_date: date) -> pa.Table:
    """Of the items that the catalogue describes, what is shown of them, as of the night."""
    version = facts.table_versions.get(ITEM_FEATURES.full_name)
    if version is None:
        return arrow.arrow_schema(ITEM_FEATURES).empty_table().select(DETAIL_COLUMNS)
    of_night = [(name, "==", run_date) for name in ("run_date", "as_of")]
    return arrow.read(
        lake,
        ITEM_FEATURES,
        columns=DETAIL_COLUMNS,
        filters=[*of_night, ("in_catalogue", "==", True)],
        version=version,
    )


def _manifest(facts: RecommendFacts, run_date: date, rows: pa.Table, details: pa.Table) -> Manifest:
    lists = rows.group_by(["list", "user_id"]).aggregate([])["list"].to_pylist()
    summary = summarise(to_records(rows, details, facts.size))
    return Manifest(
        release=facts.release,
        run_date=run_date,
        model_version=facts.model_version,
        table_versions=facts.table_versions,
        configuration=facts.configuration,
        seed=facts.seed,
        lists=dict(sorted(Counter(lists).items())),
        records=summary.records,
        checksum=summary.checksum,
        format=FORMAT,
    )


def _denied(store: Store, lake: Path) -> tuple[list[str], tuple[str, ...]]:
    """The denied items, and what to warn of.

    A damaged deny list stops readers, not nights. One that is gone with all releases, as after a
    flush, is missed where the last publish had one.
    """
    try:
        denied = sorted(store.denials().items)
    except InfrastructureError as error:
        return [], (str(error),)
    is_first = store.pointer().generation == 1
    lost = _denied_before(lake) if is_first and not denied else []
    if not lost:
        return denied, ()
    items = " ".join(f"--item {shlex.quote(item)}" for item in lost)
    return denied, (
        f"the store lost its deny list of {len(lost)} item(s), which are shown now. Hide them "
        f"again: `topshelf deny {items} --who WHO --why WHY`.",
    )


def _denied_before(lake: Path) -> Sequence[str]:
    """What was denied when a release was published last."""
    for night in nights_of(lake, "publish", before=date.max):
        with suppress(DataError):
            report = read_report(lake, night, "publish")
            if report is not None:
                return facts_of(report, PublishFacts).denied
    return ()


def _warnings(release: str, done: Publication, share: float) -> tuple[str, ...]:
    warnings = [
        f"release {name!a} is damaged: its manifest is not readable. Publish its night again, "
        "or let it go with the next nights; nothing can go back to it."
        for name in done.damaged
    ]
    if done.current == release and share < EVERYBODY:
        warnings.append(f"{release} serves everybody: nothing served before it.")
    elif release not in (done.current, done.candidate):
        warnings.append(_why_stored_only(release, done))
    return tuple(warnings)


def _why_stored_only(release: str, done: Publication) -> str:
    if done.candidate is not None:
        return (
            f"{release} does not serve: the rollout of {done.candidate} is on "
            f"({done.share:g} % of the users). End it by `topshelf rollout finish` or `abort`, "
            "then publish this night again."
        )
    return (
        f"{release} does not serve: {done.current} does, the release of a later night or a "
        f"person's choice. `topshelf rollback --to {release}` would let it serve."
    )
