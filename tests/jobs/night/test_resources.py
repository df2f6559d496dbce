from pathlib import Path

import numpy as np
import pytest

from jobs.night import resources
from jobs.night.resources import Cost, measured

MIB = 2**20


def peak(cost: Cost) -> float:
    assert cost.peak_mib is not None
    return cost.peak_mib


@pytest.mark.skipif(not resources.RESET_PEAK.exists(), reason="the kernel tells no peak memory")
def test_the_peak_is_of_the_body_alone() -> None:
    with measured() as before:
        pass
    with measured() as heavy:
        np.ones(200 * MIB, dtype=np.uint8)
    with measured() as after:
        pass
    assert peak(heavy) > peak(before) + 190
    assert peak(after) < peak(heavy) - 100


def test_without_the_kernel_s_files_the_peak_is_unknown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(resources, "RESET_PEAK", tmp_path / "none" / "clear_refs")
    monkeypatch.setattr(resources, "STATUS", tmp_path / "status")
    with measured() as cost:
        pass
    assert cost.peak_mib is None
    assert cost.seconds > 0
    (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t    2048 kB\n")
    with measured() as cost:
        pass
    assert cost.peak_mib == 2


def test_a_failing_body_is_measured_too() -> None:
    with pytest.raises(ZeroDivisionError), measured() as cost:
        1 / 0  # noqa: B018
    assert cost.seconds > 0
