"""A release made again: identical from the same inputs, refused from others, nothing written."""

import hashlib
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from jobs.config.settings import Settings
from jobs.night import warm_start
from jobs.night.outcomes import keep
from jobs.night.registry import open_registry
from jobs.operate.reproduce import Agreement, compare, reproduce, show
from jobs.steps import gate, publish, recommend, train
from lakehouse.errors import ConfigurationError, DataError
from lakehouse.lists import LISTS, PERSONAL_LISTS
from serving.format.records import Item, encode, key, summarise
from serving.publishing import publish as publish_records
from serving.stores.opening import open_store
from tests.nights import NIGHT, Event, busy_shop, settings_in, shop, write_lake


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("released")


@pytest.fixture(scope="module")
def settings(folder: Path) -> Settings:
    """A night trained, gated and published."""
    settings = settings_in(folder)
    write_lake(settings, *shop())
    for step in (train, gate, recommend, publish):
        keep(step.run(settings, run_date=NIGHT), lake=settings.paths.lake, runs=settings.paths.runs)
    return settings


@pytest.fixture
def release(settings: Settings) -> str:
    with open_store(settings.serving.store, settings.shop.name) as store:
        return next(iter(store.manifests()))


def text(content: RenderableType) -> str:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(content)
    return captured.get()


def digests(folder: Path) -> dict[str, str]:
    """Every file that holds something; locks are empty or LMDB's own."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "lock" not in path.name
    }


def test_the_same_inputs_give_the_same_lists_and_nothing_is_written(
    settings: Settings, folder: Path, release: str
) -> None:
    before = digests(folder)
    assert text(reproduce(settings, release)) == (
        f"{release}: 39 lists made again, identical to those published\n"
    )
    assert digests(folder) == before


def test_what_was_written_to_the_lake_since_does_not_matter(
    settings: Settings, release: str
) -> None:
    events, items = shop()
    write_lake(settings, [*events, Event("user-00", "own-11-0", 2)], items)
    assert "identical" in text(reproduce(settings, release))


def test_a_night_that_went_on_from_another_is_made_again_from_the_same_run(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, train={"warm_start": "true", "methods": '["hybrid_lightfm"]'})
    night = NIGHT + timedelta(days=1)
    for day in (NIGHT, night):
        write_lake(settings, *busy_shop(), night=day)
    start = train.run(settings, run_date=NIGHT).facts["run_id"]
    train.run(settings, run_date=night)
    registry = open_registry(settings)
    # The gate wants a heuristic beside it, and on so few users prefers that.
    registry.judge(
        registry.challenger(night), passed=True, reasons=[], figures={}, text="passed", page=""
    )
    for step in (recommend, publish):
        keep(step.run(settings, run_date=night), lake=settings.paths.lake, runs=settings.paths.runs)
    with open_store(settings.serving.store, settings.shop.name) as store:
        (release,) = store.manifests()
    # Trained later, so that it is not what the release started from.
    later = train.run(settings, run_date=NIGHT).facts["run_id"]
    assert "identical" in text(reproduce(settings, release))

    shutil.rmtree(settings.mlflow.artifacts / str(later) / "artifacts" / warm_start.FOLDER)
    assert "identical" in text(reproduce(settings, release))
    shutil.rmtree(settings.mlflow.artifacts / str(start) / "artifacts" / warm_start.FOLDER)
    with pytest.raises(DataError, match=f"run {start} or its files lightfm_state/ are gone"):
        reproduce(settings, release)


def test_an_unknown_release_is_named(settings: Settings) -> None:
    with pytest.raises(DataError, match=r"no release '2024-03-01-0+'. `topshelf releases`"):
        reproduce(settings, "2024-03-01-00000000")


def test_another_configuration_is_refused(settings: Settings, release: str) -> None:
    changed = settings.model_copy(
        update={"recommend": settings.recommend.model_copy(update={"size": 2})}
    )
    with pytest.raises(ConfigurationError, match=r"digest is [0-9a-f]{12}, that of 2024-03-01"):
        reproduce(changed, release)


def test_lists_that_differ_although_one_thread_made_them_are_an_error(
    settings: Settings, release: str
) -> None:
    with open_store(settings.serving.store, settings.shop.name) as store:
        records = list(store.records(release))
        # The first user's list loses all but one item that nobody else's has.
        other = encode(records[0][0], [Item(1, "no-such-item", None, 1.0, "counts", "often")], 1)
        records[0] = (records[0][0], other)
        forged = replace(
            store.manifests()[release],
            release="2024-03-01-f0f0f0f0",
            checksum=summarise(records).checksum,
        )
        publish_records(store, forged, records, keep=5)
    with pytest.raises(DataError) as caught:
        reproduce(settings, "2024-03-01-f0f0f0f0")
    assert "all: 91.67% of the lists the same, top-10 overlap 0.9167" in str(caught.value)
    assert "discover: 100.00% of the lists the same" in str(caught.value)


def test_agreement_counts_lists_and_common_items() -> None:
    published = {
        key("all", "ann"): ("a", "b", "c"),
        key("all", "bob"): ("a", "b"),
        key("all", "cid"): ("a",),
        key("discover", "u" * 600): ("d",),
    }
    made = {
        key("all", "ann"): ("a", "b", "c"),
        key("all", "bob"): ("b", "c"),
        key("discover", "u" * 600): ("d",),
    }
    assert compare(published, made) == (
        Agreement("all", 3, 1 / 3, (1 + 1 / 3 + 0) / 3),
        Agreement("discover", 1, 1.0, 1.0),
        *(Agreement(name, 0, 1.0, 1.0) for name in LISTS if name not in PERSONAL_LISTS),
    )


def test_several_threads_report_the_overlap() -> None:
    lines = text(show("2024-03-01-aaaaaaaa", (Agreement("all", 1200, 0.5, 0.875),)))
    head, *rows = lines.splitlines()
    assert head.rstrip() == (
        "2024-03-01-aaaaaaaa made again with several threads, whose order is left to chance:"
    )
    assert [row.split() for row in rows] == [
        ["list", "lists", "the", "same", "top-10", "overlap"],
        ["all", "1,200", "50.00%", "0.8750"],
    ]
