"""How good the lists are, on four dates of a year of retail.

Writes ``quality.json`` and ``quality.md``, and the lists behind every figure, so that anyone can
score them with code of their own. Each file appears whole; a killed run leaves the old figures.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.quality.complete_journey import ShopData, read_shop
from benchmarks.quality.page import page
from benchmarks.quality.results import CutResult, Run, as_json
from jobs.config.settings import Settings
from jobs.night.recipes import cold, in_order, recipe, terms
from jobs.night.resources import Cost, measured
from lakehouse.errors import ConfigurationError
from lakehouse.files import replacing, write_text
from lakehouse.lists import PERSONAL_LISTS
from models.core.interactions import UNKNOWN, Ids, Indices
from models.evaluation import segments
from models.evaluation.primary import PRIMARY_METRIC
from models.evaluation.protocol import PROTOCOLS, by_segment
from models.selection.backtest import PUBLISHED, backtest, published
from models.selection.split import Cut, Split
from models.selection.trial import Outcome, choices

logger = logging.getLogger(__name__)

DATA_SET: Final = "complete_journey"
# Each month from its first day; the last window takes in the one day left of the year's data.
MONTHS: Final = (
    (date(2017, 9, 1), date(2017, 10, 1)),
    (date(2017, 10, 1), date(2017, 11, 1)),
    (date(2017, 11, 1), date(2017, 12, 1)),
    (date(2017, 12, 1), date(2018, 1, 2)),
)
SEGMENT_ATTRIBUTES: Final = ("age", "income")


def cuts(settings: Settings, starts: Sequence[date] = ()) -> tuple[Cut, ...]:
    """The dates of the published figures, each with the night's validation window before it.

    ``starts`` picks some of them; raises ``ConfigurationError`` for another date.
    """
    if unknown := sorted(set(starts) - {start for start, _ in MONTHS}):
        raise ConfigurationError(
            f"no cut at {', '.join(map(str, unknown))}; "
            f"there are {', '.join(str(start) for start, _ in MONTHS)}"
        )
    before = timedelta(days=settings.train.validation_days)
    return tuple(
        Cut(start - before, start, end) for start, end in MONTHS if not starts or start in starts
    )


def run(
    settings: Settings,
    *,
    data: Path,
    out: Path,
    lists: Path,
    at: Sequence[Cut],
    methods: Sequence[str],
) -> list[CutResult]:
    """Judge ``methods`` and what a night would publish ``at`` each cut.

    ``data`` holds the year's files (see ``read_shop``), ``out`` gets the figures, ``lists`` a
    Parquet file ``{cut}_{protocol}_{method}.parquet`` each. The methods of ``[train] methods``
    compete for publication, and are judged even if ``methods`` lacks them. Raises ``DataError``
    where a window has nobody to be judged by.
    """
    names = in_order([*settings.train.methods, *methods])
    with measured() as reading:
        shop = read_shop(settings, data)
    logger.info("%d lines read (%.0f s)", len(shop.interactions), reading.seconds)
    results = [_judge_cut(settings, shop, cut, names, lists) for cut in at]
    about = Run(
        lines=len(shop.interactions),
        users=shop.interactions.users,
        items=len(np.unique(shop.interactions.item)),
        seed=settings.train.seed,
        competing=settings.train.methods,
        recipes={name: recipe(name, settings) for name in names},
        lists=lists,
        cold=cold(settings),
    )
    figures = json.dumps({DATA_SET: as_json(results)}, indent=2)
    write_text(out / "quality.json", figures + "\n")
    write_text(out / "quality.md", page(results, about))
    return results


def _judge_cut(
    settings: Settings, shop: ShopData, cut: Cut, names: Sequence[str], lists: Path
) -> CutResult:
    split = Split.at(cut, shop.interactions, shop.context, cold=cold(settings))
    outcomes: dict[str, Outcome] = {}
    costs: dict[str, Cost] = {}
    for name in names:
        with measured() as costs[name]:
            outcomes[name] = backtest(
                recipe(name, settings), split, competes=name in settings.train.methods
            )
        _write_lists(lists, cut, name, outcomes[name], split)
        _say(cut, name, outcomes[name], costs[name])
    choice = choices(outcomes, settings.train.methods, terms(settings))
    outcomes[PUBLISHED] = published(outcomes, choice)
    _write_lists(lists, cut, PUBLISHED, outcomes[PUBLISHED], split)
    return CutResult(
        cut=cut,
        choice=choice,
        outcomes=outcomes,
        costs=costs,
        segments=_segments(outcomes[PUBLISHED], split),
    )


def _say(cut: Cut, name: str, outcome: Outcome, cost: Cost) -> None:
    ndcg = ", ".join(
        f"{protocol} {evaluation.metrics[PRIMARY_METRIC]:.4f}"
        for protocol, evaluation in outcome.test.items()
    )
    logger.info("%s %s: NDCG@10 %s (%.0f s)", cut.start, name, ndcg, cost.seconds)


def _segments(outcome: Outcome, split: Split) -> Mapping[str, Mapping[str, pd.DataFrame]]:
    context = split.nights.test
    history = context.interactions
    labels = {"active days before": segments.activity(history)}
    if "department" in context.item_features:
        department = context.item_features["department"]
        labels["department of most purchases"] = segments.favourite(history, department)
    for name in SEGMENT_ATTRIBUTES:
        if name in context.user_attributes:
            labels[name] = context.user_attributes[name].to_numpy(dtype=object)
    return {
        list_name: {kind: by_segment(outcome.test[list_name], of) for kind, of in labels.items()}
        for list_name in PERSONAL_LISTS
    }


def _write_lists(folder: Path, cut: Cut, method: str, outcome: Outcome, split: Split) -> None:
    events = split.nights.interactions
    for protocol in PROTOCOLS:
        users = events.user_ids[split.test[protocol].users]
        table = list_rows(users, outcome.lists[protocol], events.item_ids)
        with replacing(folder / f"{cut.start}_{protocol}_{method}.parquet") as new:
            pq.write_table(table, new)


def list_rows(users: Ids, item: Indices, item_ids: Ids) -> pa.Table:
    """Lists (users x n) as rows ``user_id``, ``item_id``, ``rank`` from 1, without empty places."""
    row, place = np.nonzero(item != UNKNOWN)
    return pa.table(
        {
            "user_id": pa.array(users[row], pa.string()),
            "item_id": pa.array(item_ids[item[row, place]], pa.string()),
            "rank": pa.array(place + 1, pa.int32()),
        }
    )
