"""`topshelf quarantine`: what waits, what a mended mapping takes back in, what is let be."""

import subprocess
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from jobs.config.settings import Settings
from jobs.operate.lake import quarantine as job
from jobs.steps import clean
from lakehouse.clean.quarantine import Acted, Place, Wanted, acts, by_age, groups, waiting
from lakehouse.errors import ConfigurationError
from lakehouse.io.lake import Lakehouse
from lakehouse.tables import (
    BRONZE_EVENTS,
    EVENT_IDENTITY,
    QUARANTINE,
    QUARANTINE_ACTS,
    ROW_ACCOUNTING,
    SILVER_INTERACTIONS,
)
from tests.landed import EVENTS, settings_of, toml_of
from tests.rows import put, stored

FIRST, SECOND, THIRD = (date(2024, 1, day) for day in (2, 3, 9))
NOON = datetime(2024, 1, 9, 12, tzinfo=UTC)
MINUS, NOBODY = "quantity_not_positive", "user_id_missing"
EVERYTHING = Wanted()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path, EVENTS, quality={"quarantine_fail_share": 1})


def reject(settings: Settings, night: date, *rows: tuple[str, list[str]]) -> None:
    """Put rows of (source, broken rules) into a night's quarantine."""
    values = [
        {
            "table_name": "bronze.events",
            "source": source,
            "rules": rules,
            "record": f'{{"row":{number}}}',
            "source_file": "a.csv",
            "row_number": number,
        }
        for number, (source, rules) in enumerate(rows, start=1)
    ]
    put(settings.paths.lake, QUARANTINE, values, {"ingest_date": night})


def printed(content: RenderableType) -> list[list[str]]:
    """The cells of each line of a table, without its frame."""
    console = Console(width=150)
    with console.capture() as captured:
        console.print(content)
    lines = [line for line in captured.get().splitlines() if not set(line) & set("┏┡└")]
    return [
        [cell.strip() for cell in line.strip("┃│").replace("┃", "│").split("│")] for line in lines
    ]


def test_rows_wait_by_night_source_and_rules(settings: Settings) -> None:
    root = settings.paths.lake
    assert groups(root) == {}
    assert printed(job.listed(settings, EVERYTHING)) == [["nothing waits in the quarantine"]]
    reject(settings, SECOND, ("web", [MINUS]))
    reject(settings, FIRST, ("web", [MINUS]), ("web", [NOBODY, MINUS]), ("till", [MINUS]))
    assert list(groups(root).items()) == [
        (Place(FIRST, "till", MINUS), 1),
        (Place(FIRST, "web", MINUS), 1),
        (Place(FIRST, "web", f"{NOBODY}, {MINUS}"), 1),
        (Place(SECOND, "web", MINUS), 1),
    ]
    assert printed(job.listed(settings, Wanted(source="web", rule=MINUS, last=FIRST))) == [
        ["night", "source", "rules", "rows", "replayed"],
        ["2024-01-02", "web", MINUS, "1", ""],
        ["2024-01-02", "web", f"{NOBODY}, {MINUS}", "1", ""],
    ]
    assert printed(job.show(settings, Wanted(first=FIRST, source="web"), 2)) == [
        ["night", "source", "file", "row", "rules", "record"],
        ["2024-01-02", "web", "a.csv", "1", MINUS, '{"row":1}'],
        ["2024-01-02", "web", "a.csv", "2", f"{NOBODY}, {MINUS}", '{"row":2}'],
    ]


def test_dropped_rows_wait_again_where_their_number_changes(settings: Settings) -> None:
    reject(settings, FIRST, ("web", [MINUS]), ("web", [MINUS]), ("web", [NOBODY]))
    with pytest.raises(ConfigurationError, match="--who and --why must say something"):
        list(job.drop(settings, EVERYTHING, job.Decision(" ", "x", NOON)))
    said = job.drop(settings, Wanted(rule=MINUS), job.Decision("ann", "refunds", NOON))
    assert list(said) == [f"2024-01-02, web, {MINUS}: 2 rows dropped"]
    assert stored(settings.paths.lake, QUARANTINE_ACTS) == [
        {
            "ingest_date": FIRST,
            "source": "web",
            "rules": MINUS,
            "act": "dropped",
            "rows_before": 2,
            "rows_after": 2,
            "who": "ann",
            "why": "refunds",
            "at": NOON,
        }
    ]
    root = settings.paths.lake
    assert waiting(groups(root), acts(root)) == {Place(FIRST, "web", NOBODY): 1}
    assert list(job.drop(settings, Wanted(rule=MINUS), job.Decision("ann", "x", NOON))) == []
    reject(settings, FIRST, ("web", [MINUS]))
    assert waiting(groups(root), acts(root)) == {Place(FIRST, "web", MINUS): 1}


