"""What the API is started with; given to each worker's process."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

# The variable that names the folder where a server's processes share their figures.
SHARED_FIGURES: Final = "PROMETHEUS_MULTIPROC_DIR"


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Where the shop's releases, keys, events and what nights did (``runs``) are, and the limits.

    ``deadline_seconds`` is how long an answer waits for the store; ``requests_per_second`` is per
    key, and divided among the ``workers``.
    """

    store: str = field(repr=False)
    shop: str
    keys: Path
    feedback: Path
    runs: Path
    deadline_seconds: float = 0.05
    requests_per_second: float = 500.0
    workers: int = 1
