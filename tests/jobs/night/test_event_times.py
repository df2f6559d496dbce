"""The day and the time of day of events, by the clock of their shop."""

import pandas as pd

from jobs.night.event_times import time_contexts


def told(*events: tuple[str, str], **zones: str) -> list[list[object]]:
    frame = pd.DataFrame(events, columns=["when", "source"], index=range(5, 5 + len(events)))
    when = pd.to_datetime(frame["when"], utc=True, format="ISO8601")
    found = time_contexts(when, frame["source"].astype("category"), zones)
    assert found.index.equals(frame.index)
    return found.astype(object).where(found.notna(), None).to_numpy().tolist()


def test_times_are_those_of_the_source_s_zone_and_clocks_change() -> None:
    assert told(
        ("2024-03-29T23:30", "till"),  # Saturday in Berlin already.
        ("2024-03-30T22:59", "till"),
        ("2024-03-31T22:00", "till"),  # Summer time: Monday.
        ("2024-03-29T23:30", "web"),
        ("2024-03-30T05:59:59", "web"),
        ("2024-03-30T06:00", "web"),
        till="Europe/Berlin",
        web="UTC",
    ) == [
        ["sat", "00-06"],
        ["sat", "18-24"],
        ["mon", "00-06"],
        ["fri", "18-24"],
        ["sat", "00-06"],
        ["sat", "06-12"],
    ]


def test_a_source_of_days_has_no_time_of_day() -> None:
    days = [("2024-03-28T23:00", "till"), ("2024-03-29T23:00", "till")]
    assert told(*days, ("2024-03-29", "gone"), till="Europe/Berlin") == [
        ["fri", None],
        ["sat", None],
        [None, None],
    ]
