"""What was made last, kept by what it depends on, so that fits that share it make it once."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Memory(Generic[T]):
    """The values last asked for, at most ``size`` of them, by their keys; safe in threads.

    A key has to say all that its value depends on, and nobody may change a value.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[str, T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: str, make: Callable[[], T]) -> T:
        """The value of ``key``; who asks for it while it is being made waits."""
        with self._lock:
            if key not in self._values:
                self._values[key] = make()
                while len(self._values) > self._size:
                    self._values.popitem(last=False)
            self._values.move_to_end(key)
            return self._values[key]
