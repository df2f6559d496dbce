"""What each group of the ranker's features is worth, in NDCG@10 on a window it has not seen."""

from collections.abc import Mapping

import pandas as pd

from models.core.capabilities import LearnsFromFeatures
from models.core.context import Context
from models.evaluation.bootstrap import Difference, paired_bootstrap
from models.evaluation.primary import PRIMARY_METRIC
from models.evaluation.protocol import Evaluation, Task
from models.lists.path import evaluate


def feature_value(
    method: LearnsFromFeatures, context: Context, tasks: Mapping[str, Task], *, seed: int
) -> pd.DataFrame:
    """One row per list and group of features, the most valuable first.

    ``method`` is unfitted, ``tasks`` are of ``context``. Columns: ``features`` (how many),
    ``gain_share`` (of the boosters' gain), and what is lost with the 95% paired-bootstrap interval:
    ``shuffled`` where the fitted rankers get the group's features dealt out anew among the
    candidates, ``off`` where they are trained without them. The two differ where other groups can
    take the group's place.
    """
    fitted = method.changed().fit(context)
    whole = {name: evaluate(fitted, task) for name, task in tasks.items()}
    rows = []
    for group in method.groups:
        shuffled = fitted.shuffled(context, group, seed)
        off = method.without_group(group).fit(context)
        for name, task in tasks.items():
            gains = fitted.importance(name)
            of_group = method.members(group, gains.index)
            row: dict[str, object] = {
                "list": name,
                "group": group,
                "features": len(of_group),
                "gain_share": float(gains[of_group].sum()),
            }
            for what, model in (("shuffled", shuffled), ("off", off)):
                loss = _loss(whole[name], evaluate(model, task), seed)
                row |= {what: loss.mean, f"{what}_low": loss.low, f"{what}_high": loss.high}
            rows.append(row)
    table = pd.DataFrame(rows)
    return table.sort_values(
        ["list", "shuffled"], ascending=[True, False], kind="stable", ignore_index=True
    )


def _loss(whole: Evaluation, part: Evaluation, seed: int) -> Difference:
    return paired_bootstrap(
        whole.per_user[PRIMARY_METRIC], part.per_user[PRIMARY_METRIC], seed=seed
    )
