"""A weekly look after the lake's tables.

Parsing this file must stay cheap: it imports Airflow and the shared operators, never a job.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from lakehouse.steps import MAINTAIN
from topshelf_shops import Shop, configured_shops
from topshelf_tasks import FROM_THE_NEXT, of_a_night, task_of

DOC = """
### Weekly maintenance of the lake

Drops the gold nights that are older than `[retention] gold_days`, and deletes the files that
neither a version of the last `[retention] versions_days` days nor a release in the store needs.

* **Run date**: the run's logical date in UTC, or `run_date` in the trigger form.
* **Killed or retried**: it goes on where it stopped. A night that runs meanwhile waits for a table
  that is being looked after, for seconds.
"""


def lakehouse_maintenance(shop: Shop) -> None:
    """Declare the weekly maintenance of a shop's lake."""
    with DAG(
        dag_id=shop.dag_id("lakehouse_maintenance"),
        description="Drop old gold nights and files that nobody reads.",
        doc_md=DOC,
        schedule=CronTriggerTimetable("0 8 * * 0", timezone="UTC", run_immediately=FROM_THE_NEXT),
        dagrun_timeout=timedelta(hours=2),
        **of_a_night(shop, "weekly"),
    ):
        task_of(shop, MAINTAIN)


for shop in configured_shops().usable:
    lakehouse_maintenance(shop)
