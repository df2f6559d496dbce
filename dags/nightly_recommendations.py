"""The nightly pipeline, from landing files to a published release.

Parsing this file must stay cheap: it imports Airflow and the tables' declarations, never Spark,
MLflow or a job. Each task runs the command line that a person would type.
"""

import re
import shutil
from datetime import timedelta
from pathlib import Path

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Asset, Context, CronTriggerTimetable, Param, TaskGroup, TriggerRule
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

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

PROJECT = Path(__file__).resolve().parents[1]
# The night to process. Runs started by an asset or a partition have no logical date, so no `ds`.
RUN_DATE = "{{ dag_run.partition_key or dag_run.conf.get('run_date') or ds }}"
# Delta on a local disk bears one writer at a time; the pool has one slot.
LAKE_POOL = "delta"
EXIT_REFUSED = 99
WRONG_CALL_OR_DATA = {2, 3}


class RetryWhatMayPass(RetryPolicy):
    """Retry unless the step said that its call (exit code 2) or its data (3) are wrong."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """Read the exit code from the operator's message, which holds no other sign of it."""
        del try_number, max_tries, context
        found = re.search(r"(?:exit code |Error code is: )(\d+)", str(exception))
        if found and int(found[1]) in WRONG_CALL_OR_DATA:
            reason = str(exception).strip().splitlines()[-1]
            return RetryDecision.fail(f"{reason} (exit code {found[1]}: a retry cannot help)")
        return RetryDecision.default()


class CommandOperator(BashOperator):
    """A command whose failure, or skip, says the command's own last line."""

    def execute(self, context: Context) -> None:
        """Run the command; exit code 99 skips, any other than 0 fails."""
        result = self.subprocess_hook.run_command(
            [shutil.which("bash") or "bash", "-c", self.bash_command],
            env=self.get_env(context),
            cwd=self.cwd,
        )
        if result.exit_code == EXIT_REFUSED:
            raise AirflowSkipException(result.output)
        if result.exit_code:
            raise AirflowException(f"exit code {result.exit_code}:\n{result.output}")


def outlets(*tables: Table) -> list[Asset]:
    """The tables as Airflow assets."""
    return [Asset(name=table.full_name, uri=table.asset_uri) for table in tables]


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


def plain_step(
    name: str, *tables: Table, doc: str, trigger_rule: str = TriggerRule.ALL_SUCCESS
) -> CommandOperator:
    """A step without Spark. The run date reaches the shell as a variable, never as code."""
    return CommandOperator(
        task_id=name,
        bash_command=f'exec topshelf {name} --run-date "$RUN_DATE"',
        env={"RUN_DATE": RUN_DATE},
        append_env=True,
        cwd=str(PROJECT),
        do_xcom_push=False,
        pool=LAKE_POOL if tables else None,
        outlets=outlets(*tables),
        trigger_rule=trigger_rule,
        doc_md=doc,
    )


with DAG(
    dag_id="nightly_recommendations",
    description="Landing files → lake → model → one published release, once a night.",
    doc_md="""
### Nightly recommendations

Processes everything before the run date and publishes one release of recommendations.

* **Run date**: the run's logical date in UTC, or `run_date` in the trigger form. A night may be run
  again at any time: each step replaces its own night's partition and nothing else.
* **A task fails**: its log ends with `topshelf STEP: reason`. Wrong calls and wrong data are not
  retried; mend them and clear the task. Infrastructure failures are retried with growing delays.
* **The gate refuses**: `gate` is skipped with what follows, the run succeeds, and the former
  release goes on being served.
* **What a night did**: `report` builds `.topshelf/runs/DATE/report.html` and the Data Docs.
""",
    schedule=CronTriggerTimetable("0 2 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    params={
        "run_date": Param(
            None,
            type=["null", "string"],
            format="date",
            description="Night to process (YYYY-MM-DD); by default the run's own date.",
        )
    },
    tags=["recommendations", "nightly"],
    default_args={
        "owner": "recommendations",
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=15),
        "retry_policy": RetryWhatMayPass(),
        "execution_timeout": timedelta(hours=2),
    },
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
    report = plain_step(
        "report",
        doc="Build the run report and the Data Docs, also after a refusal.",
        trigger_rule=TriggerRule.NONE_FAILED,
    )

    ingest >> clean >> features >> train >> gate >> recommend >> publish >> report
