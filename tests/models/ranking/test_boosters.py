"""LightGBM learning and ranking at the same time, which crashes where its threads are left open."""

import subprocess
import sys

import numpy as np
import pandas as pd

from models.ranking.boosters import Booster, binned, learn
from tests.project import ROOT

# Two trainings of the product's own ranker: the one learns while the other ranks.
LEARN_AND_RANK = """
import faulthandler, sys, threading, time
from models.ranking.two_stage import TwoStage
from tests import shop

faulthandler.enable()
context = shop.context()
end = time.monotonic() + float(sys.argv[1])
fits = [0, 0]

def fit(place):
    while time.monotonic() < end:
        TwoStage(label_days=20, nights=2, rounds=20, threads=2).fit(context)
        fits[place] += 1

threads = [threading.Thread(target=fit, args=(place,)) for place in (0, 1)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("both fitted", min(fits) > 0)
"""


def test_rankers_that_learn_and_rank_at_once_for_a_minute_do_not_crash() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEARN_AND_RANK, "60"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "both fitted True\n"), done.stderr


def test_a_booster_scores_by_the_features_that_it_learnt_from_in_any_order() -> None:
    one = np.tile(np.arange(10, dtype=np.float32), 40)
    features = np.column_stack([one, np.zeros_like(one)])
    parameters = {"objective": "binary", "min_data_in_leaf": 1, "num_leaves": 2, "seed": 1}
    examples = binned(
        features,
        names=["one", "none"],
        label=(one >= 5).astype(np.float32),
        group=np.full(40, 10),
        parameters=parameters,
    )
    booster = Booster(learn(examples, parameters, rounds=3))

    rows = pd.DataFrame({"other": [9.0, 9.0], "none": [0.0, 0.0], "one": [4.0, 5.0]})
    below, above = booster.scores(rows)
    assert below < 0 < above
    assert below == -above  # half of the examples lie on each side
    assert booster.gain().to_dict() == {"one": 1.0, "none": 0.0}
