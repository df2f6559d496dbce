"""Methods on several past dates: the windows, the figures, and what the command prints."""

from datetime import date, timedelta

import pytest
from typer.testing import CliRunner

from jobs.cli.main import app
from jobs.config.settings import Settings
from jobs.night.inputs import newest_versions, read_nights
from jobs.research.backtest import cuts_of
from jobs.research.tracked_runs import open_runs
from lakehouse.errors import ConfigurationError
from lakehouse.lists import PERSONAL_LISTS
from models.selection.backtest import backtest
from models.selection.recipe import Recipe
from models.selection.split import Cut, Split
from tests.nights import NIGHT, settings_in, shop, write_lake


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = settings_in(tmp_path_factory.mktemp("night"))
    write_lake(settings, *shop())
    return settings


def last_start(settings: Settings) -> date:
    return NIGHT - timedelta(days=settings.train.test_days)


def test_the_windows_lie_around_each_start_in_order(settings: Settings) -> None:
    last = last_start(settings)
    test = timedelta(days=settings.train.test_days)
    validation = timedelta(days=settings.train.validation_days)
    earlier = last - timedelta(days=1)
    assert cuts_of(settings, NIGHT, [last, earlier]) == (
        Cut(earlier - validation, earlier, earlier + test),
        Cut(last - validation, last, NIGHT),
    )


def test_a_window_that_ends_after_the_night_is_refused(settings: Settings) -> None:
    last = last_start(settings)
    with pytest.raises(ConfigurationError, match=f"after the run date; give dates up to {last}"):
        cuts_of(settings, NIGHT, [last + timedelta(days=1)])
    with pytest.raises(ConfigurationError, match="--cuts has a date twice"):
        cuts_of(settings, NIGHT, [last, last])


def test_the_newest_cut_has_the_figures_of_the_night_and_mlflow_keeps_all(
    settings: Settings,
) -> None:
    config = settings.paths.runs.parent / "config.toml"
    last = last_start(settings)
    starts = f"{last},{last - timedelta(days=1)}"
    call = ["backtest", "--config", str(config), "--run-date", str(NIGHT), "--cuts", starts]
    done = CliRunner().invoke(app, [*call, "--methods", "decayed_counts,popularity"])
    assert done.exit_code == 0, done.output

    nights = read_nights(settings, newest_versions(settings.paths.lake), run_date=NIGHT)
    night = backtest(Recipe("decayed_counts", {}), Split.of(nights, PERSONAL_LISTS), competes=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    row = next(line for line in lines if "decayed_counts" in line)
    assert row[row.index("decayed_counts") + 4] == f"{night.test['all'].metrics['ndcg@10']:.4f}"
    assert f"{last}: decayed_counts would have been published" in done.stdout

    registry = open_runs(settings, "backtests")
    experiment = registry.client.get_experiment_by_name("nightly_backtests")
    assert experiment is not None
    (run,) = registry.client.search_runs([experiment.experiment_id])
    assert run.info.run_name == f"backtest {NIGHT}"
    files = [file.path for file in registry.client.list_artifacts(run.info.run_id)]
    assert files == ["backtest.json"]
