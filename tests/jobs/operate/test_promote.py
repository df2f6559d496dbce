"""People's decisions: what they move, what is kept of them, and that the gate leaves them alone."""

from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from jobs.cli.main import app
from jobs.config.settings import Settings
from jobs.night.registry import open_registry
from jobs.operate.model_versions import models
from jobs.operate.promote import demote, promote
from jobs.steps import gate
from lakehouse.errors import ConfigurationError, DataError
from models.tracking.decisions import Decision, recorded
from tests.nights import COUNTS, NIGHT, POPULARITY, Night, plant, settings_in, shop, write_lake

WHO = {"who": "Ann", "why": "a campaign"}


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """Version 1 passed and is champion, version 2 of the same night was refused."""
    settings = settings_in(tmp_path_factory.mktemp("night"))
    write_lake(settings, *shop())
    plant(settings, {"all": COUNTS, "discover": POPULARITY})
    gate.run(settings, run_date=NIGHT)
    plant(settings, {"all": POPULARITY, "discover": POPULARITY}, ndcg={"decayed_counts": 0.6})
    assert gate.run(settings, run_date=NIGHT).facts["accepted"] is False
    return Night.copied(settings, tmp_path_factory.mktemp("copies") / "night")


@pytest.fixture
def settings(night: Night) -> Settings:
    night.restore()
    return night.settings


def champion_of(settings: Settings) -> str:
    champion = open_registry(settings).champion()
    assert champion is not None
    return champion.label


def decisions_of(settings: Settings) -> list[Decision]:
    entries = recorded(open_registry(settings))
    assert all(entry.complete for entry in entries)
    assert [entry.when for entry in entries] == sorted(entry.when for entry in entries)
    return [entry.decision for entry in entries]


def test_a_promoted_version_is_published_and_a_demoted_one_is_not(settings: Settings) -> None:
    said = promote(settings, "2", **WHO)
    assert said == (
        "topshelf/2 is champion now; before: topshelf/1. To serve its lists: "
        "`topshelf recommend --run-date 2024-03-01`, then `topshelf publish --run-date 2024-03-01`."
    )
    assert champion_of(settings) == open_registry(settings).passed(NIGHT).label == "topshelf/2"
    report = gate.run(settings, run_date=NIGHT)
    assert (report.facts["accepted"], report.facts["passed"]) == (True, False)
    assert report.warnings[-1] == "topshelf/2 was promoted by a person, which stands."

    said = demote(settings, who="Bob", why="complaints")
    assert said.startswith("topshelf/1 is champion now, topshelf/2 is demoted.")
    assert champion_of(settings) == open_registry(settings).passed(NIGHT).label == "topshelf/1"
    report = gate.run(settings, run_date=NIGHT)
    assert (report.facts["accepted"], report.facts["promoted"]) == (False, False)
    assert champion_of(settings) == "topshelf/1"

    assert decisions_of(settings) == [
        Decision("promoted", "topshelf/2", "topshelf/1", "Ann", "a campaign"),
        Decision("demoted", "topshelf/2", "topshelf/2", "Bob", "complaints"),
    ]
    version = open_registry(settings).version("topshelf/2")
    assert (version.verdict, version.decision, version.passed) == ("refused", "demoted", False)
    tags = open_registry(settings).client.get_model_version("topshelf", "2").tags
    assert {name: value for name, value in tags.items() if name.startswith("decision")} == {
        "decision": "demoted",
        "decision.who": "Bob",
        "decision.why": "complaints",
        "decision.champion_before": "topshelf/2",
    }


def test_of_two_versions_of_a_night_the_promoted_one_is_published(settings: Settings) -> None:
    plant(settings, {"all": COUNTS, "discover": POPULARITY})
    gate.run(settings, run_date=NIGHT)
    assert open_registry(settings).passed(NIGHT).label == "topshelf/3"
    promote(settings, "topshelf/1", **WHO)
    assert open_registry(settings).passed(NIGHT).label == "topshelf/1"


