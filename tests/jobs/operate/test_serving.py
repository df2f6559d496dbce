"""The commands on what is served, from the call to the last line: deny, allow, rollout, diff."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli.main import app
from lakehouse.io import arrow
from lakehouse.tables import SILVER_ITEMS, USER_FEATURES
from serving.format.records import decode, encode, summarise
from serving.lookup import lookup
from serving.publishing import publish
from serving.stores.opening import open_store
from tests.rows import put as put_rows
from tests.stored_lists import NEW, NEWER, OLD, SHOP, make_release, put

CONFIG = """
[shop]
name = "corner"
[paths]
lake = "FOLDER/lake"
runs = "FOLDER/runs"
data_quality = "FOLDER/data_quality"
[serving]
store = "lmdb:FOLDER/store"
guardrails = "FOLDER/guardrails/corner.toml"
[[sources]]
name = "orders"
target = "events"
path = "{date}.csv"
format = "csv"
columns = { user_id = "u", item_id = "i", event_time = "t" }
constants = { event_type = "purchase" }
"""
SIGNED = ("--who", "Ann", "--why", "a recall")

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Run a command; its exit code and what it printed."""
    config = tmp_path / "corner.toml"
    config.write_text(CONFIG.replace("FOLDER", str(tmp_path)))
    (tmp_path / "guardrails").mkdir()
    (tmp_path / "guardrails/corner.toml").write_text("churn = 0.5\n")
    with open_store(f"lmdb:{tmp_path}/store", SHOP) as store:
        put(store, OLD, spare=1)
        put(store, NEW, spare=1)

    def invoke(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*arguments, "--config", str(config)])
        return done.exit_code, done.output

    return invoke


def shown(folder: Path, user: str = "ann") -> list[str]:
    with open_store(f"lmdb:{folder}/store", SHOP) as store:
        return [item.item_id for item in lookup(store, user).items]


def lines(text: str) -> list[str]:
    return [re.sub(r" {2,}", "  ", line.strip()) for line in text.splitlines() if line.strip()]


def test_a_denied_item_is_gone_and_listed_until_it_is_allowed(call: Call, tmp_path: Path) -> None:
    assert call("deny") == (0, "nothing is denied\n")
    assert call("deny", "--item", "i2", "--item", "i4", *SIGNED) == (
        0,
        "topshelf deny: i2 is hidden now, from 7 lists of the current release.\n"
        "topshelf deny: i4 is hidden now, from 7 lists of the current release.\n",
    )
    assert shown(tmp_path) == ["i1", "i3"]
    code, listed = call("deny")
    head, *rows = lines(re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "WHEN", listed))
    assert (code, head) == (0, "item  act  when (UTC)  who  why")
    assert rows == ["i2  denied  WHEN  Ann  a recall", "i4  denied  WHEN  Ann  a recall"]

    assert call("allow", "--item", "i2", "--item", "i1", "--who", "Bo", "--why", "solved") == (
        0,
        "topshelf allow: i2 may be shown again.\ntopshelf allow: warning: i1 was not denied.\n",
    )
    assert shown(tmp_path) == ["i1", "i2", "i3"]
    _, listed = call("deny")
    assert [line.split("  ")[0] for line in lines(listed)] == [
        "item", "i4", "before:", "item", "i2", "i2",
    ]  # fmt: skip


def test_what_left_the_catalogue_is_listed_until_it_is_denied(call: Call, tmp_path: Path) -> None:
    # The release was made with i2; the catalogue of the night after has it no longer.
    still = [{"item_id": item} for item in ("i1", "i3", "i4")]
    put_rows(tmp_path / "lake", SILVER_ITEMS, still, {"ingest_date": date(2024, 1, 9)})
    code, listed = call("lookup", "--user", "ann")
    assert (code, [item in listed for item in ("i1", "i2", "i3")]) == (0, [True, True, True])
    assert call("deny", "--item", "i2", *SIGNED)[0] == 0
    code, listed = call("lookup", "--user", "ann")
    assert (code, [item in listed for item in ("i1", "i2", "i3", "i4")]) == (
        0,
        [True, False, True, True],
    )


