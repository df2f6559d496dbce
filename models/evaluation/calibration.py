"""Do predicted probabilities come true? Calibration curve and expected calibration error."""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BINS: Final = 10


def calibration_curve(
    predicted: NDArray[np.float64], happened: NDArray[np.bool_], bins: int = BINS
) -> pd.DataFrame:
    """The predictions in ``bins`` equally large groups by probability, the lowest first.

    Columns ``bin`` (from 1), ``pairs``, ``predicted`` (mean probability) and ``happened`` (share
    that came true). Groups without a prediction are left out. Raises ``ValueError`` for a
    prediction that is no probability.
    """
    if not ((predicted >= 0) & (predicted <= 1)).all():
        raise ValueError("predictions have to lie between 0 and 1")
    order = np.argsort(predicted, kind="stable")
    groups = [group for group in np.array_split(order, bins) if len(group)]
    return pd.DataFrame(
        {
            "bin": range(1, len(groups) + 1),
            "pairs": [len(group) for group in groups],
            "predicted": [float(predicted[group].mean()) for group in groups],
            "happened": [float(happened[group].mean()) for group in groups],
        }
    ).astype({"bin": int, "pairs": int, "predicted": float, "happened": float})


def expected_calibration_error(curve: pd.DataFrame) -> float:
    """Mean distance of what was predicted from what happened (Naeini et al. 2015).

    ``curve`` is that of ``calibration_curve``, each group weighted by its pairs; NaN without rows.
    """
    distance = (curve["predicted"] - curve["happened"]).abs()
    pairs = curve["pairs"].sum()
    return float((distance * curve["pairs"]).sum() / pairs) if pairs else float("nan")