def test_a_demotion_goes_back_past_versions_that_may_not_serve(settings: Settings) -> None:
    promote(settings, "2", **WHO)
    plant(settings, {"all": POPULARITY, "discover": POPULARITY})
    promote(settings, "3", **WHO)
    registry = open_registry(settings)
    registry.tag(registry.version("2"), {"decision": "demoted"})
    demote(settings, **WHO)
    assert champion_of(settings) == "topshelf/1"
    with pytest.raises(DataError, match=r"topshelf/1 took over from no version .* --to VERSION"):
        demote(settings, **WHO)


def test_a_demotion_to_a_refused_version_promotes_it(settings: Settings) -> None:
    demote(settings, **WHO, to="2")
    assert champion_of(settings) == open_registry(settings).passed(NIGHT).label == "topshelf/2"
    assert [(d.action, d.version) for d in decisions_of(settings)] == [
        ("promoted", "topshelf/2"),
        ("demoted", "topshelf/1"),
    ]


def test_a_later_night_takes_over_from_a_promoted_version(settings: Settings) -> None:
    promote(settings, "2", **WHO)
    later = NIGHT + timedelta(days=1)
    write_lake(settings, *shop(), night=later)
    plant(settings, {"all": COUNTS, "discover": POPULARITY}, night=later)
    assert gate.run(settings, run_date=later).facts["champion"] == "topshelf/2"
    assert champion_of(settings) == "topshelf/3"


def test_a_wrong_call_changes_nothing(settings: Settings) -> None:
    for label in ("9", "other/1", "topshelf/x", ""):
        with pytest.raises(DataError, match=r"no version .* of the model topshelf. `topshelf mod"):
            promote(settings, label, **WHO)
    for wrong in ({"who": " "}, {"why": ""}):
        with pytest.raises(ConfigurationError, match="--who and --why"):
            promote(settings, "2", **WHO | wrong)
    with pytest.raises(ConfigurationError, match="is the champion itself"):
        demote(settings, **WHO, to="1")
    assert (champion_of(settings), decisions_of(settings)) == ("topshelf/1", [])


def test_without_a_champion_there_is_nothing_to_demote(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with pytest.raises(DataError, match="no champion to demote"):
        demote(settings, **WHO)


def test_models_lists_versions_and_decisions(settings: Settings) -> None:
    config = settings.paths.lake.parent / "config.toml"
    run = CliRunner().invoke
    call = ["promote", "topshelf/2", "--who", "Ann", "--why", "[bold]a try", "--config"]
    assert run(app, [*call, str(config)]).stdout.startswith("topshelf promote: topshelf/2 is")
    shown = run(app, ["models", "--config", str(config)]).stdout.splitlines()
    head, *rows = [[word for word in line.split() if ":" not in word] for line in shown]
    assert " ".join(head) == (
        "version run date trained (UTC) gate decision aliases ndcg@10 all ndcg@10 discover"
    )
    today, aliases = rows[0][2], ["challenger,", "champion"]
    assert rows == [
        ["topshelf/2", "2024-03-01", today, "refused", "promoted", *aliases, "-", "-"],
        ["topshelf/1", "2024-03-01", today, "passed", "-", "-", "-", "-"],
        [],
        ["when", "(UTC)", "version", "decision", "champion", "then", "who", "why"],
        [today, "topshelf/2", "promoted", "topshelf/1", "Ann", "[bold]a", "try"],
    ]


def test_no_models_yet(tmp_path: Path) -> None:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(models(settings_in(tmp_path)))
    assert captured.get() == "no models yet: run `topshelf train --run-date D`\n"


def test_a_decision_interrupted_before_the_alias_moved_can_be_given_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = open_registry(settings)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(registry), "tag", die)
        with pytest.raises(KeyboardInterrupt):
            promote(settings, "2", **WHO)
    assert champion_of(settings) == "topshelf/1"
    assert [entry.complete for entry in recorded(registry)] == [False]
    promote(settings, "2", **WHO)
    assert champion_of(settings) == "topshelf/2"
    assert [entry.complete for entry in recorded(registry)] == [False, True]
    assert registry.version("2").took_over_from == 1
