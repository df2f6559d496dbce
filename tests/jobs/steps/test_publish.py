import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from jobs.cli.main import app
from jobs.config.settings import Serving, Settings, load
from jobs.night.job_report import JobReport, JsonValue, StepFailure
from jobs.night.outcomes import keep
from jobs.steps import publish
from lakehouse.errors import (
    ConfigurationError,
    DataError,
    DataQualityError,
    InfrastructureError,
)
from lakehouse.io import arrow
from lakehouse.tables import ITEM_FEATURES, RECOMMENDATIONS
from serving.comparing import compare_releases
from serving.format.denials import Act
from serving.format.details import details_key
from serving.format.records import DamagedReleaseError, Item, body_of, decode, key
from serving.format.releases import Manifest
from serving.lookup import lookup
from serving.publishing import list_releases, rollback, verify
from serving.stores.opening import open_store
from tests.rows import row

MONDAY, TUESDAY, WEDNESDAY = (date(2024, 3, day) for day in (4, 5, 6))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "config.toml"
    path.write_text(f"""
        [shop]
        name = "corner"
        [paths]
        lake = "{tmp_path}/lake"
        runs = "{tmp_path}/runs"
        [serving]
        store = "lmdb:{tmp_path}/store"
        keep_releases = 3
        [[sources]]
        name = "s"
        target = "events"
        path = "x.csv"
        format = "csv"
        time_zone = "UTC"
        columns = {{ user_id = "u", item_id = "i", event_time = "t" }}
        constants = {{ event_type = "purchase" }}
    """)
    return load(path)


def release_of(night: date, digest: str = "aaaaaaaa") -> str:
    return f"{night}-{digest}"


def recommend(
    settings: Settings,
    night: date,
    *,
    digest: str = "aaaaaaaa",
    lists: tuple[tuple[str, str], ...] = (("all", "u1"), ("discover", "u1"), ("fallback", "")),
    facts: Mapping[str, JsonValue] | None = None,
    size: int = 2,
) -> None:
    """What the recommend step leaves behind: two items a list, written in the wrong order."""
    release = release_of(night, digest)
    rows = [
        row(
            RECOMMENDATIONS,
            run_date=night,
            list=list_name,
            user_id=user,
            rank=rank,
            item_id=f"i{rank}",
            title=f"{release} {list_name} {rank}",
            score=1.0 / rank,
            source="counts",
            reason="often",
            model_version="topshelf/7",
            release=release,
        )
        for list_name, user in reversed(lists)
        for rank in (2, 1)
    ]
    table = pa.Table.from_pylist(rows, schema=arrow.arrow_schema(RECOMMENDATIONS))
    arrow.replace(settings.paths.lake, RECOMMENDATIONS, table, {"run_date": night})
    told: Mapping[str, JsonValue] = {
        "release": release,
        "model_version": "topshelf/7",
        "table_versions": {"gold.user_features": 3},
        "configuration": "c0ffee",
        "seed": 42,
        "size": size,
    }
    report = JobReport("recommend", night, facts=told if facts is None else facts)
    keep(report, lake=settings.paths.lake, runs=settings.paths.runs)


def serving(settings: Settings) -> str | None:
    with open_store(settings.serving.store, settings.shop.name) as store:
        return store.pointer().current


def test_a_night_is_published_whole(settings: Settings) -> None:
    recommend(settings, MONDAY)
    report = publish.run(settings, run_date=MONDAY)

    with open_store(settings.serving.store, settings.shop.name) as store:
        checksum = verify(store, release_of(MONDAY)).checksum
        assert store.manifests() == {
            release_of(MONDAY): Manifest(
                release=release_of(MONDAY),
                run_date=MONDAY,
                model_version="topshelf/7",
                table_versions={"gold.user_features": 3},
                configuration="c0ffee",
                seed=42,
                lists={"all": 1, "discover": 1, "fallback": 1},
                records=3,
                checksum=checksum,
                format=2,
            )
        }
        answers = [lookup(store, "u1", kind) for kind in ("all", "discover")]
        answers.append(lookup(store, "stranger"))
    assert [(answer.personal, answer.items) for answer in answers] == [
        (
            personal,
            tuple(
                Item(n, f"i{n}", f"{release_of(MONDAY)} {kind} {n}", 1 / n, "counts", "often")
                for n in (1, 2)
            ),
        )
        for personal, kind in ((True, "all"), (True, "discover"), (False, "fallback"))
    ]
    assert report == JobReport(
        "publish",
        MONDAY,
        rows={"gold.recommendations": 6, "lists": 3},
        facts={
            "release": release_of(MONDAY),
            "current": release_of(MONDAY),
            "candidate": None,
            "share": 0.0,
            "written": True,
            "dropped": [],
            "lists": {"all": 1, "discover": 1, "fallback": 1},
            "checksum": checksum,
            "store": settings.serving.store,
            "denied": [],
        },
    )


