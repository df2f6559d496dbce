"""What the DAGs share: operators that say why a step failed, retries, the run date.

Parsing must stay cheap here too. `.airflowignore` says that this file holds no DAG.
"""

import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Asset, Context, Param
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from lakehouse.tables import Table

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


def plain_step(name: str, *tables: Table, doc: str) -> CommandOperator:
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
        doc_md=doc,
    )


def run_date_param() -> Param:
    """The night to process, in the trigger form."""
    return Param(
        None,
        type=["null", "string"],
        format="date",
        description="Night to process (YYYY-MM-DD); by default the run's own date.",
    )


def default_args() -> dict[str, Any]:
    """What holds for every task."""
    return {
        "owner": "recommendations",
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=15),
        "retry_policy": RetryWhatMayPass(),
        "execution_timeout": timedelta(hours=2),
    }
