"""A weekly search for better parameters, which proposes and never changes anything.

Parsing this file must stay cheap: it imports Airflow and the shared operators, never a step.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from lakehouse.steps import TUNE
from topshelf_shops import Shop, configured_shops
from topshelf_tasks import FROM_THE_NEXT, of_a_night, task_of

DOC = """
### Weekly tuning

Tries other parameters of the method that fills the lists, on days before the test window of the
night that ran on the same date, and writes `.topshelf/SHOP/runs/DATE/proposal.toml`, which is
in MLflow too (experiment `SHOP_nightly_tuning`). Nothing uses the proposal: a person who likes it
copies it into the configuration, and the gate judges the next night.

* **Run date**: the run's logical date in UTC, or `run_date` in the trigger form; that night must
  have built its features.
* **Killed or retried**: the search goes on where it stopped.
"""


def weekly_tuning(shop: Shop) -> None:
    """Declare the weekly search of a shop."""
    with DAG(
        dag_id=shop.dag_id("weekly_tuning"),
        description="Try other parameters on past weeks and propose the best.",
        doc_md=DOC,
        schedule=CronTriggerTimetable("0 6 * * 0", timezone="UTC", run_immediately=FROM_THE_NEXT),
        dagrun_timeout=timedelta(hours=6),
        **of_a_night(shop, "weekly"),
    ):
        task_of(shop, TUNE)


for shop in configured_shops().usable:
    weekly_tuning(shop)
