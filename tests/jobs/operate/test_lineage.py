"""`topshelf lineage` of a release that a small shop made, and of what is gone since."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from jobs.config.rules import active_rules
from jobs.config.settings import Settings
from jobs.night.job_report import JobReport
from jobs.night.outcomes import keep
from jobs.night.registry import open_registry
from jobs.night.release import lists_digest
from jobs.operate.lineage import lineage
from lakehouse.code import code_version
from lakehouse.errors import DataError
from lakehouse.ingest.files import RegisteredFile, write_register
from serving.publishing import publish
from serving.stores.opening import open_store
from tests.models.tracking.test_registry import train
from tests.nights import NIGHT, settings_in
from tests.stored_lists import make_release

RELEASE = f"{NIGHT}-1"
RULES = """
[[rules]]
id = "no-tea"
owner = "law"
reason = "Tea is out"
kind = "block"
items = { item_id = "tea" }
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "rules.toml").write_text(RULES)
    settings = settings_in(tmp_path)
    recommend = settings.recommend.model_copy(update={"rules": tmp_path / "rules.toml"})
    return settings.model_copy(update={"recommend": recommend})


def shown(settings: Settings) -> list[str]:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(lineage(settings, RELEASE))
    return [line.strip("│├└─ ") for line in captured.get().splitlines()]


def register(settings: Settings, night: date, *names: str) -> None:
    rows = [
        RegisteredFile("till", name, f"{name:0<64}", 1_500, "loaded", f"{night}-1", night)
        for name in names
    ]
    empty = replace(rows[0], source_file="none", status="empty")
    write_register(settings.paths.lake, night, [*rows, empty])


def make(settings: Settings, model: str, configuration: str) -> None:
    manifest, records = make_release(RELEASE)
    manifest = replace(manifest, model_version=model, configuration=configuration)
    with open_store(settings.serving.store, settings.shop.name) as store:
        publish(store, manifest, records, keep=5)


def test_a_release_is_followed_to_its_files(settings: Settings, tmp_path: Path) -> None:
    version = train(open_registry(settings), tmp_path / "model")
    digest = lists_digest(settings, active_rules(settings, NIGHT))
    make(settings, version.label, digest)
    register(settings, NIGHT - timedelta(days=1), "a1", "b2")
    register(settings, NIGHT, "c3")
    register(settings, NIGHT + timedelta(days=1), "d4")
    for step in ("recommend", "clean"):
        keep(JobReport(step, NIGHT), lake=settings.paths.lake, runs=settings.paths.runs)
    assert shown(settings) == [
        f"release {RELEASE}, the night of {NIGHT}",
        "lists: all 3, discover 3, fallback 1",
        f"settings and rules {digest[:12]}, seed 42",
        "those of the present are the same",
        "rule no-tea (law): Tea is out",
        f"code {code_version()}, that of the present: clean, recommend",
        f"model topshelf/1, trained for the night of {NIGHT}",
        f"MLflow run {version.run_id}",
        "settings a1b2, seed 42",
        "gate: not judged",
        "tables that it learnt from",
        "silver.interactions version 3",
        "tables that lists were made from",
        "gold.user_features version 4",
        "files taken in by then (bronze.files has each)",
        "till: 3 files, 4.5 kB; the newest c3, SHA-256 c30000000000",
    ]


def test_what_is_not_known_any_more_is_said(settings: Settings) -> None:
    open_registry(settings)
    make(settings, "topshelf/7", "other")
    assert shown(settings) == [
        f"release {RELEASE}, the night of {NIGHT}",
        "lists: all 3, discover 3, fallback 1",
        "settings and rules other, seed 42",
        "those of the present are others",
        "model topshelf/7, which MLflow does not have any more",
        "tables that lists were made from",
        "gold.user_features version 4",
        "files taken in by then (bronze.files has each)",
    ]


def test_a_release_that_the_store_lacks_is_named(settings: Settings) -> None:
    make(settings, "topshelf/7", "other")
    with pytest.raises(DataError, match="has no release '2024-01-01-x'"):
        lineage(settings, "2024-01-01-x")
