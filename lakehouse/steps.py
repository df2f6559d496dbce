"""The steps of a night, declared once: the DAG, the command line and the reports come from here.

A step's work is ``run`` in the module ``jobs.steps.NAME``. A DAG file may import this module: it
stands on the tables' declarations alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lakehouse.tables import (
    BRONZE_EVENTS,
    BRONZE_FEEDBACK,
    BRONZE_FILES,
    BRONZE_ITEMS,
    BRONZE_USERS,
    EVENT_IDENTITY,
    FEEDBACK_DAILY,
    ITEM_FEATURES,
    ITEM_RELATED,
    QUARANTINE,
    RECOMMENDATIONS,
    ROW_ACCOUNTING,
    SILVER_FEEDBACK,
    SILVER_INTERACTIONS,
    SILVER_ITEMS,
    SILVER_USERS,
    USER_FEATURES,
    USER_ITEM_FEATURES,
    Table,
)

GOLD: Final = (USER_ITEM_FEATURES, USER_FEATURES, ITEM_FEATURES)
MODEL_INPUTS: Final = (SILVER_INTERACTIONS, SILVER_USERS, SILVER_FEEDBACK, *GOLD, ITEM_RELATED)
GROUPS: Final[Mapping[str, str]] = {
    "bronze": "Files as delivered",
    "silver": "Clean rows, each once",
    "gold": "Features as of the night",
    "model": "Train, compare, decide",
    "serving": "Lists, and the release that holds them",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a night.

    ``reads`` and ``writes`` are tables of the lake; a step that writes any waits for its turn with
    it. ``ops.runs``, where each keeps what became of it, is not among them. ``always_runs`` is for
    a step that runs whatever became of those before it, and has no say in whether the night
    succeeded. ``checks_models`` is for a step before which the methods and their parameters in the
    configuration are checked, which takes seconds: those that work with models, and the first, so
    that a mistake costs no hour. A step outside of the nights has no group.
    """

    name: str
    doc: str
    group: str | None = None
    needs_spark: bool = False
    reads: tuple[Table, ...] = ()
    writes: tuple[Table, ...] = ()
    always_runs: bool = False
    checks_models: bool = False

    @property
    def module(self) -> str:
        """The module of ``jobs.steps`` that does the work."""
        return self.name.replace("-", "_")


STEPS: Final = (
    Step(
        "ingest",
        "Take new landing files into bronze, each row once.",
        group="bronze",
        needs_spark=True,
        writes=(BRONZE_FILES, BRONZE_EVENTS, BRONZE_ITEMS, BRONZE_USERS, BRONZE_FEEDBACK),
        checks_models=True,
    ),
    Step(
        "clean",
        "Clean bronze into silver; what is unusable to quarantine.",
        group="silver",
        needs_spark=True,
        reads=(BRONZE_EVENTS, BRONZE_ITEMS, BRONZE_USERS, BRONZE_FEEDBACK),
        writes=(
            SILVER_INTERACTIONS,
            SILVER_ITEMS,
            SILVER_USERS,
            SILVER_FEEDBACK,
            QUARANTINE,
            ROW_ACCOUNTING,
            EVENT_IDENTITY,
        ),
    ),
    Step(
        "features",
        "Build the gold features from events before the night.",
        group="gold",
        needs_spark=True,
        reads=(SILVER_INTERACTIONS, SILVER_ITEMS, SILVER_FEEDBACK),
        writes=(*GOLD, FEEDBACK_DAILY),
    ),
    Step(
        "relate",
        "Find what goes with each item, and what is like it.",
        group="gold",
        needs_spark=True,
        reads=(SILVER_INTERACTIONS, SILVER_ITEMS),
        writes=(ITEM_RELATED,),
    ),
    Step(
        "train",
        "Train, evaluate and register the models.",
        group="model",
        reads=MODEL_INPUTS,
        checks_models=True,
    ),
    Step(
        "gate",
        "Let the challenger pass, or refuse it (exit code 99).",
        group="model",
        reads=MODEL_INPUTS,
        checks_models=True,
    ),
    Step(
        "recommend",
        "Rank the lists of every user.",
        group="serving",
        reads=MODEL_INPUTS,
        writes=(RECOMMENDATIONS,),
        checks_models=True,
    ),
    Step(
        "publish",
        "Write one release to the store and switch to it.",
        group="serving",
        reads=(RECOMMENDATIONS, ITEM_FEATURES),
    ),
    Step(
        "report",
        "Build the run report and the Data Docs, also of a failure.",
        reads=(ROW_ACCOUNTING, RECOMMENDATIONS, FEEDBACK_DAILY),
        always_runs=True,
    ),
)

TUNE: Final = Step(
    "tune", "Search better parameters and propose them; nothing is promoted.", reads=MODEL_INPUTS
)

MAINTAIN: Final = Step("maintain", "Drop old gold nights, and delete files that nobody reads.")
