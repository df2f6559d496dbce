"""First configurations for files of many shapes: they load, pass the check, say their doubts."""

import re
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from jobs.cli.main import app
from jobs.config.settings import Settings, load
from tests.jobs.steps.test_shipped_mappings import ONLINE_RETAIL
from tests.project import ROOT

runner = CliRunner()


def init(folder: Path, *files: Path, more: tuple[str, ...] = ()) -> Path:
    """The configuration that the command writes."""
    out = folder / "out" / "shop.toml"
    done = runner.invoke(
        app, ["config", "init", *map(str, files), "--out", str(out), "--shop", "corner", *more]
    )
    assert done.exit_code == 0, done.stderr
    return out


def checked(config: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the check says; ``monkeypatch`` keeps it from an actual lake."""
    monkeypatch.setenv("TOPSHELF__PATHS__LAKE", str(config.parent / "lake"))
    done = runner.invoke(app, ["config", "check", "--config", str(config)])
    assert done.exit_code == 0, done.stderr + done.stdout
    return done.stdout


def doubts(config: Path) -> list[str]:
    lines = config.read_text().splitlines()
    return [line.removeprefix("# ? ") for line in lines if line.startswith("# ? ")]


def sources_of(settings: Settings) -> list[dict[str, object]]:
    return [source.model_dump(exclude_defaults=True, mode="json") for source in settings.sources]


def put(path: Path, text: str, encoding: str = "UTF-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)
    return path


def test_orders_of_a_german_till(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "Kunde;Artikel;Datum;Menge;Betrag;Bon;Verkäufer\n"
    first = put(
        tmp_path / "in" / "bons-2024-01-30.csv",
        rows + "K1;A7;30.01.2024 09:15;1;1.234,50;B1;Jörg\n",
        "windows-1252",
    )
    second = put(
        tmp_path / "in" / "bons-2024-01-31.csv",
        rows + ";A8;31.01.2024 18:00;2;0,99;B2;Jörg\n",
        "windows-1252",
    )
    config = init(tmp_path, first, second)
    settings = load(config)
    assert settings.shop.name == "corner"
    assert settings.paths.landing == tmp_path / "in"
    assert sources_of(settings) == [
        {
            "name": "events",
            "target": "events",
            "path": "bons-{date}.csv",
            "format": "csv",
            "delimiter": ";",
            "encoding": "windows-1252",
            "time_format": "dd.MM.yyyy HH:mm",
            "decimal": ",",
            "thousands": ".",
            "columns": {
                "user_id": "Kunde",
                "item_id": "Artikel",
                "event_time": "Datum",
                "quantity": "Menge",
                "value": "Betrag",
                "order_id": "Bon",
            },
            "constants": {"event_type": "purchase"},
            "other_columns": ["Verkäufer"],
        }
    ]
    assert doubts(config) == [
        "look at a row with an accent",
        "the times name no zone: write the shop's, e.g. Europe/London",
        "what a row means: purchase, rating, view, click, cart",
        "1 of 2 rows looked at have no user; they go to the quarantine, unless `user_fallback` "
        "names what stands in for it",
    ]
    assert "bons-2024-01-31.csv: 1 row(s)" in checked(config, monkeypatch)


@pytest.mark.parametrize(
    ("day", "clock", "time_format"),
    [("31.01.2024", "9:05", "dd.MM.yyyy H:mm"), ("2024-01-31", "09:05:00", "iso")],
)
def test_a_time_in_two_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, day: str, clock: str, time_format: str
) -> None:
    config = init(
        tmp_path, put(tmp_path / "in" / "a.csv", f"user,item,day,at\nx,y,{day},{clock}\n")
    )
    (source,) = load(config).sources
    assert source.file_columns("event_time") == ("day", "at")
    assert (source.time_format, source.other_columns) == (time_format, ())
    assert f"{day} {clock}" in checked(config, monkeypatch)


def test_movielens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ratings = put(
        tmp_path / "in" / "ratings.csv", "userId,movieId,rating,timestamp\n1,10,4.5,881250949\n"
    )
    movies = put(
        tmp_path / "in" / "movies.csv", 'movieId,title,genres\n10,"Heat, The",Thriller|Action\n'
    )
    config = init(tmp_path, ratings, movies)
    settings = load(config)
    assert sources_of(settings) == [
        {
            "name": "events",
            "target": "events",
            "path": "ratings.csv",
            "format": "csv",
            "time_format": "epoch_seconds",
            "columns": {
                "user_id": "userId",
                "item_id": "movieId",
                "event_time": "timestamp",
                "value": "rating",
            },
            "constants": {"event_type": "rating"},
        },
        {
            "name": "products",
            "target": "items",
            "path": "movies.csv",
            "format": "csv",
            "columns": {"item_id": "movieId", "title": "title", "tags": "genres"},
        },
    ]
    assert settings.features.event_types == ("rating",)
    assert "Heat, The" in checked(config, monkeypatch)


def test_a_file_without_header_needs_its_columns_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = put(tmp_path / "in" / "u.data", "196\t242\t3\t881250949\n186\t302\t3\t891717742\n")
    done = runner.invoke(app, ["config", "init", str(data), "--out", str(tmp_path / "x.toml")])
    assert done.exit_code == 2
    assert done.stderr == (
        "topshelf config init: no column of u.data looks like user_id (who took something) or "
        "item_id (what was taken) or event_time (when); it has column_1, column_2, column_3, "
        "column_4. Say which it is, e.g. --column user_id=column_1.\n"
    )
    assert not (tmp_path / "x.toml").exists()
    said = ("user_id=column_1", "item_id=column_2", "event_time=column_4", "value=column_3")
    config = init(tmp_path, data, more=tuple(f"--column={one}" for one in said))
    (source,) = load(config).sources
    assert (source.delimiter, source.time_format) == ("\t", "epoch_seconds")
    assert source.header == ("column_1", "column_2", "column_3", "column_4")
    shown = checked(config, monkeypatch)
    assert "1…" in shown
    assert "196" not in shown


def test_json_lines_and_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = put(
        tmp_path / "in" / "clicks" / "2024-01-01.jsonl",
        '{"user": "u1", "item": 7, "ts": 1700000000123, "event": "VIEW", "page": {"a": 1}}\n'
        '{"user": "u2", "item": 8, "ts": 1700000001123, "event": "click"}\n',
    )
    people = tmp_path / "in" / "people.parquet"
    pq.write_table(
        pa.table(
            {"user": ["u1", "u2", "u3"], "town": ["Ulm", "Bonn", "Ulm"], "tags": [["a"], [], []]}
        ),
        people,
    )
    config = init(tmp_path, events, people)
    settings = load(config)
    assert sources_of(settings) == [
        {
            "name": "events",
            "target": "events",
            "path": "clicks/{date}.jsonl",
            "format": "jsonl",
            "time_format": "epoch_millis",
            "columns": {
                "user_id": "user",
                "item_id": "item",
                "event_time": "ts",
                "event_type": "event",
            },
            "other_columns": ["page"],
        },
        {
            "name": "users",
            "target": "users",
            "path": "people.parquet",
            "format": "parquet",
            "columns": {"user_id": "user"},
            "attributes": ["town"],
        },
    ]
    assert settings.features.event_types == ("click", "view")
    shown = checked(config, monkeypatch)
    assert "U…" in shown
    assert "Ulm" not in shown


@pytest.mark.skipif(not ONLINE_RETAIL.is_dir(), reason="no daily order files here")
def test_online_retail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days = ("2011-02-06", "2011-02-07")
    for day in days:
        put(tmp_path / "in" / f"{day}.csv", (ONLINE_RETAIL / f"{day}.csv").read_text())
    config = init(tmp_path, *(tmp_path / "in" / f"{day}.csv" for day in days))
    settings = load(config)
    shipped = load(ROOT / "infra" / "config" / "online_retail.toml")
    for written, ours in zip(settings.sources, shipped.sources, strict=True):
        assert (written.target, written.path) == (ours.target, ours.path)
        assert (written.columns, written.constants) == (ours.columns, ours.constants)
        assert (written.replacements, written.other_columns) == (
            ours.replacements,
            ours.other_columns,
        )
    assert "2 file(s), 2 new" in checked(config, monkeypatch)


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["absent.csv"], 2, "no file at "),
        (["a.csv", "--column", "userid=x"], 2, "--column 'userid': did you mean `user_id`"),
        (["a.csv", "--column", "user_id"], 2, "--column 'user_id' is not OURS=YOURS"),
        (["a.csv", "--column", "user_id=who"], 2, "--column names who, which no file has"),
        (["empty.csv"], 3, "file empty.csv cannot be read: it has no rows."),
        (["a.csv", "--out", "there.toml"], 2, "there.toml exists already. Name another file"),
    ],
)
def test_what_cannot_be_written_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    put(Path("a.csv"), "user,item,time\n1,2,2024-01-01\n")
    put(Path("empty.csv"), "\n\n")
    put(Path("there.toml"), "mine")
    done = runner.invoke(app, ["config", "init", *arguments])
    assert done.exit_code == code
    assert done.stderr.startswith(f"topshelf config init: {reason}")
    assert sorted(path.name for path in Path().iterdir()) == ["a.csv", "empty.csv", "there.toml"]
    assert Path("there.toml").read_text() == "mine"


def test_the_shop_is_named_after_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put(Path("My Shop 2") / "a.csv", "user,item,time\n1,2,2024-01-01\n")
    assert runner.invoke(app, ["config", "init", "My Shop 2/a.csv"]).exit_code == 0
    assert load(Path("my_shop_2.toml")).shop.name == "my_shop_2"


def test_files_of_one_shape_are_one_source(tmp_path: Path) -> None:
    head = "user,item,time,name\n"
    files = [
        put(tmp_path / "in" / name, f"{head}1,2,2024-01-01,\n")
        for name in ("north/orders_a.csv", "north/orders_b.csv")
    ]
    assert {source.path for source in load(init(tmp_path, *files)).sources} == {"orders_*.csv"}


def test_the_folder_of_the_check_shows_what_nobody_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = init(tmp_path, put(tmp_path / "in" / "a.csv", "user,item,time\n1,2,2024-01-01\n"))
    put(tmp_path / "in" / "b.txt", "x")
    put(tmp_path / "in" / "_hidden.csv", "x")
    assert "matched by no source in" in checked(config, monkeypatch)
    assert checked(config, monkeypatch).splitlines()[-2].endswith(": b.txt")
    put(tmp_path / "in" / "a.csv", "user,item,time,colour\n1,2,2024-01-01,red\n")
    assert "no setting names them: colour" in checked(config, monkeypatch)
    put(tmp_path / "in" / "a.csv", "user,article,time\n1,2,2024-01-01\n")
    done = runner.invoke(app, ["config", "check", "--config", str(config)])
    assert done.exit_code == 3
    assert "file a.csv has no column item; it has user, article, time." in done.stdout
    assert done.stderr == "topshelf config check: 1 source(s) cannot be taken in (see above).\n"


def test_the_readme_s_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its configuration loads, its first two commands run as written, the others are calls."""
    section = (ROOT / "README.md").read_text().partition("## Your own files")[2]
    section = section.partition("\n## ")[0].replace("/data/landing", str(tmp_path / "in"))
    (shown,) = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)
    assert load(put(tmp_path / "shown.toml", shown)).shop.name == "my_shop"
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "in" / "2024-04-30.csv", "user,item,time\n1,2,2024-04-30\n")
    commands = re.findall(r"^infra/run topshelf (.*)$", section, re.MULTILINE)
    assert len(commands) == 3
    for line in commands:
        words = shlex.split(line.replace("*", "2024-04-30"), comments=True)
        if words[0] == "config":
            assert runner.invoke(app, words).exit_code == 0
        else:
            group = typer.main.get_command(app)
            assert isinstance(group, typer.core.TyperGroup)
            command = group.commands[words[0]]
            command.make_context(words[0], [*words[1:], "--config", "my_shop.toml"])
    assert Path("my_shop.toml").is_file()