def test_rows_are_counted_by_their_age() -> None:
    nights = [date(2024, 2, 10), date(2024, 2, 9), date(2024, 2, 4), date(2024, 1, 14)]
    found = {Place(night, "web", MINUS): 2**n for n, night in enumerate(nights)}
    found |= {Place(date(2024, 1, 13), "web", MINUS): 16, Place(date(2024, 2, 11), "web", MINUS): 9}
    assert by_age(found, date(2024, 2, 10)) == {
        ("web", MINUS): {"last night": 1, "2 to 7 nights": 6, "8 to 28 nights": 8, "older": 16}
    }


def test_a_mended_mapping_takes_rows_back_in(
    lake: Lakehouse, settings: Settings, tmp_path: Path
) -> None:
    for night, quantities in ((FIRST, ["1,5", "x", "2"]), (THIRD, ["1,5", "4"])):
        values = [
            {
                "user_id": f"u{night.day}",
                "item_id": f"i{number}",
                "event_time": "2024-01-01 10:00:00",
                "event_type": "purchase",
                "quantity": quantity,
                "value": "2",
                "source": "orders",
                "source_file": "a.csv",
                "row_number": number,
            }
            for number, quantity in enumerate(quantities, start=1)
        ]
        partition: dict[str, date | str] = {"ingest_date": night, "ingest_batch": f"{night}-b"}
        put(settings.paths.lake, BRONZE_EVENTS, values, partition)
        clean.run(lake, settings, run_date=night)
    root = settings.paths.lake
    untouched = {
        table: [row for row in stored(root, table) if row["ingest_date"] == THIRD]
        for table in (SILVER_INTERACTIONS, ROW_ACCOUNTING, EVENT_IDENTITY)
    }
    comma = settings_of(tmp_path, EVENTS | {"decimal": ","}, quality={"quarantine_fail_share": 1})
    (tmp_path / "shop.toml").write_text(f"{toml_of(comma)}\n[quality]\nquarantine_fail_share = 1\n")
    command = [
        "topshelf",
        "quarantine",
        "replay",
        "--rule",
        "quantity_invalid",
        "--to",
        str(SECOND),
    ]
    said = ["--who", "ann", "--why", "comma", "--config", str(tmp_path / "shop.toml")]
    done = subprocess.run([*command, *said], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "topshelf quarantine replay: 2024-01-02, orders, quantity_invalid: 1 of 2 rows are not "
        "rejected for it any more"
    ]
    rows = stored(root, SILVER_INTERACTIONS)
    assert sorted((row["user_id"], row["item_id"], row["quantity"]) for row in rows) == [
        ("u2", "i1", 1.5),
        ("u2", "i3", 2.0),
        ("u9", "i2", 4.0),
    ]
    assert groups(root) == {
        Place(FIRST, "orders", "quantity_invalid"): 1,
        Place(THIRD, "orders", "quantity_invalid"): 1,
    }
    [act] = acts(root)
    place = Place(FIRST, "orders", "quantity_invalid")
    assert act == Acted(place, "replayed", 2, 1, "ann", "comma", act.at)
    replayed = f"1 times, last {act.at:%Y-%m-%d %H:%M}"
    assert printed(job.listed(settings, EVERYTHING))[1:] == [
        ["2024-01-02", "orders", "quantity_invalid", "1", replayed],
        ["2024-01-09", "orders", "quantity_invalid", "1", ""],
    ]
    for table, before in untouched.items():
        assert [row for row in stored(root, table) if row["ingest_date"] == THIRD] == before
