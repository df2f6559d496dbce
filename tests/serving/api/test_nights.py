"""The last nights, from the files that their steps leave."""

from datetime import date, timedelta
from pathlib import Path

from lakehouse.steps import STEPS
from serving.api.console.nights import SHOWN, Night, Verdict, last_nights
from tests.groceries import FIRST_NIGHT, GATE, SECOND_NIGHT, leave, leave_nights


def test_a_night_is_what_its_steps_left(tmp_path: Path) -> None:
    leave_nights(tmp_path)
    (tmp_path / "notes").mkdir()
    refused = Verdict(
        model="corner-all/7",
        has_passed=False,
        metric={"all": 0.41, "discover": None},
        reasons=("all: ndcg@10 fell by 0.02",),
    )
    assert last_nights(tmp_path) == [
        Night(
            run_date=SECOND_NIGHT,
            done=("ingest", "gate"),
            seconds=3.0,
            failed={"clean": "a column is missing"},
            verdict=refused,
            has_report=True,
        ),
        Night(FIRST_NIGHT, ("ingest",), 1.5, failed={}, verdict=None, has_report=False),
    ]


def test_the_newest_nights_come_first_and_older_ones_not_at_all(tmp_path: Path) -> None:
    days = [date(2024, 3, 1) + timedelta(days=number) for number in range(SHOWN + 2)]
    for day in days:
        leave(tmp_path / str(day), "ingest.json")
    assert [night.run_date for night in last_nights(tmp_path)] == days[:1:-1]


def test_what_cannot_be_read_counts_as_not_there(tmp_path: Path) -> None:
    assert last_nights(tmp_path / "nowhere") == []
    night = tmp_path / str(FIRST_NIGHT)
    for step in STEPS:
        leave(night, f"{step.name}.json", facts=GATE)
    (night / "gate.json").write_text("{")
    (night / "train.json").write_text((night / "train.json").read_text().replace("1.5", "2.5"))
    (found,) = last_nights(tmp_path)
    assert (found.verdict, found.has_report) == (None, False)
    assert {step.name for step in STEPS} - {*found.done} == {"gate", "train"}
    # As an earlier version of the gate left it.
    leave(night, "gate.json", facts={"passed": True})
    assert last_nights(tmp_path)[0].verdict is None
