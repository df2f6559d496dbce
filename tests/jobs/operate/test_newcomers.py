"""Lists for people of whom only a few items are known, without learning anew."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from rich.console import Console, RenderableType
from scipy import sparse
from typer.testing import CliRunner

from jobs.cli.main import app
from jobs.config.settings import Settings
from jobs.night.registry import open_registry
from jobs.operate import newcomer
from lakehouse.errors import ConfigurationError, DataError
from models.core.assortment import Assortment
from models.core.context import Context
from models.core.interactions import Interactions, index_of
from models.core.parameters import POPULARITY_HALF_LIFE_DAYS
from models.lists import keyed
from models.lists.newcomer import Known, newcomer_rows
from models.lists.path import Policy
from models.lists.published import Published
from models.lists.rules.night import NightRules
from models.lists.rules.shelf import Shelf
from models.recommenders.decayed_counts import DecayedCounts
from models.recommenders.ease import Ease
from models.recommenders.popularity import Popularity
from models.tracking.registry import CHAMPION
from models.tracking.versions import ModelVersion
from tests.models.lists.rules.test_book import book
from tests.nights import COUNTS, NIGHT, POPULARITY, Event, plant, settings_in, write_lake

EVENTS = [
    Event("ann", "milk", 9),
    Event("ann", "bread", 9),
    Event("bob", "milk", 30),
    Event("bob", "bread", 30),
    Event("cat", "wine", 60, "north"),
]
STRANGE_IDS = {"milk": "whole milk", "bread": "1,5 l"}
# Of milk and bread X'X + I is [[3, 2], [2, 3]], its inverse [[3, -2], [-2, 3]] / 5.
TOGETHER = 2 / 3
POPULAR_BREAD = 0.5 ** (9 / 30) + 0.5 ** (30 / 30)


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


def rows_for(
    published: Published,
    *history: str,
    n: int = 5,
    rules: NightRules | None = None,
    **known: Any,
) -> list[list[object]]:
    taken = index_of(published.item_ids, history)
    rows = newcomer_rows(published, Known(taken, **known), Policy(size=n), rules)
    assert rows["rank"].tolist() == [*range(1, len(rows) + 1)]
    return rows[["item_id", "score", "source", "tier"]].round(6).to_numpy().tolist()


def items(*wanted: str) -> NDArray[np.bool_]:
    return np.array([item in wanted for item in ("bread", "milk", "soap", "wine")])


def test_what_is_taken_together_comes_first_and_the_history_not_at_all(
    published: Published,
) -> None:
    assert rows_for(published, "milk") == [
        ["bread", round(TOGETHER, 6), "ease", "user"],
        ["wine", 0.0, "ease", "user"],
    ]


def test_what_nobody_took_tells_nothing_so_that_popularity_answers(published: Published) -> None:
    assert [row[0::2] for row in rows_for(published, "soap", n=2)] == [
        ["bread", "popularity"],
        ["milk", "popularity"],
    ]


def test_chosen_categories_take_turns_with_what_goes_with_a_basket(published: Published) -> None:
    chosen = [items("wine", "soap"), items("milk", "bread")]
    assert [[item, source] for item, _, source, _ in rows_for(published, categories=chosen)] == [
        ["wine", "category"],
        ["bread", "category"],
        ["milk", "category"],
    ]
    both = rows_for(published, "milk", categories=chosen[:1])
    assert [[item, source] for item, _, source, _ in both] == [
        ["bread", "ease"],
        ["wine", "category"],
    ]


def test_what_sells_in_a_context_comes_before_what_sells_elsewhere(published: Published) -> None:
    sales = np.array([0.0, 0.5, 0.0, 2.0])
    assert [[item, tier] for item, _, _, tier in rows_for(published, sales=sales)] == [
        ["wine", "context"],
        ["milk", "context"],
        ["bread", "global"],
    ]
    of_both = rows_for(published, categories=[items("milk", "wine", "bread")], sales=sales)
    assert of_both == [
        ["wine", 2.0, "category", "user"],
        ["milk", 0.5, "category", "user"],
        ["bread", round(POPULAR_BREAD, 6), "category", "user"],
    ]


def test_rules_hold_for_newcomers_too(published: Published) -> None:
    frame = pd.DataFrame(index=range(4))
    nothing = sparse.csr_array((3, 4), dtype=np.int32)
    shelf = Shelf.build(
        published.item_ids, np.zeros(4), frame, pd.DataFrame(index=range(3)), nothing
    )
    rules = book(
        'kind = "block"\nid = "no-bread"\nitems = { item_id = "bread" }',
        'kind = "pin"\nid = "wine"\nitem = "wine"\nplace = 1',
    )
    night = NightRules.of(rules, "all", shelf)
    assert rows_for(published, "milk", rules=night) == [["wine", 0.0, "rule", "global"]]


def printed(renderable: RenderableType) -> list[str]:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(renderable)
    return [line.rstrip() for line in console.export_text().splitlines()]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A shop of a few items, two with ids that a shell or a list would split; no champion."""
    settings = settings_in(tmp_path_factory.mktemp("shop"))
    events = [event._replace(item=STRANGE_IDS.get(event.item, event.item)) for event in EVENTS]
    items = {
        "whole milk": {"title": "Milk"},
        "1,5 l": {"title": "Bread", "category": "FOOD"},
        "wine": {},
    }
    write_lake(settings, events, items)
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
    why = "People with a taste like yours choose it"
    assert " ".join(lines[2].split()) == f"1 Bread (1,5 l) {why} user 0.003984 ease"
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


@pytest.mark.usefixtures("champion")
def test_categories_and_contexts_are_asked_for_by_their_names(
    shop: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = told(shop, "--category", "FOOD", "--history", "whole milk")
    assert lines[0] == "after Milk (whole milk); chose FOOD"
    assert (
        " ".join(lines[2].split())
        == "1 Bread (1,5 l) Goes with your taste in FOOD user 0.003984 ease"
    )
    # An item that nobody knows is passed over where something else is known.
    lines = told(shop, "--category", "FOOD", "--history", "moon")
    assert lines[0] == "chose FOOD"
    assert lines[-1].endswith("; 1 of the items given are unknown")
    with pytest.raises(ConfigurationError, match=r"no such category; did you mean `FOOD`\?"):
        newcomer.recommend(shop, categories=["FOOT"])
    with pytest.raises(ConfigurationError, match=r"contexts has no 'store_id'; it has none"):
        newcomer.recommend(shop, context="store_id=north")
    with pytest.raises(ConfigurationError, match="'north' is not NAME=VALUE"):
        newcomer.recommend(shop, context="north")

    monkeypatch.setattr(keyed, "MINIMUM_USERS", 1)
    section = shop.recommend.model_copy(update={"contexts": ("store_id",)})
    stores = shop.model_copy(update={"recommend": section})
    lines = printed(newcomer.recommend(stores, context="store_id=north"))
    assert [" ".join(line.split()[:5]) for line in lines[2:4]] == [
        "1 wine Popular right now",
        "2 Bread (1,5 l) Popular",
    ]
    assert [line.split()[-3] for line in lines[2:4]] == ["context", "global"]
    lines = printed(newcomer.recommend(stores, context="store_id=moon"))
    assert lines[-1].strip().endswith("are unknown; nothing is known of store_id=moon")
    with pytest.raises(
        DataError, match=r"knows none of the 2 items given, such as 'moon'\. Give ids"
    ):
        newcomer.recommend(shop, ["moon", "sun"])
