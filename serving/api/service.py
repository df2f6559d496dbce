"""What the routes work with, made once a process: lists, events, keys, figures."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time
from typing import Final

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
        self.journal: Journal
        self._comparisons: Comparisons
        # The journal has one owner.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        # One comparison at a time, as each takes a processor for seconds.
        self._comparer = ThreadPoolExecutor(1, thread_name_prefix="comparer")
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open store and journal, and look at the release that serves."""
        settings = self.settings
        store = open_store(settings.store, settings.shop, answer_seconds=ANSWER_SECONDS)
        self.shelves = Shelves(store, deadline_seconds=settings.deadline_seconds)
        self._comparisons = Comparisons(store)
        loop = asyncio.get_running_loop()
        self.journal = await loop.run_in_executor(self._writer, Journal, settings.feedback)
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
        await asyncio.get_running_loop().run_in_executor(self._writer, self.journal.close)
        self._writer.shutdown()

    async def receive(self, events: Sequence[Event]) -> Receipt:
        """Keep events; they are on the disk when this returns."""
        loop = asyncio.get_running_loop()
        receipt = await loop.run_in_executor(self._writer, self.journal.append, events)
        now = datetime.now(UTC)
        self.metrics.received(
            (event.event_type for event in events),
            receipt.duplicates,
            ((now - event.event_time).total_seconds() for event in events),
        )
        return receipt

    def hidden(self, found: Found, user: str | None, excluded: Sequence[str]) -> frozenset[bytes]:
        """The items not to show: denied, dismissed or just bought, and those of the request."""
        own = self.journal.hidden(user, night(found.release)) if user is not None else frozenset()
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
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._writer, self.journal.recover)
            await loop.run_in_executor(self._writer, self.journal.close_day)
        except TopshelfError as error:
            logger.warning("%s", error)  # Tried again; lists are served meanwhile.
