"""The nightly pipeline, from landing files to a published release.

Parsing this file must stay cheap: it imports Airflow and the steps' declarations, never Spark,
MLflow or a job. Each task runs the command line that a person would type.
"""

from contextlib import nullcontext
from datetime import timedelta
from itertools import groupby

from airflow.sdk import DAG, BaseOperator, CronTriggerTimetable, TaskGroup

from lakehouse.steps import GROUPS, STEPS
from topshelf_shops import Shop, configured_shops
from topshelf_tasks import FROM_THE_NEXT, AwaitTurn, of_a_night, task_of

# The schedule is midnight so that a run's date is a whole day: wherever Airflow takes a range of
# dates (backfill, clearing), its last day belongs to it.
MIDNIGHT = CronTriggerTimetable("0 0 * * *", timezone="UTC", run_immediately=FROM_THE_NEXT)
FILES_HAVE_LANDED = timedelta(hours=2)


DOC = """
### Nightly recommendations

Processes everything before the run date and publishes one release of recommendations.

* **Run date**: the run's logical date in UTC, or `run_date` in the trigger form. A night may be run
  again at any time: each step replaces its own night's partition and nothing else. A date after
  today (UTC) fails at the first step; it is not retried.
* **Its turn**: `await_turn` lets a scheduled night begin at 02:00 UTC, when the day's files have
  landed, and any night only after the earlier ones that are queued or running. From midnight until
  02:00 UTC the night that waits holds the DAG's only place: a run triggered then begins after it.
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
        last: BaseOperator = turn
        for group, steps in groupby(STEPS, key=lambda step: step.group):
            with TaskGroup(group, tooltip=GROUPS[group]) if group else nullcontext():
                for step in steps:
                    task = task_of(shop, step)
                    last >> task
                    last = task


for shop in configured_shops().usable:
    nightly_recommendations(shop)
