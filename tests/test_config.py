"""What a configuration says, and how its mistakes are told."""

from pathlib import Path
from typing import Any

import pytest

from jobs.config import Settings, load
from tests.landed import EVENTS


def settings_for(**sections: Any) -> Settings:
    return Settings(**{"shop": {"name": "corner"}, "sources": [EVENTS]} | sections)


def test_all_state_is_named_after_the_shop() -> None:
    settings = settings_for()
    assert settings.paths.model_dump() == {
        "lake": Path(".topshelf/corner/lake"),
        "landing": Path(".topshelf/corner/landing"),
        "runs": Path(".topshelf/corner/runs"),
        "data_quality": Path(".topshelf/corner/data_quality"),
    }
    assert settings.serving.store == "lmdb:.topshelf/corner/store"
    assert settings.mlflow.model_dump() == {
        "tracking_uri": "sqlite:///.topshelf/mlflow/mlflow.db",
        "artifacts": Path(".topshelf/corner/mlflow/artifacts"),
        "experiment": "corner_nightly",
        "model": "corner",
    }


def test_what_is_given_stands_whatever_the_shop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOPSHELF__PATHS__RUNS", "/runs")
    settings = settings_for(paths={"lake": "/lake"}, mlflow={"model": "best"})
    assert (settings.paths.lake, settings.paths.runs) == (Path("/lake"), Path("/runs"))
    assert settings.paths.landing == Path(".topshelf/corner/landing")
    assert (settings.mlflow.model, settings.mlflow.experiment) == ("best", "corner_nightly")


def test_two_shops_have_nothing_in_common_but_mlflow_s_database(tmp_path: Path) -> None:
    corner, bakery = (
        load(_written(tmp_path / f"{name}.toml", name)).model_dump()
        for name in ("corner", "bakery")
    )
    same = [
        (section, field)
        for section in ("paths", "serving", "mlflow")
        for field, value in corner[section].items()
        if value == bakery[section][field]
    ]
    assert same == [("serving", "keep_releases"), ("mlflow", "tracking_uri")]


def _written(path: Path, shop: str) -> Path:
    path.write_text(
        f"""
        [shop]
        name = "{shop}"
        [[sources]]
        name = "orders"
        target = "events"
        path = "x.csv"
        format = "csv"
        columns = {{ user_id = "u", item_id = "i", event_time = "t" }}
        constants = {{ event_type = "purchase" }}
        """
    )
    return path