def test_a_basket_of_nothing_known_is_completed_by_what_sells(call: Call) -> None:
    code, output = call("recommend", "--basket", "i1,new since yesterday", "--basket", "x")
    assert code == 0
    assert output.startswith("no such list, so one of its fallbacks")
    assert "title 1 of" in output

    code, output = call("lookup", "--list", "bought_together", "--item", "i1")
    assert code == 0
    assert output.startswith("what goes with an item: nothing is known\n")

    code, output = call("recommend", "--basket", " , ")
    assert code == 2
    assert "topshelf recommend: --basket names no item" in output

    code, output = call("recommend", "--basket", "i1", "--history", "i2")
    assert code == 2
    assert "topshelf recommend: give either --run-date, or" in output


def test_an_unknown_item_is_denied_with_a_warning(call: Call) -> None:
    code, said = call("deny", "--item", "milk\n", *SIGNED)
    assert code == 0
    assert "warning: no list of the current release has milk" in said
    assert "`topshelf allow` it if it is wrong" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("deny", "--item", "i1"),
        ("deny", "--item", "i1", "--who", "Ann", "--why", " "),
        ("deny", "--item", "", *SIGNED),
        ("allow", "--item", "i1", "--who", "", "--why", "x"),
    ],
)
def test_whoever_decides_says_so(call: Call, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, said = call(*arguments)
    assert (code, shown(tmp_path)) == (2, ["i1", "i2", "i3"])
    assert "--item, --who and --why must say something" in said


def propose(folder: Path, share: float = 50) -> None:
    with open_store(f"lmdb:{folder}/store", SHOP) as store:
        publish(store, *make_release(NEWER, spare=1), keep=5, share=share)


def test_a_rollout_from_its_share_to_everybody(call: Call, tmp_path: Path) -> None:
    assert call("rollout", "status") == (
        0,
        f"topshelf rollout: {NEW} serves everybody; no rollout is on.\n",
    )
    assert call("rollout", "abort", *SIGNED)[0] == 2
    propose(tmp_path, 5)
    assert call("rollout", "set", "12.5", *SIGNED) == (
        0,
        f"topshelf rollout: {NEWER} serves 12.5 % of the users, {NEW} the others.\n",
    )
    assert "candidate" in call("releases")[1]
    code, said = call("rollout", "status")
    assert code == 0
    assert lines(re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "WHEN", said)) == [
        f"topshelf rollout: {NEWER} serves 12.5 % of the users, {NEW} the others.",
        "when (UTC)  release  per cent  who  why",
        f"WHEN  {NEWER}  12.5  Ann  a recall",
    ]
    code, said = call("rollout", "finish", "--who", "Ann")
    assert code == 2
    assert "--who and --why must say something" in said
    assert call("rollout", "finish", *SIGNED) == (
        0,
        f"topshelf rollout: {NEWER} serves everybody; no rollout is on.\n",
    )


@pytest.mark.parametrize("act", ["abort", "rollback"])
def test_a_rollout_that_ends_for_nobody(call: Call, tmp_path: Path, act: str) -> None:
    propose(tmp_path)
    code, said = call("rollback") if act == "rollback" else call("rollout", "abort", *SIGNED)
    assert (code, said) == (
        0,
        f"topshelf rollback: {NEW} serves everybody; the rollout of {NEWER} is aborted.\n"
        if act == "rollback"
        else f"topshelf rollout: {NEW} serves everybody; no rollout is on.\n",
    )
    assert "rolled back" in call("releases")[1]


@pytest.mark.parametrize("share", ["0", "100", "nan"])
def test_a_share_is_above_0_and_below_100(call: Call, tmp_path: Path, share: str) -> None:
    propose(tmp_path)
    code, said = call("rollout", "set", share, *SIGNED)
    assert code == 2
    assert "is no share above 0 and below 100" in said


def test_a_candidate_beyond_the_file_s_guardrails_is_aborted(call: Call, tmp_path: Path) -> None:
    propose(tmp_path)
    (tmp_path / "guardrails/corner.toml").write_text("coverage_ratio = 2.0\n")
    code, said = call("rollout", "set", "60", *SIGNED)
    assert code == 3
    assert said.startswith(f"topshelf rollout set: {NEWER} breaks 1 guardrail(s) and is withdrawn")
    assert "coverage_ratio is 1, at least 2 is allowed: Least number of different items" in said
    assert call("rollout", "status")[1] == (
        f"topshelf rollout: {NEW} serves everybody; no rollout is on.\n"
    )


