"""The nightly pipeline, from landing files to a published release.

Parsing this file must stay cheap: it imports Airflow and the tables' declarations, never Spark,
MLflow or a job. Each task runs the command line that a person would type.
"""

from datetime import timedelta

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG, CronTriggerTimetable, TaskGroup

from lakehouse.tables import (
    BRONZE_EVENTS,
    BRONZE_FILES,
    BRONZE_ITEMS,
    BRONZE_USERS,
    ITEM_FEATURES,
    QUARANTINE,
    RECOMMENDATIONS,
    ROW_ACCOUNTING,
    SILVER_INTERACTIONS,
    SILVER_ITEMS,
    SILVER_USERS,
    USER_FEATURES,
    USER_ITEM_FEATURES,
    Table,
)
from topshelf_tasks import (
    LAKE_POOL,
    PROJECT,
    RUN_DATE,
    default_args,
    outlets,
    plain_step,
    run_date_param,
)


def spark_step(name: str, *tables: Table, doc: str) -> SparkSubmitOperator:
    """A step that needs Spark; where it runs is the connection's matter."""
    return SparkSubmitOperator(
        task_id=name,
        application=str(PROJECT / "infra" / "spark" / "submit.py"),
        application_args=[name, "--run-date", RUN_DATE],
        name=f"topshelf-{name}",
        conn_id="spark_default",
        pool=LAKE_POOL,
        outlets=outlets(*tables),
        doc_md=doc,
    )


with DAG(
    dag_id="nightly_recommendations",
    description="Landing files → lake → model → one published release, once a night.",
    doc_md="""
### Nightly recommendations

Processes everything before the run date and publishes one release of recommendations.

* **Run date**: the run's logical date in UTC, or `run_date` in the trigger form. A night may be run
  again at any time: each step replaces its own night's partition and nothing else. A date after
  today (UTC) fails at the first task; it is not retried.
* **A task fails**: its log ends with `topshelf STEP: reason`. Wrong calls and wrong data are not
  retried; mend them and clear the task. Infrastructure failures are retried with growing delays.
* **The gate refuses**: `gate` is skipped with what follows, the run succeeds, and the former
  release goes on being served.
* **What a night did**: `report` builds `.topshelf/SHOP/runs/DATE/report.html` and the Data Docs,
  also of a night that failed: the page begins with what failed and why. Whether the run counts as
  failed is for the other tasks to say.
""",
    schedule=CronTriggerTimetable("0 2 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    params={"run_date": run_date_param()},
    tags=["recommendations", "nightly"],
    default_args=default_args(),
) as dag:
    with TaskGroup("bronze", tooltip="Files as delivered"):
        ingest = spark_step(
            "ingest",
            BRONZE_FILES,
            BRONZE_EVENTS,
            BRONZE_ITEMS,
            BRONZE_USERS,
            doc="Take new landing files into bronze, each row once.",
        )
    with TaskGroup("silver", tooltip="Clean rows, each once"):
        clean = spark_step(
            "clean",
            SILVER_INTERACTIONS,
            SILVER_ITEMS,
            SILVER_USERS,
            QUARANTINE,
            ROW_ACCOUNTING,
            doc="Clean, deduplicate and quarantine; every row is accounted for.",
        )
    with TaskGroup("gold", tooltip="Features as of the night"):
        features = spark_step(
            "features",
            USER_ITEM_FEATURES,
            USER_FEATURES,
            ITEM_FEATURES,
            doc="Build recency, frequency and content features from events before the night.",
        )
    with TaskGroup("model", tooltip="Train, compare, decide"):
        train = plain_step("train", doc="Train LightFM and the baselines, track them in MLflow.")
        gate = plain_step("gate", doc="Let the challenger pass unless it is worse.")
    with TaskGroup("serving", tooltip="Lists, and the release that holds them"):
        recommend = plain_step("recommend", RECOMMENDATIONS, doc="Rank N items per user and list.")
        publish = plain_step("publish", doc="Write one release to the store and switch to it.")
    # A teardown runs whatever became of the tasks before it, also after a person stopped the run,
    # and has no say in whether the run succeeded.
    report = plain_step(
        "report", doc="Build the run report and the Data Docs, whatever became of the night."
    ).as_teardown()

    ingest >> clean >> features >> train >> gate >> recommend >> publish >> report