def test_records_come_in_the_order_of_their_keys_whatever_that_of_the_rows(
    settings: Settings,
) -> None:
    # A long id's key is a digest behind a byte that comes after that of all short ones.
    users = ["u1", "a" * 600, "b" * 600, "u"]
    recommend(settings, MONDAY, lists=(("fallback", ""), *(("all", user) for user in users)))
    rows = arrow.read(settings.paths.lake, RECOMMENDATIONS)
    nothing = arrow.arrow_schema(ITEM_FEATURES).empty_table()
    records = list(publish.to_records(rows, nothing, 2))

    keys = [record_key for record_key, _ in records]
    long = sorted(key("all", user) for user in users[1:3])
    assert keys == [b"all\0u", b"all\0u1", *long, b"fallback\0"]
    assert [[item.rank for item in decode(*record)] for record in records] == [[1, 2]] * 5


def test_a_release_says_what_it_takes_to_show_the_catalogue_s_items(settings: Settings) -> None:
    def item(night: date, item_id: str, **known: Any) -> dict[str, Any]:
        return row(ITEM_FEATURES, run_date=night, as_of=night, item_id=item_id) | known

    rows = [
        item(MONDAY, "i2", title="Müsli", category="CEREALS", unit_price=2.5, in_catalogue=True),
        item(MONDAY, "i1", title=None, category=None, unit_price=None, in_catalogue=True),
        item(MONDAY, "i3", title="gone", category=None, unit_price=1.0, in_catalogue=False),
    ]
    for _ in range(2):
        table = pa.Table.from_pylist(rows, schema=arrow.arrow_schema(ITEM_FEATURES))
        arrow.replace(settings.paths.lake, ITEM_FEATURES, table, {"run_date": MONDAY})
        rows[0]["title"] = "Granola"
    facts: dict[str, JsonValue] = {
        "release": release_of(MONDAY),
        "model_version": "topshelf/7",
        # As it was when the lists were made.
        "table_versions": {ITEM_FEATURES.full_name: 1},
        "configuration": "c0ffee",
        "seed": 42,
        "size": 2,
    }
    recommend(settings, MONDAY, facts=facts)
    report = publish.run(settings, run_date=MONDAY)

    assert report.rows == {"gold.recommendations": 6, "lists": 3}
    with open_store(settings.serving.store, settings.shop.name) as store:
        manifest = verify(store, release_of(MONDAY))
        assert (manifest.records, sum(manifest.lists.values())) == (5, 3)
        keys = [details_key(item_id) for item_id in ("i1", "i2", "i3")]
        values = store.read(keys).values
        # Where lists are compared, details are none.
        found = compare_releases(store, manifest.release, manifest.release).lists
        assert {one.list_name: one.identical for one in found} == dict(manifest.lists)
    assert [value and body_of(name, value) for name, value in zip(keys, values, strict=True)] == [
        b'{"title":null,"category":null,"price":null}',
        '{"title":"Müsli","category":"CEREALS","price":2.5}'.encode(),
        None,
    ]


def test_the_command_writes_for_its_owner_alone_whatever_it_inherits(
    settings: Settings, tmp_path: Path
) -> None:
    recommend(settings, MONDAY)
    before = set(tmp_path.rglob("*"))
    call = ["publish", "--run-date", str(MONDAY), "--config", str(tmp_path / "config.toml")]
    code = f"import sys; sys.argv[1:] = {call!r}; from jobs.cli.main import main; main()"
    subprocess.run([sys.executable, "-c", code], check=True, umask=0o022)
    written = sorted(set(tmp_path.rglob("*")) - before)
    assert {"store", "releases", "CURRENT", "publish.lock"} <= {path.name for path in written}
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in written} == {
        path.name: "0o700" if path.is_dir() else "0o600" for path in written
    }


def test_publishing_twice_changes_no_byte(settings: Settings, tmp_path: Path) -> None:
    recommend(settings, MONDAY)
    publish.run(settings, run_date=MONDAY)
    before = stamps(tmp_path / "store")
    report = publish.run(settings, run_date=MONDAY)

    assert not report.facts["written"]
    assert stamps(tmp_path / "store") == before


