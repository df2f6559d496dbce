"""Passes over the data until a validation window says that it is enough, for any method that can.

The loop is the same for all (as in lenskit's trainers): a pass, lists for the window, their
measure; the fit after the best pass is kept.
"""

import time
from copy import copy

from models.core.capabilities import LearnsInPasses, OnEpoch, State
from models.core.context import Context
from models.evaluation.primary import PRIMARY_METRIC
from models.evaluation.protocol import Task
from models.lists.path import Policy, evaluate


def fit_with_validation(
    method: LearnsInPasses,
    context: Context,
    judged: Task,
    policy: Policy,
    on_epoch: OnEpoch | None = None,
    *,
    start: State | None = None,
) -> LearnsInPasses:
    """``method`` fitted on ``context`` by as many passes as are best for the lists of ``judged``.

    It stops ``method.patience`` passes after the best one, or after ``method.max_epochs``. After
    each pass ``on_epoch`` gets its number and its measures, which stay in ``curve``, from pass 0 on
    where the fit goes on from ``start``.
    """
    trainer = method.trainer(context, start=start)
    curve: list[dict[str, float]] = []
    best, highest = method, -1.0
    # Who goes on from a fit may be best off with what that one knew.
    for epoch in range(0 if method.started_from else 1, method.max_epochs + 1):
        started = time.perf_counter()
        if epoch:
            trainer.train_epoch()
        seconds = time.perf_counter() - started
        trainer.finish()
        measures = {
            PRIMARY_METRIC: evaluate(method, judged, policy).metrics[PRIMARY_METRIC],
            "seconds": seconds,
        }
        curve.append({"epoch": float(epoch), **measures})
        if on_epoch is not None:
            on_epoch(epoch, measures)
        if measures[PRIMARY_METRIC] > highest:
            method.best_epoch, highest = epoch, measures[PRIMARY_METRIC]
            best = copy(method)
        elif epoch - best.best_epoch >= method.patience:
            break
    if not curve:
        trainer.finish()
        best = method
        best.best_epoch = method.max_epochs
    best.curve = tuple(curve)
    return best
