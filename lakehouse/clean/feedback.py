"""What people did with what they were shown, judged: one row out for every row in."""

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.clean.silver import as_instant, as_number, broken_ids, clean_text, with_rules
from lakehouse.ingest.sources import SourceMapping, mappable_columns
from lakehouse.tables import FEEDBACK_TYPES, SILVER_FEEDBACK

_TEXTS = ("event_id", "user_id", "item_id", "surface", "tier", "release", "arm")
_NUMBERS = ("value", "quantity", "position", "propensity")


def judge_feedback(bronze: DataFrame, mapping: SourceMapping, *, night: date) -> DataFrame:
    """Feedback of one source with types, UTC times and the rules that each row broke.

    A judged frame as ``lakehouse.clean.silver`` describes it. ``night`` is the ingest date: an
    event must lie before it by its UTC day, whatever the client's clock says.
    """
    clean = clean_text(bronze, mapping, mappable_columns("feedback"))
    typed = clean.withColumns(
        {
            "event_type": F.lower("event_type"),
            "event_ts": as_instant(F.col("event_time"), mapping),
            "received": as_instant(F.col("received_at"), mapping),
            **{f"has_{name}": F.col(name).isNotNull() for name in _NUMBERS},
            **{name: as_number(F.col(name), mapping) for name in _NUMBERS},
        }
    )
    time = F.col("event_ts")
    bounds = {name: SILVER_FEEDBACK.column(name) for name in _NUMBERS}
    checked = typed.withColumns(
        {
            "event_ts": F.when(time >= F.timestamp_seconds(F.lit(0)), time),
            **{
                name: F.when(F.col(name).between(bound.smallest, bound.largest), F.col(name))
                for name, bound in bounds.items()
            },
        }
    ).withColumn(
        "position",
        F.when(F.col("position") == F.col("position").try_cast("int"), F.col("position")),
    )
    broken = {
        **broken_ids(_TEXTS, ("event_id", "user_id", "item_id")),
        "event_time_missing": F.col("event_time").isNull(),
        "event_time_invalid": F.col("event_time").isNotNull() & F.col("event_ts").isNull(),
        "event_time_in_future": F.to_date("event_ts") >= F.lit(night),
        "event_type_unknown": ~F.coalesce("event_type", F.lit("")).isin(list(FEEDBACK_TYPES)),
        **{
            f"{name}_invalid": F.col(f"has_{name}") & F.col(name).isNull()
            for name in ("quantity", "value", "position", "propensity")
        },
        "received_at_invalid": F.col("received_at").isNotNull() & F.col("received").isNull(),
    }
    return with_rules(
        checked,
        SILVER_FEEDBACK,
        broken,
        event_date=F.to_date("event_ts"),
        position=F.col("position").cast("int"),
        received_at=F.col("received"),
    )
