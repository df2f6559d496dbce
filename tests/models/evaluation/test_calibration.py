import numpy as np
import pandas as pd
import pytest

from models.evaluation.calibration import calibration_curve, expected_calibration_error


def test_pairs_are_grouped_by_probability() -> None:
    predicted = np.array([0.9, 0.1, 0.3, 0.7])
    happened = np.array([True, False, True, False])
    pd.testing.assert_frame_equal(
        calibration_curve(predicted, happened, bins=2),
        pd.DataFrame(
            {"bin": [1, 2], "pairs": [2, 2], "predicted": [0.2, 0.8], "happened": [0.5, 0.5]}
        ),
    )


def test_the_error_weighs_groups_by_their_pairs() -> None:
    curve = pd.DataFrame(
        {"bin": [1, 2], "pairs": [3, 1], "predicted": [0.2, 0.8], "happened": [0.4, 0.4]}
    )
    assert expected_calibration_error(curve) == pytest.approx((3 * 0.2 + 1 * 0.4) / 4)


def test_fewer_pairs_than_groups_are_a_group_each() -> None:
    curve = calibration_curve(np.array([0.5]), np.array([True]))
    assert curve["pairs"].tolist() == [1]
    assert expected_calibration_error(curve) == 0.5


def test_nothing_predicted_has_no_error() -> None:
    curve = calibration_curve(np.array([]), np.array([], dtype=bool))
    assert curve.empty
    assert np.isnan(expected_calibration_error(curve))


def test_what_is_no_probability_is_an_error() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        calibration_curve(np.array([1.2]), np.array([True]))
