"""What a night's rows of each source came to, and what that says about the source's mapping."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

ID_COLUMNS = ("user_id", "item_id", "order_id", "store_id")
DECIMAL_ID = r"^\d+\.0+$"


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """The rows of one source and night.

    ``repeated_in_file`` are among the ``duplicate_rows``, ``ignored_kinds`` among the
    ``silver_rows``; ``decimal_ids`` has by column the clean rows whose id ends in ``.0``.
    """

    source: str
    rows: int = 0
    silver_rows: int = 0
    quarantine_rows: int = 0
    duplicate_rows: int = 0
    repeated_in_file: int = 0
    ignored_kinds: int = 0
    decimal_ids: Mapping[str, int] = field(default_factory=dict)

    def warnings(self, event_types: Sequence[str]) -> list[str]:
        """A sentence for each thing that is probably wrong with the source's mapping."""
        sentences = [
            f"source {self.source}: {rows:,} of {self.rows:,} rows have a value of {column} that "
            "ends in `.0`, as a number that was a decimal once; the same value without it counts "
            "as another. If they are one, add to the source: "
            f'replacements = [{{ column = "{column}", pattern = "\\\\.0+$" }}]'
            for column, rows in self.decimal_ids.items()
            if rows
        ]
        if self.ignored_kinds and self.ignored_kinds == self.silver_rows:
            sentences.append(
                f"source {self.source}: all its {self.silver_rows:,} events are of kinds that "
                f"[features] event_types = {list(event_types)} leaves out, so nothing is learnt "
                "from them. Add their kind there, or take the source out."
            )
        return sentences


def count_by_source(
    marked: DataFrame, sources: Collection[str], *, event_types: Sequence[str]
) -> dict[str, SourceCounts]:
    """Count the marked rows of each source in one pass; ``event_types`` are those learnt from."""
    is_clean = F.col("rules").isNull()
    is_kept = is_clean & ~F.col("is_duplicate")
    is_ignored = F.lit(False)
    if "event_type" in marked.columns:
        is_ignored = ~F.col("event_type").isin(list(event_types))
    ids = [name for name in ID_COLUMNS if name in marked.columns]
    decimal_ids = [F.count_if(is_clean & F.col(name).rlike(DECIMAL_ID)).alias(name) for name in ids]
    counted = marked.groupBy("source").agg(
        F.count("*").alias("rows"),
        F.count_if(is_kept).alias("silver_rows"),
        F.count_if(~is_clean).alias("quarantine_rows"),
        F.count_if("is_duplicate").alias("duplicate_rows"),
        F.count_if("in_file").alias("repeated_in_file"),
        F.count_if(is_kept & is_ignored).alias("ignored_kinds"),
        F.struct(*decimal_ids).alias("decimal_ids"),
    )
    return {name: SourceCounts(name) for name in sources} | {
        row["source"]: SourceCounts(**row.asDict(recursive=True)) for row in counted.collect()
    }
