"""What made the events' ids, kept by night: a change would take a repeated event for a new one."""

import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from lakehouse.errors import ConfigurationError
from lakehouse.ingest.sources import SourceMapping
from lakehouse.io import arrow
from lakehouse.tables import EVENT_IDENTITY


def check_identities(root: Path, sources: Iterable[SourceMapping], night: date) -> None:
    """Raise ``ConfigurationError`` where an earlier night's ids were made in another way.

    Only earlier nights are looked at, so that cleaning the nights again from the first of them on
    is the way to change what makes an id.
    """
    if not arrow.exists(root, EVENT_IDENTITY):
        return
    rows = arrow.read(root, EVENT_IDENTITY, filters=[("ingest_date", "<", night)]).to_pylist()
    present = {source.name: source.identity for source in sources}
    former = {
        (row["ingest_date"], row["source"]): json.loads(row["identity"])
        for row in sorted(rows, key=lambda row: (row["ingest_date"], row["source"]))
    }
    changed = {
        (day, source): identity
        for (day, source), identity in former.items()
        if source in present and identity != present[source]
    }
    if not changed:
        return
    first = {source: identity for (_, source), identity in reversed(changed.items())}
    nights = [str(day) for day in dict.fromkeys(day for day, _ in changed)]
    raise ConfigurationError(
        f"source {', '.join(sorted(first))}: what makes an event's id is not what it was on "
        f"{nights[0]}, so an event of then that comes again would count twice. Nothing was "
        "written; there are three ways out\n"
        + "".join(
            f"source {name}: {'; '.join(_differences(first[name], present[name]))}\n"
            for name in sorted(first)
        )
        + "1. Put these settings back.\n"
        "2. If the new ones are right for the old files too, clean the past again, oldest night "
        "first:\n"
        f"   for night in {' '.join(nights)}; do infra/run topshelf clean --run-date $night || "
        "break; done\n"
        "3. If files are written in another way from now on, leave the source as it was for the "
        "old ones and give the new ones a source of their own, with another name and path."
    )


def write_identities(root: Path, sources: Iterable[SourceMapping], night: date) -> None:
    """Keep what made the ids of the night's events, in one commit."""
    rows = [
        {
            "ingest_date": night,
            "source": source.name,
            "identity": json.dumps(source.identity, sort_keys=True),
        }
        for source in sources
    ]
    table = pa.Table.from_pylist(rows, arrow.arrow_schema(EVENT_IDENTITY))
    arrow.replace(root, EVENT_IDENTITY, table, {"ingest_date": night})


def _differences(former: dict[str, Any], present: dict[str, Any]) -> list[str]:
    """The settings that differ; one that only either has follows from another that differs."""
    return [
        f"{setting} was {json.dumps(former[setting])} and is {json.dumps(present[setting])}"
        for setting in sorted({*former} & {*present})
        if former[setting] != present[setting]
    ]