def test_a_past_night_published_again_leaves_the_newer_release_serving(settings: Settings) -> None:
    for night in (MONDAY, TUESDAY):
        recommend(settings, night)
        publish.run(settings, run_date=night)
    with open_store(settings.serving.store, settings.shop.name) as store:
        newer = store.manifests()[release_of(TUESDAY)]

    recommend(settings, MONDAY, digest="bbbbbbbb")
    report = publish.run(settings, run_date=MONDAY)

    assert report.facts["current"] == release_of(TUESDAY)
    assert report.warnings == (
        "2024-03-04-bbbbbbbb does not serve: 2024-03-05-aaaaaaaa does, the release of a later "
        "night or a person's choice. `topshelf rollback --to 2024-03-04-bbbbbbbb` would let it "
        "serve.",
    )
    with open_store(settings.serving.store, settings.shop.name) as store:
        assert store.manifests()[release_of(TUESDAY)] == newer
        assert [(entry.release, entry.state) for entry in list_releases(store)] == [
            (release_of(TUESDAY), "current"),
            (release_of(MONDAY), "previous"),
            (release_of(MONDAY, "bbbbbbbb"), "stored"),
        ]


def test_a_corrected_night_replaces_its_first_release(settings: Settings) -> None:
    for digest in ("aaaaaaaa", "bbbbbbbb", "aaaaaaaa"):
        recommend(settings, MONDAY, digest=digest)
        report = publish.run(settings, run_date=MONDAY)
        assert report.facts["current"] == release_of(MONDAY, digest)


def test_only_so_many_releases_are_kept(settings: Settings) -> None:
    nights = [date(2024, 3, day) for day in range(1, 7)]
    for night in nights:
        recommend(settings, night)
        report = publish.run(settings, run_date=night)
    assert report.facts["dropped"] == [release_of(nights[2])]
    with open_store(settings.serving.store, settings.shop.name) as store:
        assert list(store.manifests()) == [release_of(night) for night in nights[3:]]


def test_a_rollback_holds_until_the_next_night(settings: Settings) -> None:
    for night in (MONDAY, TUESDAY):
        recommend(settings, night)
        publish.run(settings, run_date=night)
    with open_store(settings.serving.store, settings.shop.name) as store:
        assert rollback(store).current == release_of(MONDAY)
        assert [entry.state for entry in list_releases(store)] == ["rolled back", "current"]
        with pytest.raises(ConfigurationError, match="has no earlier release to go back"):
            rollback(store)
        with pytest.raises(ConfigurationError, match=r"has no release 'x'\. It has: 2024-03-04"):
            rollback(store, "x")

    publish.run(settings, run_date=TUESDAY)
    assert serving(settings) == release_of(MONDAY)
    recommend(settings, WEDNESDAY)
    publish.run(settings, run_date=WEDNESDAY)
    assert serving(settings) == release_of(WEDNESDAY)
    with open_store(settings.serving.store, settings.shop.name) as store:
        assert rollback(store).current == release_of(MONDAY)


def test_after_a_night_of_the_future_was_rolled_back_the_next_nights_serve(
    settings: Settings,
) -> None:
    future = date(2030, 1, 1)
    for night in (MONDAY, future, TUESDAY):
        recommend(settings, night)
        report = publish.run(settings, run_date=night)
    assert report.facts["current"] == release_of(future)
    assert report.warnings == (
        "2024-03-05-aaaaaaaa does not serve: 2030-01-01-aaaaaaaa does, the release of a later "
        "night or a person's choice. `topshelf rollback --to 2024-03-05-aaaaaaaa` would let it "
        "serve.",
    )
    with open_store(settings.serving.store, settings.shop.name) as store:
        rollback(store, release_of(TUESDAY))
    publish.run(settings, run_date=future)
    assert serving(settings) == release_of(TUESDAY)
    recommend(settings, WEDNESDAY)
    assert publish.run(settings, run_date=WEDNESDAY).warnings == ()
    assert serving(settings) == release_of(WEDNESDAY)


def test_a_damaged_manifest_is_named(settings: Settings, tmp_path: Path) -> None:
    for night in (MONDAY, TUESDAY):
        recommend(settings, night)
        publish.run(settings, run_date=night)
    (tmp_path / f"store/releases/{release_of(MONDAY)}.json").write_text("{")
    recommend(settings, WEDNESDAY)
    assert publish.run(settings, run_date=WEDNESDAY).warnings == (
        "release '2024-03-04-aaaaaaaa' is damaged: its manifest is not readable. Publish its night "
        "again, or let it go with the next nights; nothing can go back to it.",
    )


