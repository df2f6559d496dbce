"""The nightly pipeline, from landing files to a published release.

Parsing this file must stay cheap: it imports Airflow and the tables' declarations, never Spark,
MLflow or a job. Each task runs the command line that a person would type.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, TaskGroup

from lakehouse.tables import (
    BRONZE_EVENTS,
    BRONZE_FILES,
    BRONZE_ITEMS,
    BRONZE_USERS,
    EVENT_IDENTITY,
    ITEM_FEATURES,
    QUARANTINE,
    RECOMMENDATIONS,
    ROW_ACCOUNTING,
    SILVER_INTERACTIONS,
    SILVER_ITEMS,
    SILVER_USERS,
    USER_FEATURES,
    USER_ITEM_FEATURES,
)
from topshelf_shops import Shop, configured_shops
from topshelf_tasks import AwaitTurn, of_a_night, plain_step, spark_step

# The schedule is midnight so that a run's date is a whole day: wherever Airflow takes a range of
# dates (backfill, clearing), its last day belongs to it.
MIDNIGHT = CronTriggerTimetable("0 0 * * *", timezone="UTC")
FILES_HAVE_LANDED = timedelta(hours=2)


DOC = """
### Nightly recommendations

Processes everything before the run date and publishes one release of recommendations.

* **Run date**: the run's logical date in UTC, or `run_date` in the trigger form. A night may be run
  again at any time: each step replaces its own night's partition and nothing else. A date after
  today (UTC) fails at the first step; it is not retried.
* **Its turn**: `await_turn` lets a scheduled night begin at 02:00 UTC, when the day's files have
  landed, and any night only after the earlier ones that are queued or running.
* **A task fails**: its log ends with `topshelf STEP: reason`. Wrong calls and wrong data are not
  retried; mend them and clear the task. Infrastructure failures are retried with growing delays.
* **The gate refuses**: `gate` is skipped with what follows, the run succeeds, and the former
  release goes on being served.
* **What a night did**: `report` builds `.topshelf/SHOP/runs/DATE/report.html` and the Data Docs,
  also of a night that failed: the page begins with what failed and why. Whether the run counts as
  failed is for the other tasks to say.
"""


def nightly_recommendations(shop: Shop) -> None:
    """Declare the night of a shop."""
    with DAG(
        dag_id=shop.dag_id("nightly_recommendations"),
        description="Landing files → lake → model → one published release, once a night.",
        doc_md=DOC,
        schedule=MIDNIGHT,
        dagrun_timeout=FILES_HAVE_LANDED + timedelta(hours=6),
        **of_a_night(shop, "nightly"),
    ):
        turn = AwaitTurn(
            task_id="await_turn",
            start_after=FILES_HAVE_LANDED,
            poke_interval=60,
            doc_md="Wait for 02:00 UTC and for the nights before this one.",
        )
        with TaskGroup("bronze", tooltip="Files as delivered"):
            ingest = spark_step(
                shop,
                "ingest",
                BRONZE_FILES,
                BRONZE_EVENTS,
                BRONZE_ITEMS,
                BRONZE_USERS,
                doc="Take new landing files into bronze, each row once.",
            )
        with TaskGroup("silver", tooltip="Clean rows, each once"):
            clean = spark_step(
                shop,
                "clean",
                SILVER_INTERACTIONS,
                SILVER_ITEMS,
                SILVER_USERS,
                QUARANTINE,
                ROW_ACCOUNTING,
                EVENT_IDENTITY,
                doc="Clean, deduplicate and quarantine; every row is accounted for.",
            )
        with TaskGroup("gold", tooltip="Features as of the night"):
            features = spark_step(
                shop,
                "features",
                USER_ITEM_FEATURES,
                USER_FEATURES,
                ITEM_FEATURES,
                doc="Build recency, frequency and content features from events before the night.",
            )
        with TaskGroup("model", tooltip="Train, compare, decide"):
            train = plain_step(
                shop, "train", doc="Train LightFM and the baselines, track them in MLflow."
            )
            gate = plain_step(shop, "gate", doc="Let the challenger pass unless it is worse.")
        with TaskGroup("serving", tooltip="Lists, and the release that holds them"):
            recommend = plain_step(
                shop, "recommend", RECOMMENDATIONS, doc="Rank N items per user and list."
            )
            publish = plain_step(
                shop, "publish", doc="Write one release to the store and switch to it."
            )
        # A teardown runs whatever became of the tasks before it, also after a person stopped the
        # run, and has no say in whether the run succeeded.
        report = plain_step(
            shop,
            "report",
            doc="Build the run report and the Data Docs, whatever became of the night.",
        ).as_teardown()

        turn >> ingest >> clean >> features >> train >> gate >> recommend >> publish >> report


for shop in configured_shops().usable:
    nightly_recommendations(shop)
