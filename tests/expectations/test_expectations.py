"""Validation: every kind of rule kept and broken, on both kinds of frame, with its exact words."""

import math
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from expectations import checks
from expectations.suites import content_rules
from expectations.validation import Verdict, validate
from lakehouse.errors import DataQualityError, InfrastructureError
from lakehouse.io.arrow import arrow_schema
from lakehouse.tables import (
    RECOMMENDATIONS,
    ROW_ACCOUNTING,
    SILVER_INTERACTIONS,
    SILVER_ITEMS,
    Column,
    Table,
)
from tests.rows import frame, row

NIGHT = date(2024, 1, 2)
MakeFrame = Callable[[Table, Sequence[dict[str, Any]]], Any]


def pandas_frame(table: Table, rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    full = [row(table, **values) for values in rows]
    built: pd.DataFrame = pa.Table.from_pylist(full, schema=arrow_schema(table)).to_pandas()
    return built


@pytest.fixture(params=["pandas", "spark"])
def make(request: pytest.FixtureRequest) -> MakeFrame:
    if request.param == "pandas":
        return pandas_frame
    spark = request.getfixturevalue("spark")
    return lambda table, rows: frame(spark, table, rows)


def broken(frame: Any, table: Table, results: Path, *extra: checks.Check) -> list[str]:
    """The lines of the error that ``frame`` must raise, sorted after the first."""
    with pytest.raises(DataQualityError) as error:
        validate(frame, table, run_date=NIGHT, results=results, checks=extra)
    first, *lines = str(error.value).splitlines()
    return [first, *sorted(lines)]


class TestStructure:
    def test_a_frame_as_declared_passes(self, make: MakeFrame, tmp_path: Path) -> None:
        rows: list[dict[str, Any]] = [{"event_id": "a", "value": 0.5}, {"event_id": "b"}]

        verdict = validate(
            make(SILVER_INTERACTIONS, rows), SILVER_INTERACTIONS, run_date=NIGHT, results=tmp_path
        )

        # The columns, 13 columns that may not be null, allowed event types, the first row number,
        # the days late, three bounded numbers, and the grain.
        assert verdict == Verdict(warnings=(), checks=21)

    def test_an_empty_frame_passes(self, make: MakeFrame, tmp_path: Path) -> None:
        verdict = validate(make(SILVER_ITEMS, []), SILVER_ITEMS, run_date=NIGHT, results=tmp_path)

        assert verdict.warnings == ()

    def test_every_broken_rule_is_listed(self, make: MakeFrame, tmp_path: Path) -> None:
        bad = make(
            SILVER_INTERACTIONS,
            [
                {"event_id": "a", "user_id": None, "event_type": "theft"},
                {"event_id": "a", "row_number": 0},
                {"event_id": "b", "quantity": math.inf, "value": -math.inf},
                {"event_id": "c", "discount": 1e12, "days_late": -1},
            ],
        )

        assert broken(bad, SILVER_INTERACTIONS, tmp_path) == [
            "silver.interactions breaks 7 rule(s); nothing was written:",
            "  days_late must be at least 0, but 1 of 4 (25 %) are not as required. Correct or "
            "quarantine such rows in the step that builds the table.",
            "  event_id must be different in every row, but 1 of 4 (25 %) are not as required. "
            "Find the join or the delivery that repeats rows in the step that builds the table, "
            "or declare the right grain in lakehouse/tables.py.",
            "  event_type must be one of purchase, rating, view, click, cart, but 1 of 4 (25 %) "
            "are not as required. Map or quarantine other values in the step that builds the "
            "table, or allow them in lakehouse/tables.py.",
            "  quantity must be a finite number, at least 0, at most 1e+12, but 1 of 4 (25 %) are "
            "not as required. Look for a division by zero or an overflow in the step that builds "
            "the table.",
            "  row_number must be at least 1, but 1 of 4 (25 %) are not as required. Correct or "
            "quarantine such rows in the step that builds the table.",
            "  user_id must not be null, but 1 of 4 (25 %) are not as required. Fill or quarantine "
            "such rows in the step that builds the table, or declare the column nullable in "
            "lakehouse/tables.py.",
            "  value must be a finite number, at least -1e+12, at most 1e+12, but 1 of 4 (25 %) "
            "are not as required. Look for a division by zero or an overflow in the step that "
            "builds the table.",
        ]

    def test_a_nan_is_not_a_number(self, spark: SparkSession, tmp_path: Path) -> None:
        # pandas takes NaN for null, which the column may not be; Spark tells them apart.
        for bad, rule in [
            (pandas_frame(RECOMMENDATIONS, [{"score": math.nan}]), "score must not be null"),
            (frame(spark, RECOMMENDATIONS, [{"score": math.nan}]), "score must be a finite number"),
        ]:
            lines = broken(bad, RECOMMENDATIONS, tmp_path)

            assert len(lines) == 2
            assert lines[1].startswith(f"  {rule}, but 1 of 1 (100 %) are not as required.")

    def test_other_columns_or_types_stop_the_check_of_the_rest(
        self, make: MakeFrame, tmp_path: Path
    ) -> None:
        declared = make(SILVER_ITEMS, [{"item_id": None}])
        changed = (
            declared.rename(columns={"brand": "label"}).assign(row_number="1")
            if isinstance(declared, pd.DataFrame)
            else declared.withColumnRenamed("brand", "label").withColumn("row_number", F.lit("1"))
        )

        assert broken(changed, SILVER_ITEMS, tmp_path) == [
            "silver.items breaks 1 rule(s); nothing was written:",
            "  silver.items must have the declared columns, in order, with their types, but column "
            "brand is missing; column label is not declared; column row_number is string instead "
            "of long. Change the step that builds it, or its declaration in lakehouse/tables.py.",
        ]

    def test_another_order_of_columns(self, tmp_path: Path) -> None:
        table = Table("gold", "pairs", "d", ("a",), (), (_column("a"), _column("b")))
        swapped = pd.DataFrame({"b": ["x"], "a": ["y"]})

        assert broken(swapped, table, tmp_path) == [
            "gold.pairs breaks 1 rule(s); nothing was written:",
            "  gold.pairs must have the declared columns, in order, with their types, but the "
            "columns come in another order: b, a. Change the step that builds it, or its "
            "declaration in lakehouse/tables.py.",
        ]

    def test_rules_follow_the_declaration(self) -> None:
        table = Table(
            "gold",
            "t",
            "d",
            ("a", "b"),
            (),
            (
                Column("a", "string", "d", allowed=("x", "y")),
                Column("b", "double", "d", nullable=True, minimum=0),
                Column("c", "int", "d", nullable=True, minimum=1, maximum=5),
                Column("d", "double", "d", nullable=True),
            ),
        )

        assert [rule.description for rule in content_rules(table)] == [
            "a must not be null",
            "a must be one of x, y",
            "b must be a finite number, at least 0",
            "c must be at least 1, at most 5",
            "d must be a finite number",
            "a, b must be different in every row",
        ]


class TestChecks:
    def test_all_kinds_kept(self, make: MakeFrame, tmp_path: Path) -> None:
        lists = [
            {"user_id": user, "rank": rank, "item_id": f"i{rank}", "score": 1.0 / rank}
            for user in ("u", "v")
            for rank in (1, 2)
        ]
        balanced = {"bronze_rows": 6, "silver_rows": 3, "quarantine_rows": 2, "duplicate_rows": 1}
        parts = ("silver_rows", "quarantine_rows", "duplicate_rows")

        lists_verdict = validate(
            make(RECOMMENDATIONS, lists),
            RECOMMENDATIONS,
            run_date=NIGHT,
            results=tmp_path,
            checks=[
                checks.row_count(minimum=4, maximum=4, advice="A."),
                *checks.usual_volume(5, fail_below=0.1, warn_below=0.8, warn_above=1.2),
                *checks.usual_volume(None, fail_below=0.1, warn_below=0.8, warn_above=1.2),
                checks.measure("users without a list", 0, maximum=0, advice="A."),
                checks.share("share of popular items", 1, 4, maximum=0.25, advice="A."),
                checks.share("share of nothing", 0, 0, maximum=0, advice="A."),
                checks.unique(("list", "user_id", "item_id"), advice="A."),
                checks.complete_ranks(("list", "user_id"), "rank", advice="A."),
            ],
        )
        rows_verdict = validate(
            make(ROW_ACCOUNTING, [balanced]),
            ROW_ACCOUNTING,
            run_date=NIGHT,
            results=tmp_path,
            checks=[checks.sums_to("bronze_rows", parts, advice="A.")],
        )

        assert lists_verdict == Verdict(warnings=(), checks=15 + 8)
        assert rows_verdict == Verdict(warnings=(), checks=12 + 1)

    def test_all_kinds_broken(self, make: MakeFrame, tmp_path: Path) -> None:
        lists = [
            {"user_id": user, "rank": rank, "item_id": item}
            for user, rank, item in [
                ("u", 1, "i1"),
                ("u", 3, "i1"),
                ("v", 1, "i1"),
                ("w", 1, "i1"),
                ("w", 2, "i2"),
            ]
        ]

        assert broken(
            make(RECOMMENDATIONS, lists),
            RECOMMENDATIONS,
            tmp_path,
            checks.row_count(minimum=6, advice="A."),
            *checks.usual_volume(2000, fail_below=0.1, warn_below=0.5, warn_above=2),
            checks.measure("users without a list", 1234, maximum=0, advice="A."),
            checks.measure("NDCG@10", math.nan, minimum=0, advice="A."),
            checks.share("share of popular items", 1, 3, maximum=0.25, advice="A."),
            checks.unique(("list", "user_id", "item_id"), advice="A."),
            checks.complete_ranks(("list", "user_id"), "rank", advice="A."),
        ) == [
            "gold.recommendations breaks 7 rule(s); nothing was written:",
            "  NDCG@10 must be at least 0, but there is no value. A.",
            "  list, user_id, item_id must be different in every row, but 1 of 5 (20 %) are not as "
            "required. A.",
            "  rank must count from 1 without gap or tie for every list and user_id, but 1 of 3 "
            "(33.3 %) are not as required. A.",
            "  share of popular items must be at most 0.25, but it is 0.333333. A.",
            "  the row count must be at least 200, but it is 5. A usual night has 2,000 rows. Look "
            "for missing or repeated deliveries in the landing folder; if the night really is like "
            "this, change [quality] in the configuration.",
            "  the row count must be at least 6, but it is 5. A.",
            "  users without a list must be at most 0, but it is 1,234. A.",
        ]

    def test_row_accounting_broken(self, make: MakeFrame, tmp_path: Path) -> None:
        rows = [
            {"table_name": "bronze.events", "bronze_rows": 3},
            {"table_name": "bronze.items", "bronze_rows": 4},
            {"table_name": "bronze.users", "bronze_rows": 2},
        ]
        parts = ("silver_rows", "quarantine_rows", "duplicate_rows")

        assert broken(
            make(ROW_ACCOUNTING, rows),
            ROW_ACCOUNTING,
            tmp_path,
            checks.sums_to("bronze_rows", parts, advice="A."),
        ) == [
            "silver.row_accounting breaks 1 rule(s); nothing was written:",
            "  bronze_rows must equal silver_rows + quarantine_rows + duplicate_rows in every row, "
            "but 2 of 3 (66.7 %) are not as required. A.",
        ]

    def test_a_warning_is_returned_and_does_not_hide_a_failure(self, tmp_path: Path) -> None:
        volume = checks.usual_volume(10, fail_below=0.2, warn_below=0.5, warn_above=2)
        one = pandas_frame(ROW_ACCOUNTING, [{}])
        three = pandas_frame(ROW_ACCOUNTING, [{"table_name": str(i)} for i in range(3)])

        hundred = pandas_frame(ROW_ACCOUNTING, [{"table_name": str(i)} for i in range(100)])

        warned = validate(three, ROW_ACCOUNTING, run_date=NIGHT, results=tmp_path, checks=volume)
        flood = validate(hundred, ROW_ACCOUNTING, run_date=NIGHT, results=tmp_path, checks=volume)
        failed = broken(one, ROW_ACCOUNTING, tmp_path, *volume)

        assert flood.warnings == (warned.warnings[0].replace("it is 3", "it is 100"),)
        assert warned.warnings == (
            "silver.row_accounting: the row count must be from 5 to 20, but it is 3. A usual night "
            "has 10 rows. Look for missing or repeated deliveries in the landing folder; if the "
            "night really is like this, change [quality] in the configuration.",
        )
        assert failed[0] == "silver.row_accounting breaks 1 rule(s); nothing was written:"
        assert failed[1].startswith("  the row count must be at least 2, but it is 1.")

    def test_a_rule_needs_a_bound(self) -> None:
        with pytest.raises(ValueError, match="a rule needs a minimum or a maximum"):
            checks.row_count(advice="A.")

    def test_null_ranks_and_totals_are_not_complete(self, make: MakeFrame, tmp_path: Path) -> None:
        table = Table(
            "gold",
            "t",
            "d",
            ("id",),
            (),
            (
                _column("id"),
                Column("rank", "int", "d", nullable=True),
                Column("total", "long", "d", nullable=True),
                Column("part", "long", "d", nullable=True),
            ),
        )
        rows: list[dict[str, Any]] = [
            {"id": "a", "rank": None, "total": None, "part": None},
            {"id": "b", "rank": 1, "total": 1, "part": 1},
        ]

        holes = make(table, rows)
        if isinstance(holes, pd.DataFrame):
            holes = holes.astype({"rank": "Int32", "total": "Int64", "part": "Int64"})

        assert broken(
            holes,
            table,
            tmp_path,
            checks.complete_ranks(("id",), "rank", advice="A."),
            checks.sums_to("total", ("part",), advice="A."),
        )[1:] == [
            "  rank must count from 1 without gap or tie for every id, but 1 of 2 (50 %) are not "
            "as required. A.",
            "  total must equal part in every row, but 1 of 2 (50 %) are not as required. A.",
        ]


class TestSpark:
    def test_the_session_goes_on_as_it_was(
        self, spark: SparkSession, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        before = dict(spark.conf.getAll)
        lists = frame(spark, RECOMMENDATIONS, [{}])

        validate(lists, RECOMMENDATIONS, run_date=NIGHT, results=tmp_path)

        assert SparkSession.getActiveSession() is spark
        assert dict(spark.conf.getAll) == before
        assert not lists.is_cached
        assert spark.range(3).count() == 3
        assert "Calculating Metrics" not in "".join(capfd.readouterr())

    def test_a_rule_that_cannot_be_evaluated(
        self, spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        table = Table("gold", "t", "d", ("n",), (), (Column("n", "long", "d"),))
        text = spark.createDataFrame([("user 17",)], "text string")
        failing = text.select(F.col("text").cast("long").alias("n"))

        with pytest.raises(InfrastructureError) as error:
            validate(failing, table, run_date=NIGHT, results=tmp_path)

        assert str(error.value) == (
            "gold.t: the rule 'n must be different in every row' could not be evaluated "
            "([CAST_INVALID_INPUT]). Look at the Spark log of this step; a second run may help."
        )
        assert "user 17" not in "".join(
            record.getMessage() for record in caplog.records if "great_exp" in record.name
        )
        assert not list(tmp_path.iterdir())


def _column(name: str) -> Column:
    return Column(name, "string", "d")