def test_a_rollback_to_a_damaged_release_is_refused(settings: Settings, tmp_path: Path) -> None:
    for night in (MONDAY, TUESDAY):
        recommend(settings, night)
        publish.run(settings, run_date=night)
    next((tmp_path / "store/releases").glob(f"{MONDAY}*.mdb")).write_bytes(b"")
    with (
        open_store(settings.serving.store, settings.shop.name) as store,
        pytest.raises(
            DamagedReleaseError, match=r"its file's checksum does not match .*\.mdb\)\. Publish its"
        ),
    ):
        rollback(store)
    assert serving(settings) == release_of(TUESDAY)


def test_lists_of_a_step_that_did_not_end_well_are_not_published(settings: Settings) -> None:
    first = (
        "ops.runs has no recommend step for 2024-03-04 that ended well. Run `topshelf recommend "
        "--run-date 2024-03-04` first."
    )
    with pytest.raises(DataError) as raised:
        publish.run(settings, run_date=MONDAY)
    assert str(raised.value) == first
    recommend(settings, MONDAY)
    failure = StepFailure("recommend", MONDAY, 4, "the disk is full")
    keep(failure, lake=settings.paths.lake, runs=settings.paths.runs)
    with pytest.raises(DataError) as raised:
        publish.run(settings, run_date=MONDAY)
    assert str(raised.value) == first
    assert serving(settings) is None


def sharing(settings: Settings, share: float, guardrails: Path | None = None) -> Settings:
    serving = settings.serving.model_copy(update={"share": share, "guardrails": guardrails})
    return settings.model_copy(update={"serving": serving})


def test_a_night_for_a_share_of_the_users_is_a_candidate(settings: Settings) -> None:
    few = sharing(settings, 5)
    recommend(settings, MONDAY)
    report = publish.run(few, run_date=MONDAY)
    assert report.warnings == ("2024-03-04-aaaaaaaa serves everybody: nothing served before it.",)
    recommend(settings, TUESDAY)
    report = publish.run(few, run_date=TUESDAY)
    told = [report.facts[name] for name in ("release", "current", "candidate", "share")]
    assert told == [release_of(TUESDAY), release_of(MONDAY), release_of(TUESDAY), 5]
    assert report.warnings == ()

    recommend(settings, WEDNESDAY)
    report = publish.run(settings, run_date=WEDNESDAY)
    assert serving(settings) == release_of(MONDAY)
    assert report.warnings == (
        "2024-03-06-aaaaaaaa does not serve: the rollout of 2024-03-05-aaaaaaaa is on (5 % of the "
        "users). End it by `topshelf rollout finish` or `abort`, then publish this night again.",
    )


def test_a_candidate_that_breaks_a_guardrail_is_withdrawn(
    settings: Settings, tmp_path: Path
) -> None:
    guardrails = tmp_path / "guardrails.toml"
    guardrails.write_text("empty_share = 0.1\nfallback_share = 0.0\n")
    few = sharing(settings, 5, guardrails)
    recommend(settings, MONDAY)
    publish.run(few, run_date=MONDAY)
    recommend(settings, TUESDAY, lists=(("all", "u1"), ("fallback", "")))
    with pytest.raises(DataQualityError) as caught:
        publish.run(few, run_date=TUESDAY)
    first, *details = str(caught.value).splitlines()
    assert first.startswith(
        "2024-03-05-aaaaaaaa breaks 1 guardrail(s) and is withdrawn; 2024-03-04-aaaaaaaa serves "
        "everybody. `topshelf diff 2024-03-04-aaaaaaaa 2024-03-05-aaaaaaaa` shows more."
    )
    assert [line.strip().split(":")[0] for line in details] == [
        "empty_share is 0.5, at most 0.1 is allowed"
    ]
    assert serving(settings) == release_of(MONDAY)
    with open_store(settings.serving.store, settings.shop.name) as store:
        assert store.pointer().withdrawn == (release_of(TUESDAY),)


def test_the_command_takes_a_share(settings: Settings, tmp_path: Path) -> None:
    for night in (MONDAY, TUESDAY):
        recommend(settings, night)
    publish.run(settings, run_date=MONDAY)
    config = ["--run-date", str(TUESDAY), "--config", str(tmp_path / "config.toml")]
    assert CliRunner().invoke(app, ["publish", "--share", "0", *config]).exit_code == 2
    done = CliRunner().invoke(app, ["publish", "--share", "5", *config])
    assert done.exit_code == 0, done.output
    with open_store(settings.serving.store, settings.shop.name) as store:
        assert (store.pointer().candidate, store.pointer().share) == (release_of(TUESDAY), 5)


