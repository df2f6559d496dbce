"""Table care: what the lake takes, and its upkeep, which a weekly DAG does too."""

from collections.abc import Mapping
from datetime import date, timedelta

from rich.console import RenderableType
from rich.filesize import decimal
from rich.table import Column
from rich.table import Table as ShownTable

from jobs.config.settings import Settings
from lakehouse.io import arrow, care
from lakehouse.steps import GOLD
from lakehouse.tables import ALL_TABLES, ITEM_RELATED, RECOMMENDATIONS, Table
from serving.format.releases import Manifest
from serving.stores.opening import open_store

# A checkpoint pays where opening the table would read this many commits one by one.
COMMITS_BEFORE_CHECKPOINT = 10
BY_NIGHT = (*GOLD, ITEM_RELATED, RECOMMENDATIONS)


def status(settings: Settings) -> RenderableType:
    """A line per table: rows, files, bytes, what former versions take, and the newest version."""
    lake = settings.paths.lake
    names = ("rows", "files", "size", "former files", "their size", "version", "commits to read")
    shown = ShownTable("table", *[Column(name, justify="right") for name in names])
    for table in _written(settings):
        found = care.state(lake, table)
        shown.add_row(
            table.full_name,
            f"{found.rows:,}",
            f"{found.files:,}",
            decimal(found.bytes),
            f"{found.former_files:,}",
            decimal(found.former_bytes),
            str(found.version),
            str(found.commits),
        )
    return shown


def maintain(settings: Settings, run_date: date) -> list[str]:
    """Keep the lake small as of ``run_date``; a sentence for each thing done.

    Gold keeps the nights of ``[retention] gold_days`` and those of the releases in the store, and
    every table the versions of ``[retention] versions_days`` and those that a release was made
    from. Raises what ``open_store`` raises, with nothing done, where the store cannot tell which
    releases there are.
    """
    lake, retention = settings.paths.lake, settings.retention
    with open_store(settings.serving.store, settings.shop.name) as store:
        releases = store.manifests()
    served = {release.run_date for release in releases.values()}
    first = run_date - timedelta(days=retention.gold_days)
    done = []
    for table in _written(settings):
        with arrow.writing(lake, table):
            if table in BY_NIGHT:
                nights = care.drop_nights(lake, table, before=first, keep=served)
                if nights:
                    done.append(f"{table.full_name}: dropped {_said(nights)}")
            deleted = care.vacuum(
                lake,
                table,
                retention=timedelta(days=retention.versions_days),
                keep=_pinned(table, releases),
            )
            if deleted.files:
                done.append(
                    f"{table.full_name}: deleted {deleted.files:,} files that nobody reads, "
                    f"{decimal(deleted.bytes)}"
                )
            if care.state(lake, table).commits >= COMMITS_BEFORE_CHECKPOINT:
                care.checkpoint(lake, table)
                done.append(f"{table.full_name}: wrote a checkpoint of its log")
    return done


def _written(settings: Settings) -> list[Table]:
    return [table for table in ALL_TABLES if arrow.exists(settings.paths.lake, table)]


def _pinned(table: Table, releases: Mapping[str, Manifest]) -> list[int]:
    """The versions of the table that releases in the store were made from."""
    versions = (release.table_versions.get(table.full_name) for release in releases.values())
    return sorted({version for version in versions if version is not None})


def _said(nights: tuple[date, ...]) -> str:
    if len(nights) == 1:
        return f"the night of {nights[0]}"
    return f"{len(nights)} nights from {nights[0]} to {nights[-1]}"
