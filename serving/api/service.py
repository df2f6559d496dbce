"""What the routes work with, made once a process: lists, events, keys, figures."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time
from typing import Final, TypeVar

from lakehouse.errors import TopshelfError
from serving.api.access import Gate
from serving.api.metrics import Metrics
from serving.api.settings import ApiSettings
from serving.api.shelf import ANSWER_SECONDS, Found, Shelves
from serving.comparing import Comparisons
from serving.feedback.events import Event, Receipt
from serving.feedback.journal import Journal
from serving.format.comparison import Comparison
from serving.format.places import item_ids
from serving.format.releases import night
from serving.stores.opening import open_store

Done = TypeVar("Done")

HOUSEKEEPING_SECONDS: Final = 5.0

logger = logging.getLogger(__name__)


class Service:
    """One process's share of the API."""

    def __init__(self, settings: ApiSettings, gate: Gate) -> None:
        """Open nothing yet: ``start`` does, in the process that serves."""
        self.settings = settings
        self.gate = gate
        self.metrics = Metrics()
        self.shelves: Shelves
        # None while the landing folder cannot be written.
        self.journal: Journal | None = None
        self.events_trouble: str | None = None
        self._comparisons: Comparisons
        # The journal has one owner.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        # One comparison at a time, as each takes a processor for seconds.
        self._comparer = ThreadPoolExecutor(1, thread_name_prefix="comparer")
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open store and journal, and look at the release that serves.

        Lists are served without a journal too.
        """
        settings = self.settings
        store = open_store(settings.store, settings.shop, answer_seconds=ANSWER_SECONDS)
        self.shelves = Shelves(store, deadline_seconds=settings.deadline_seconds)
        self._comparisons = Comparisons(store)
        await self._tidy()
        await self.shelves.start()
        self.note()
        self._task = asyncio.create_task(self._keep_house())

    async def stop(self) -> None:
        """Close what ``start`` opened; the next night finds all events."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        # Nobody may read from a store that is closed.
        await asyncio.to_thread(self._comparer.shutdown, cancel_futures=True)
        await self.shelves.stop()
        if self.journal is not None:
            await self._in_writer(self.journal.close)
        self._writer.shutdown()

    async def receive(self, events: Sequence[Event]) -> Receipt:
        """Keep events; they are on the disk when this returns.

        Raises ``DiskFullError``, or another ``InfrastructureError``, with nothing kept.
        """
        fresh = await self._in_writer(self._append, events)
        receipt = Receipt(len(fresh), len(events) - len(fresh))
        now = datetime.now(UTC)
        self.metrics.received(
            (event.event_type for event in fresh),
            receipt.duplicates,
            ((now - event.event_time).total_seconds() for event in fresh),
        )
        return receipt

    def _append(self, events: Sequence[Event]) -> Sequence[Event]:
        """In the journal's thread, which opens it where it could not be opened before."""
        return self._opened().append(events)

    def _opened(self) -> Journal:
        if self.journal is None:
            self.journal = Journal(self.settings.feedback)
        return self.journal

    def hidden(self, found: Found, user: str | None, excluded: Sequence[str]) -> frozenset[bytes]:
        """The items not to show: denied, dismissed or just bought, and those of the request."""
        own: frozenset[str] = frozenset()
        if user is not None and self.journal is not None:
            own = self.journal.hidden(user, night(found.release))
        if not own and not excluded:
            return found.denied
        return found.denied | item_ids({*own, *excluded})

    async def compare(self, before: str, after: str) -> Comparison:
        """What readers get from one release, against another; raises what ``Comparisons`` does."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._comparer, self._comparisons.of, before, after)

    def note(self) -> None:
        """Let the figures say how the store stands."""
        current = self.shelves.pointer.current
        self.metrics.stands(
            None if current is None else datetime.combine(night(current), time(), UTC),
            breaker_open=self.shelves.breaker.is_open,
        )

    async def _keep_house(self) -> None:
        """Close days that have ended, and note how the store stands."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            self.note()
            await self._tidy()

    async def _tidy(self) -> None:
        """Close the events' files of dead processes, and of days that have ended."""
        try:
            await self._in_writer(self._tidy_journal)
            self.events_trouble = None
        except TopshelfError as error:
            # Tried again; lists are served meanwhile.
            if str(error) != self.events_trouble:
                logger.warning("%s", error)
            self.events_trouble = str(error)

    def _tidy_journal(self) -> None:
        journal = self._opened()
        journal.recover()
        journal.close_day()

    async def _in_writer(self, act: Callable[..., Done], *given: object) -> Done:
        """Do something in the one thread that the journal is for."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, act, *given)
