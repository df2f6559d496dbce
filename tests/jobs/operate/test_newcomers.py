"""Lists for people of whom only a few items are known, without learning anew."""

import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from jobs.cli.main import app
from jobs.config.settings import Settings
from jobs.night.registry import open_registry
from jobs.operate import newcomer
from lakehouse.errors import ConfigurationError, DataError
from models.core.assortment import Assortment
from models.core.context import Context
from models.core.interactions import Interactions
from models.core.lists import NO_RULE
from models.core.parameters import POPULARITY_HALF_LIFE_DAYS
from models.lists.published import Published
from models.recommenders.decayed_counts import DecayedCounts
from models.recommenders.ease import Ease
from models.recommenders.popularity import Popularity
from models.tracking.registry import CHAMPION
from models.tracking.versions import ModelVersion
from tests.nights import COUNTS, NIGHT, POPULARITY, Event, plant, settings_in, write_lake

EVENTS = [
    Event("ann", "milk", 9),
    Event("ann", "bread", 9),
    Event("bob", "milk", 30),
    Event("bob", "bread", 30),
    Event("cat", "wine", 60),
]
STRANGE_IDS = {"milk": "whole milk", "bread": "1,5 l"}
# Of milk and bread X'X + I is [[3, 2], [2, 3]], its inverse [[3, -2], [-2, 3]] / 5.
TOGETHER = 2 / 3


@pytest.fixture(scope="module")
def published() -> Published:
    events = pd.DataFrame(
        [
            {
                "user_id": event.user,
                "item_id": event.item,
                "event_date": NIGHT - pd.Timedelta(days=event.days_ago),
                "quantity": 1,
                "value": 1.0,
            }
            for event in EVENTS
        ]
    )
    interactions = Interactions.from_frame(events, item_ids={"bread", "milk", "soap", "wine"})
    items = pd.DataFrame({"item_id": ["bread", "milk", "soap", "wine"]})
    context = Context.build(interactions, as_of=NIGHT, item_features=items)
    methods = {"all": DecayedCounts().fit(context), "discover": Popularity().fit(context)}
    return Published(
        methods,
        Ease(regularisation=1.0).fit(context),
        Assortment.of(context, POPULARITY_HALF_LIFE_DAYS),
    )


def test_what_is_taken_together_comes_first_and_the_history_not_at_all(
    published: Published,
) -> None:
    rows = published.rows_for(["milk"], 5)
    expected = pd.DataFrame(
        {
            "row": [0, 0],
            "rank": pd.array([1, 2], dtype="int32"),
            "item_id": ["bread", "wine"],
            "score": [TOGETHER, 0.0],
            "source": ["ease", "ease"],
            "rule": [NO_RULE, NO_RULE],
        }
    )
    pd.testing.assert_frame_equal(rows, expected, check_dtype=False, atol=1e-6)


def test_unknown_items_of_a_history_are_passed_over(published: Published) -> None:
    known = published.rows_for(["milk"], 5)
    pd.testing.assert_frame_equal(published.rows_for(["moon", "milk", "milk"], 5), known)


def test_a_history_without_any_known_item_is_refused(published: Published) -> None:
    with pytest.raises(
        DataError, match=r"knows none of the 2 items given, such as 'moon'\. Give ids"
    ):
        published.rows_for(["moon", "sun"], 5)


def test_what_nobody_took_tells_nothing_so_that_popularity_answers(published: Published) -> None:
    rows = published.rows_for(["soap"], 2)
    assert rows[["item_id", "source"]].to_numpy().tolist() == [
        ["bread", "popularity"],
        ["milk", "popularity"],
    ]


def printed(renderable: RenderableType) -> list[str]:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(renderable)
    return [line.rstrip() for line in console.export_text().splitlines()]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A shop of a few items, two with ids that a shell or a list would split; no champion."""
    settings = settings_in(tmp_path_factory.mktemp("shop"))
    events = [event._replace(item=STRANGE_IDS.get(event.item, event.item)) for event in EVENTS]
    write_lake(settings, events, {"whole milk": {"title": "Milk"}, "1,5 l": {"title": "Bread"}})
    return settings


@pytest.fixture(scope="module")
def champion(shop: Settings) -> ModelVersion:
    version = plant(shop, {"all": COUNTS, "discover": POPULARITY})
    open_registry(shop).set_alias(CHAMPION, version)
    return version


def told(settings: Settings, *arguments: str, stdin: bytes | None = None) -> list[str]:
    config = str(settings.paths.runs.parent / "config.toml")
    done = CliRunner().invoke(app, ["recommend", *arguments, "--config", config], input=stdin)
    assert done.exit_code == 0, done.stderr
    return [line.strip() for line in done.stdout.splitlines()]


def test_without_a_champion_nothing_is_recommended(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no model serves yet"):
        newcomer.recommend(settings_in(tmp_path), ["milk"])


def test_the_command_prints_names_and_the_model(shop: Settings, champion: ModelVersion) -> None:
    lines = printed(newcomer.recommend(shop, ["whole milk", " moon\t", "whole milk"]))
    assert lines[0].strip() == "after Milk (whole milk)"
    assert lines[2].split() == ["1", "Bread", "(1,5", "l)", "0.003984", "ease"]
    assert lines[-1].strip() == f"model {champion.label}; 1 of the items given are unknown"
    with pytest.raises(ConfigurationError, match="--history and --history-file name no item"):
        newcomer.recommend(shop, [" ", ""])


@pytest.mark.usefixtures("champion")
def test_an_item_s_id_may_hold_spaces_and_commas(shop: Settings, tmp_path: Path) -> None:
    file = tmp_path / "history.txt"
    file.write_bytes("\ufeffwhole milk\r\n\n 1,5 l \n".encode())
    given = told(shop, "--history", "whole milk", "--history", "1,5 l")
    assert given[0] == "after Milk (whole milk), Bread (1,5 l)"
    assert given[-1].endswith("; 0 of the items given are unknown")
    assert told(shop, "--history-file", str(file)) == given
    assert told(shop, "--history-file", "-", stdin=file.read_bytes()) == given
    file.write_text("1,5 l")
    assert told(shop, "--history", "whole milk", "--history-file", str(file)) == given


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file or directory"), (b"\xff", "it is not UTF-8")]
)
def test_a_history_that_cannot_be_read_is_a_wrong_call(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "history.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(
        ConfigurationError, match=f"^--history-file {file} cannot be read: {reason}"
    ):
        newcomer.read_history(file)
