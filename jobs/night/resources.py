"""What a piece of work costs: seconds and, on Linux, the highest resident memory meanwhile."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RESET_PEAK: Final = Path("/proc/self/clear_refs")
STATUS: Final = Path("/proc/self/status")
KIB_PER_MIB: Final = 1024


@dataclass(slots=True)
class Cost:
    """``peak_mib`` is of the whole process, with what it held before; ``None`` if unknown."""

    seconds: float = 0.0
    peak_mib: float | None = None


@contextmanager
def measured() -> Iterator[Cost]:
    """The cost of the body, filled in at its end.

    The kernel keeps the peak (``VmHWM``, see proc(5)), native memory included; it starts anew
    here, so that bodies must not be nested.
    """
    cost = Cost()
    with suppress(OSError):
        RESET_PEAK.write_text("5")
    started = time.perf_counter()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - started
        cost.peak_mib = _peak_mib()


def _peak_mib() -> float | None:
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    peak = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return None if peak is None else int(peak) / KIB_PER_MIB
