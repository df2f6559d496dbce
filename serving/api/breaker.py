"""A circuit breaker: who fails again and again is left alone for a while."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

FAILURES: Final = 5
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 10.0


@dataclass(slots=True)
class Breaker:
    """Closed until so many failures in a row; then open, and after each pause lets one call try.

    The pause doubles while the tries fail. Not for several threads.
    """

    failures: int = FAILURES
    first_pause: float = FIRST_PAUSE_SECONDS
    longest_pause: float = LONGEST_PAUSE_SECONDS
    clock: Callable[[], float] = time.monotonic
    _failed: int = 0
    _pause: float = 0.0
    _next_try: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether calls are turned away, but for tries."""
        return self._failed >= self.failures

    def allows(self) -> bool:
        """Whether to call now; while open, true once a pause."""
        if not self.is_open:
            return True
        if self.clock() < self._next_try:
            return False
        self._next_try = self.clock() + self._pause
        return True

    def succeeded(self) -> None:
        """Note a call that ended well."""
        self._failed = 0
        self._pause = 0.0

    def failed(self) -> None:
        """Note a call that failed or took too long."""
        self._failed += 1
        if self.is_open:
            self._pause = min(self._pause * 2 or self.first_pause, self.longest_pause)
            self._next_try = self.clock() + self._pause
