from datetime import datetime

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from lakehouse.ingest import time_formats

NOON = datetime(2024, 1, 9, 12, 30, 15)  # noqa: DTZ001 (Spark gives UTC without saying so)
MINUTE, DAY = NOON.replace(second=0), NOON.replace(hour=0, minute=0, second=0)
READ = {
    ("dd.MM.yyyy", "09.01.2024"): DAY,
    ("d/M/yyyy", "9/1/2024"): DAY,
    ("yyyyMMdd", "20240109"): DAY,
    ("yyyyDDD", "2024009"): DAY,
    ("dd-MMM-yy", "09-Jan-24"): DAY,
    ("d MMMM yyyy", "9 January 2024"): DAY,
    ("MM/dd/yyyy h:mm a", "01/09/2024 12:30 PM"): MINUTE,
    ("dd/MM/yyyy HH:mm", "09/01/2024 12:30"): MINUTE,
    ("yyyy-MM-dd'T'HH:mm:ss.SSS", "2024-01-09T12:30:15.250"): NOON.replace(microsecond=250_000),
    ("yyyy-MM-dd HH:mm:ss[.SSSSSS]", "2024-01-09 12:30:15"): NOON,
    ("yyyy-MM-dd HH:mm:ssXXX", "2024-01-09 14:30:15+02:00"): NOON,
    ("yyyy-MM-dd HH:mm:ss Z", "2024-01-09 14:30:15 +0200"): NOON,
    ("yyyy-MM-dd HH:mm:ss VV", "2024-01-09 13:30:15 Europe/Berlin"): NOON,
    ("yyyy-MM-dd HH:mm:ss z", "2024-01-09 12:30:15 UTC"): NOON,
    ("yyyyMMddHHmmss", "20240109123015"): NOON,
}


def test_spark_reads_the_patterns_that_pass(spark: SparkSession) -> None:
    for pattern, _ in READ:
        assert time_formats.check(pattern) == pattern
    columns = [
        F.try_to_timestamp(F.lit(text), F.lit(pattern)).alias(pattern) for pattern, text in READ
    ]
    found = spark.range(1).select(*columns).collect()[0].asDict()
    assert found == {pattern: instant for (pattern, _), instant in READ.items()}


@pytest.mark.parametrize("name", ["iso", "epoch_seconds", "epoch_millis", "epoch_micros"])
def test_formats_that_have_a_name_pass(name: str) -> None:
    assert time_formats.check(name) == name


@pytest.mark.parametrize(
    ("time_format", "problem"),
    [
        (
            "%d-%m-%Y",
            "`%d-%m-%Y` is Python's notation; the same in Java's is `dd-MM-yyyy`",
        ),
        (
            "%Y-%m-%dT%H:%M:%S.%f",
            "`%Y-%m-%dT%H:%M:%S.%f` is Python's notation; the same in Java's is "
            "`yyyy-MM-dd'T'HH:mm:ss.SSSSSS`",
        ),
        ("%A %d", "`%A %d` is Python's notation"),
        (
            "DD.MM.YYYY",
            "`DD` is the day of the year; the day of the month is `dd`; "
            "`YYYY` is the year of a week; the year is `yyyy`",
        ),
        ("dd.MM.YYYY", "`YYYY` is the year of a week; the year is `yyyy`"),
        ("uuuu-MM-dd", "`uuuu` is not read; the year is `yyyy`"),
        ("yyyy-mm-dd", "`mm` is the minute; the month is `MM`, the hour `HH`"),
        ("yyyy-MM-dd HH:MM", "`M` stands for two parts; `MM` is the month, `mm` the minute"),
        ("yyyy-MM-dd HH:mm:SS", "`SS` is a fraction of a second; the second is `ss`"),
        (
            "yyyy-MM-dd hh:mm",
            "`hh` is an hour of half a day, with `a` for AM or PM; that of a day is `HH`",
        ),
        ("yyyy-MM-dd HH:mm a", "`a` (AM or PM) goes with the hour `hh`"),
        ("yyyy-MM-dd HH:ss", "the pattern has seconds but no minute `mm`"),
        (
            "yyyy-MM-ddTHH:mm",
            "`T` has no meaning; a letter that stands for itself is quoted, as in `'T'`",
        ),
        (
            "EEE, d MMM yyyy",
            "`EEE`, the name of a day, is not read; cut it off by `replacements` of event_time",
        ),
        ("yyy-MM-dd", "`yyy` is not read; write `yyyy`"),
        ("yyyy-MM-ddd", "`ddd` is not read; write `dd`"),
        ("MM/yyyy", "the pattern has no day `dd`"),
        ("dd/MM", "the pattern has no year `yyyy`"),
        ("yyyy-MM-dd'T", "a quote `'` is not closed"),
        ("yyyy-MM-dd[ HH:mm", "a bracket `[` is not closed"),
        ("{dd}/MM/yyyy", "`{` has no meaning in a pattern"),
        ("ISO", "`ISO` is no format"),
        ("epoch_ms", "`epoch_ms` is no format"),
        ("timestamp", "`timestamp` is no format"),
    ],
)
def test_a_wrong_format_says_what_was_meant(time_format: str, problem: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the whole message follows)
        time_formats.check(time_format)
    assert str(raised.value) == (
        f"{problem}. Write iso, epoch_seconds, epoch_millis, epoch_micros, or a Java pattern such "
        "as dd/MM/yyyy HH:mm"
    )


def test_a_zone_is_told_by_its_letters_outside_quotes() -> None:
    assert time_formats.has_zone("yyyy-MM-dd XXX")
    assert not time_formats.has_zone("yyyy-MM-dd'Z'")
