"""The night's feedback → its partition of ``gold.feedback_daily``, validated."""

from dataclasses import dataclass
from datetime import date

from pyspark.sql import functions as F

from expectations.validation import validate
from features.feedback import feedback_daily, of_lists
from jobs.config.settings import Settings
from lakehouse.clean.row_accounting import rows_of_night
from lakehouse.io.lake import Lakehouse
from lakehouse.tables import FEEDBACK_DAILY, RECOMMENDATIONS, SILVER_FEEDBACK


@dataclass(frozen=True, slots=True)
class Built:
    """The rows written, the events that name no list of ours, and what to warn of."""

    rows: int = 0
    of_no_list: int = 0
    warnings: tuple[str, ...] = ()


def build_feedback_daily(lake: Lakehouse, settings: Settings, run_date: date) -> Built:
    """Count what the night ``run_date`` took in; a night without feedback costs no Spark job.

    Raises ``DataQualityError`` where validation refuses; the table is then as it was.
    """
    events = rows_of_night(lake.root, SILVER_FEEDBACK, run_date)
    before = rows_of_night(lake.root, FEEDBACK_DAILY, run_date)
    with lake.writing(FEEDBACK_DAILY):
        lake.create(FEEDBACK_DAILY)
        if not events and not before:
            return Built()
        feedback = of_lists(
            lake.read(SILVER_FEEDBACK).where(F.col("ingest_date") == F.lit(run_date))
        )
        # Lists of the night itself are made later than this, and were shown to nobody yet.
        earlier = lake.read(RECOMMENDATIONS).where(F.col("run_date") < F.lit(run_date))
        frame = (
            feedback_daily(feedback, earlier)
            .select(F.lit(run_date).alias("run_date"), "*")
            .persist()
        )
        verdict = validate(
            frame, FEEDBACK_DAILY, run_date=run_date, results=settings.paths.data_quality
        )
        lake.replace(FEEDBACK_DAILY, frame, {"run_date": run_date})
        rows, attributed = frame.count(), feedback.count()
        frame.unpersist()
    return Built(rows, events - attributed, verdict.warnings)
