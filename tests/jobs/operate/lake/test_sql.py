"""`topshelf sql` as an analyst types it."""

import subprocess
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from jobs.config.settings import Settings
from jobs.operate.lake.sql import SHOWN_ROWS, as_table, as_text
from lakehouse.io import arrow
from lakehouse.tables import SILVER_ITEMS
from tests.nights import NIGHT, settings_in
from tests.rows import row


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop whose catalogue has an article called by what rich would take for markup."""
    folder = tmp_path_factory.mktemp("shop")
    rows = [
        row(SILVER_ITEMS, ingest_date=NIGHT, item_id="1", title="[red]tea, green", tags=["é", "b"]),
        row(SILVER_ITEMS, ingest_date=NIGHT, item_id="2", title=None, tags=[]),
    ]
    arrow.replace(
        settings_in(folder).paths.lake,
        SILVER_ITEMS,
        pa.Table.from_pylist(rows, arrow.arrow_schema(SILVER_ITEMS)),
        {"ingest_date": NIGHT},
    )
    return folder


@pytest.fixture(scope="module")
def settings(folder: Path) -> Settings:
    return settings_in(folder)


ITEMS = "SELECT item_id, title, tags FROM silver.items ORDER BY item_id"


def shown(settings: Settings, statement: str) -> list[str]:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(as_table(settings, statement))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_people_get_a_table(settings: Settings) -> None:
    assert shown(settings, ITEMS) == [
        "┏━━━━━━━━━┳━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━┓",
        "┃ item_id ┃ title           ┃ tags       ┃",
        "┡━━━━━━━━━╇━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━┩",
        "│ 1       │ [red]tea, green │ ['é', 'b'] │",
        "│ 2       │                 │ []         │",
        "└─────────┴─────────────────┴────────────┘",
    ]


def test_a_long_table_says_how_to_get_the_rest(settings: Settings) -> None:
    lines = shown(settings, "SELECT * FROM range(1234)")
    assert len(lines) == SHOWN_ROWS + 5
    assert lines[-1] == "100 of 1,234 rows; --format csv or jsonl has all"


def test_programs_get_all_rows(settings: Settings) -> None:
    assert as_text(settings, ITEMS, as_csv=True) == (
        '"item_id","title","tags"\n"1","[red]tea, green","[""é"", ""b""]"\n"2",,"[]"\n'
    )
    assert as_text(settings, ITEMS, as_csv=False) == (
        '{"item_id": "1", "title": "[red]tea, green", "tags": ["é", "b"]}\n'
        '{"item_id": "2", "title": null, "tags": []}\n'
    )
    assert as_text(settings, "SELECT * FROM range(1234)", as_csv=True).count("\n") == 1235


def test_the_command(folder: Path) -> None:
    def asked(*words: str) -> tuple[int, str, str]:
        command = ("topshelf", "sql", "--config", str(folder / "config.toml"), *words)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    counted = "SELECT count(*) AS items FROM silver.items"
    assert asked("--format", "csv", counted) == (0, '"items"\n2\n', "")
    code, out, err = asked("DROP VIEW silver.items")
    assert (code, out) == (2, "")
    assert err.startswith("topshelf sql: give one statement that begins with SELECT")
