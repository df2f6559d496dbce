"""What the DAGs share: operators that say why a step failed, retries, the run date.

Parsing must stay cheap here too. `.airflowignore` says that this file holds no DAG.
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypedDict, Unpack

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Asset, BaseSensorOperator, Context, Param
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
)
from airflow.sdk.types import DagRunProtocol

from lakehouse.errors import EXIT_REFUSED
from lakehouse.steps import Step
from lakehouse.tables import Table
from topshelf_shops import PROJECT, Shop

RUN_DATE = "{{ night(dag_run) }}"
# Delta on a local disk bears one writer at a time; the pool has one slot, for all shops together.
LAKE_POOL = "delta"
WRONG_CALL_OR_DATA = {2, 3}
SHOWN_CHARACTERS = 60
# A DAG that is switched on for the first time begins with its next scheduled run: by default
# Airflow starts the one before too, for some hours, and that would hold the DAG's only place.
FROM_THE_NEXT = timedelta(0)


def night(dag_run: DagRunProtocol) -> str:
    """The night that a run processes: its partition, the ``run_date`` it was given, or its date.

    Raises ``AirflowFailException``, which is not retried, where that is no date (YYYY-MM-DD), where
    there is none, or where the run was given anything else.
    """
    conf: Mapping[str, object] = dag_run.conf or {}
    if unknown := sorted(set(conf) - {"run_date"}):
        raise AirflowFailException(f"the run was given {_short(unknown)}; it takes run_date only.")
    value = dag_run.partition_key or conf.get("run_date")
    if value is None and dag_run.logical_date:
        value = dag_run.logical_date.date().isoformat()
    if value is None:
        raise AirflowFailException("the run has no date; trigger it with a run_date (YYYY-MM-DD).")
    if not _is_date(value):
        raise AirflowFailException(f"run_date {_short(value)} is no date; give YYYY-MM-DD.")
    return str(value)


def _is_date(value: object) -> bool:
    """Whether it is a date written YYYY-MM-DD; ``fromisoformat`` takes 20180102 too."""
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


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


class SensorSettings(TypedDict):
    """What a DAG says of its sensor besides the hour it waits for."""

    task_id: str
    poke_interval: float
    doc_md: str


class AwaitTurn(BaseSensorOperator):
    """Wait for a scheduled night's hour, then until no earlier night of the DAG is due or running.

    A night that overtook an earlier one would take the files that belong to it; backfills run up to
    ten nights at once, and beside them the scheduled one.
    """

    def __init__(self, *, start_after: timedelta, **kwargs: Unpack[SensorSettings]) -> None:
        super().__init__(mode="reschedule", **kwargs)
        self.start_after = start_after

    def poke(self, context: Context) -> bool:
        """Whether the night may begin; refuses a run whose run date is no date."""
        dag_run = context["dag_run"]
        night(dag_run)
        if dag_run.run_type == "scheduled" and dag_run.logical_date:
            start = dag_run.logical_date + self.start_after
            if datetime.now(UTC) < start:
                # Airflow leaves its constructor untyped.
                raise AirflowRescheduleException(start)  # type: ignore[no-untyped-call]
        run = context["ti"]
        return not any(run.get_previous_dagrun(state) for state in ("queued", "running"))


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


def assets(shop: Shop, tables: Sequence[Table]) -> list[Asset]:
    """The shop's tables as Airflow assets."""
    if shop.name is None:
        return [Asset(name=table.full_name, uri=table.asset_uri) for table in tables]
    return [
        Asset(name=f"{shop.name}.{table.full_name}", uri=f"x-delta://{shop.name}/{table.path}")
        for table in tables
    ]


def task_of(shop: Shop, step: Step) -> CommandOperator | SparkSubmitOperator:
    """The step as a task. Whoever writes the lake waits for its pool.

    A step that always runs is a teardown: it runs whatever became of the tasks before it, also
    after a person stopped the run, and has no say in whether the run succeeded.
    """
    of_any_kind = {
        "task_id": step.name,
        "pool": LAKE_POOL if step.writes else None,
        "inlets": assets(shop, step.reads),
        "outlets": assets(shop, step.writes),
        "doc_md": step.doc,
    }
    task = (
        _spark_task(shop, step.name, of_any_kind)
        if step.needs_spark
        else _plain_task(shop, step.name, of_any_kind)
    )
    return task.as_teardown() if step.always_runs else task


def _plain_task(shop: Shop, command: str, arguments: Mapping[str, Any]) -> CommandOperator:
    """What varies reaches the shell as variables, never as code."""
    return CommandOperator(
        bash_command=f'exec topshelf {command} --run-date "$RUN_DATE"',
        env={"RUN_DATE": RUN_DATE, "TOPSHELF_CONFIG": str(shop.config)},
        append_env=True,
        cwd=str(PROJECT),
        do_xcom_push=False,
        **arguments,
    )


def _spark_task(shop: Shop, command: str, arguments: Mapping[str, Any]) -> SparkSubmitOperator:
    """Where it runs is the connection's matter."""
    return SparkSubmitOperator(
        application=str(PROJECT / "infra" / "spark" / "submit.py"),
        application_args=[command, "--run-date", RUN_DATE, "--config", str(shop.config)],
        name=f"topshelf-{command}",
        conn_id="spark_default",
        **arguments,
    )


def of_a_night(shop: Shop, *tags: str) -> dict[str, Any]:
    """What the DAGs of a shop share: they process the night that a run names, one at a time."""
    return {
        "catchup": False,
        "max_active_runs": 1,
        "params": {
            "run_date": Param(
                None,
                type=["null", "string"],
                format="date",
                description="Night to process (YYYY-MM-DD); by default the run's own date.",
            )
        },
        "user_defined_macros": {"night": night},
        "default_args": {
            "owner": "recommendations",
            "retries": 2,
            "retry_delay": timedelta(minutes=1),
            "retry_exponential_backoff": True,
            "max_retry_delay": timedelta(minutes=15),
            "retry_policy": RetryWhatMayPass(),
            "execution_timeout": timedelta(hours=2),
        },
        "tags": {"recommendations", *tags, *([shop.name] if shop.name else [])},
    }