def test_a_store_that_lost_its_deny_list_with_all_else_is_filled_with_a_warning(
    settings: Settings, tmp_path: Path
) -> None:
    recommend(settings, MONDAY)
    with open_store(settings.serving.store, settings.shop.name) as store:
        store.deny(lambda known: known.after([Act("denied", "i 1", "ann", "recall", "now")]))
    report = publish.run(settings, run_date=MONDAY)
    assert (report.facts["denied"], report.warnings) == (["i 1"], ())
    keep(report, lake=settings.paths.lake, runs=settings.paths.runs)
    shutil.rmtree(tmp_path / "store")
    report = publish.run(settings, run_date=MONDAY)
    assert report.warnings == (
        "the store lost its deny list of 1 item(s), which are shown now. Hide them again: "
        "`topshelf deny --item 'i 1' --who WHO --why WHY`.",
    )
    keep(report, lake=settings.paths.lake, runs=settings.paths.runs)
    assert publish.run(settings, run_date=MONDAY).warnings == ()


def test_a_damaged_deny_list_stops_no_night_and_is_named(
    settings: Settings, tmp_path: Path
) -> None:
    recommend(settings, MONDAY)
    publish.run(settings, run_date=MONDAY)
    (tmp_path / "store/DENIED").write_text("{}")
    (warning,) = publish.run(settings, run_date=MONDAY).warnings
    assert warning.startswith(f"{tmp_path}/store/DENIED, the deny list, is damaged; rather than")


def test_places_beyond_the_size_of_the_lists_are_spare(settings: Settings) -> None:
    recommend(settings, MONDAY, size=1)
    publish.run(settings, run_date=MONDAY)
    with open_store(settings.serving.store, settings.shop.name) as store:
        assert [item.item_id for item in lookup(store, "u1").items] == ["i1"]
        store.deny(lambda known: known.after([Act("denied", "i1", "ann", "recall", "now")]))
        assert [item.item_id for item in lookup(store, "u1").items] == ["i2"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"facts": {"release": "x"}},
            "lacks model_version, table_versions, configuration, seed, size",
        ),
        ({"lists": (("all", "u1"),)}, "has no 'fallback' list for 2024-03-05"),
        (
            {
                "facts": {
                    "release": "2024-03-05-other000",
                    "model_version": "topshelf/7",
                    "table_versions": {},
                    "configuration": "",
                    "seed": 1,
                    "size": 2,
                }
            },
            r"release is \['2024-03-05-aaaaaaaa'\] in the rows of 2024-03-05, but the recommend "
            r"step reported '2024-03-05-other000'\. Run `topshelf recommend --run-date 2024-03-05`",
        ),
    ],
)
def test_what_recommend_left_must_fit_together(
    settings: Settings, change: dict[str, Any], message: str
) -> None:
    recommend(settings, MONDAY)
    publish.run(settings, run_date=MONDAY)
    recommend(settings, TUESDAY, **change)
    with pytest.raises(DataError, match=message):
        publish.run(settings, run_date=TUESDAY)
    assert serving(settings) == release_of(MONDAY)


def test_a_night_without_recommendations_says_which_step_to_run(settings: Settings) -> None:
    with pytest.raises(DataError, match="Run `topshelf recommend --run-date 2024-03-04` first"):
        publish.run(settings, run_date=MONDAY)


def test_a_store_that_is_down_is_an_infrastructure_error(settings: Settings) -> None:
    recommend(settings, MONDAY)
    down = settings.model_copy(update={"serving": Serving(store="redis://127.0.0.1:1/0")})
    with pytest.raises(InfrastructureError, match=r"redis://127\.0\.0\.1:1/0 is not to be reached"):
        publish.run(down, run_date=MONDAY)


def test_a_folder_that_cannot_be_made_is_an_infrastructure_error(
    settings: Settings, tmp_path: Path
) -> None:
    recommend(settings, MONDAY)
    (tmp_path / "store").write_text("a file where the folder should be")
    with pytest.raises(InfrastructureError, match=r"cannot write: .*; nothing was switched"):
        publish.run(settings, run_date=MONDAY)


def stamps(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path.relative_to(folder)): (
            path.stat().st_ino,
            path.stat().st_mtime_ns,
            path.read_bytes(),
        )
        for path in folder.rglob("*")
        # A lock names who held it last.
        if path.is_file() and path.suffix != ".lock"
    }