def test_every_mistake_of_the_guardrails_is_told_and_nothing_moves(
    call: Call, tmp_path: Path
) -> None:
    propose(tmp_path)
    file = tmp_path / "guardrails/corner.toml"
    file.write_text("churn = 2\nempty_shar = 0.1\ncoverage_ratio = true\n")
    code, said = call("rollout", "finish", *SIGNED)
    assert code == 2
    assert lines(said) == [
        "coverage_ratio: must be a number (value: True)",
        "churn: must be at most 1.0 (value: 2)",
        "empty_shar: no such setting; did you mean `empty_share`?",
        f"topshelf rollout finish: {file} has 3 mistake(s) (listed above)",
    ]
    file.write_text("churn =")
    assert "is not valid TOML" in call("rollout", "finish", *SIGNED)[1]
    file.unlink()
    assert "serving.guardrails: cannot read" in call("rollout", "finish", *SIGNED)[1]
    assert f"{NEWER} serves 50 %" in call("rollout", "status")[1]


def test_two_releases_are_compared_list_by_list(call: Call, tmp_path: Path) -> None:
    with open_store(f"lmdb:{tmp_path}/store", SHOP) as store:
        publish(store, *make_release(NEWER, ("ann", "dan"), size=2, spare=2), keep=5)
    code, said = call("diff", OLD, NEWER)
    assert code == 0
    assert lines(said) == [
        f"{OLD} → {NEWER}",
        "list  before  after  new  gone  identical  changed  churn  items in  items out",
        "all  3  2  1  2  0  1  0.0%  0  1",
        "discover  3  2  1  2  0  1  0.0%  0  1",
        "fallback  1  1  0  0  0  1  0.0%  0  1",
        "as guardrails see it: empty_share 0.5, fallback_share 0, coverage_ratio 0.6667, churn 0",
        "moved most  lists before  after  change",
        f"title 3 of {OLD} (i3)  6  0  -6",
        f"title 1 of {NEWER} (i1)  6  4  -2",
        f"title 2 of {NEWER} (i2)  6  4  -2",
    ]


def test_churn_is_told_by_the_users_active_days_where_the_lake_is(
    call: Call, tmp_path: Path
) -> None:
    lake, night = tmp_path / "lake", date(2024, 3, 3)
    days = {"ann": 3, "bob": 40}
    put_rows(
        lake,
        USER_FEATURES,
        [{"as_of": night, "user_id": user, "active_days": count} for user, count in days.items()],
        {"run_date": night},
    )
    version = arrow.version(lake, USER_FEATURES)
    manifest, records = make_release(NEWER, ("ann", "bob"), size=2, spare=2, text="other")
    record_key, value = records[0]
    items = [replace(item, item_id=f"x{item.rank}") for item in decode(record_key, value)]
    records[0] = record_key, encode(record_key, items, 2)
    manifest = replace(
        manifest,
        checksum=summarise(records).checksum,
        table_versions={USER_FEATURES.full_name: version},
    )
    with open_store(f"lmdb:{tmp_path}/store", SHOP) as store:
        publish(store, manifest, records, keep=5)
    told = lines(call("diff", OLD, NEWER)[1])
    start = told.index("users by active days  lists  churn")
    # Both of Ann's items of `all` are others, none of her `discover`.
    assert told[start + 1 : start + 3] == [
        "1 (3 to 3 days)  2  50.0%",
        "4 (40 to 40 days)  2  0.0%",
    ]


def test_by_default_what_serves_is_compared_with_what_served_before(
    call: Call, tmp_path: Path
) -> None:
    assert lines(call("diff")[1])[0] == f"{OLD} → {NEW}"
    propose(tmp_path)
    assert lines(call("diff")[1])[0] == f"{NEW} → {NEWER}"
    assert call("diff", OLD)[0] == 2
    code, said = call("diff", OLD, "x")
    assert code == 2
    assert "has no release 'x'. It has: 2024-03-01" in said
