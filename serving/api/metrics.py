"""What Prometheus scrapes: answers, latency, degradation, denials, events, the release's age."""

import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from serving.api.settings import SHARED_FIGURES

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Metrics:
    """The figures of one process."""

    def __init__(self) -> None:
        """Make the figures; each process of a server with several writes to a shared folder."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "topshelf_requests",
            "Answers by surface, tier, degradation and status.",
            ("surface", "tier", "degraded", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "topshelf_request_seconds",
            "From the request's head to the answer's last byte.",
            ("surface",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._denied = Counter(
            "topshelf_denied_requests",
            "Requests that were kept out, by why.",
            ("reason",),
            registry=self._registry,
        )
        self._events = Counter(
            "topshelf_events",
            "Events that were put on the disk for the first time, by type.",
            ("type",),
            registry=self._registry,
        )
        self._duplicates = Counter(
            "topshelf_duplicate_events",
            "Events that were there before.",
            registry=self._registry,
        )
        self._lag = Histogram(
            "topshelf_event_lag_seconds",
            "From when an event happened, as its client says, to when it was received.",
            buckets=(1, 10, 60, 600, 3600, 86400),
            registry=self._registry,
        )
        self._night = Gauge(
            "topshelf_release_night_seconds",
            "The night of the release that serves, as a Unix time; its age is `time()` less this.",
            multiprocess_mode="mostrecent",
            registry=self._registry,
        )
        self._breaker = Gauge(
            "topshelf_breaker_open",
            "1 while the store is left alone after failures.",
            multiprocess_mode="mostrecent",
            registry=self._registry,
        )
        self._children: dict[tuple[str, str, str, int], Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    def answered(self, surface: str, tier: str, degraded: str, status: int, seconds: float) -> None:
        """Count an answer."""
        labels = (surface, tier, degraded, status)
        counter = self._children.get(labels)
        if counter is None:
            counter = self._children[labels] = self._requests.labels(*map(str, labels))
        counter.inc()
        histogram = self._histograms.get(surface)
        if histogram is None:
            histogram = self._histograms[surface] = self._seconds.labels(surface)
        histogram.observe(seconds)

    def kept_out(self, reason: str) -> None:
        """Count a request without the right to what it asks."""
        self._denied.labels(reason).inc()

    def received(self, kinds: Iterable[str], duplicates: int, lags: Iterable[float]) -> None:
        """Count events: the types and lags of those that are new, and how many others came."""
        for kind in kinds:
            self._events.labels(kind).inc()
        for lag in lags:
            self._lag.observe(max(lag, 0.0))
        self._duplicates.inc(duplicates)

    def stands(self, night: datetime | None, *, breaker_open: bool) -> None:
        """Note the state of the store."""
        if night is not None:
            self._night.set(night.timestamp())
        self._breaker.set(breaker_open)

    def answers(self) -> list[tuple[Mapping[str, str], int]]:
        """How many answers all processes of this server gave, by ``topshelf_requests``' labels."""
        return [
            (sample.labels, int(sample.value))
            for family in self._together().collect()
            if family.name == "topshelf_requests"
            for sample in family.samples
            if sample.name == "topshelf_requests_total"
        ]

    def page(self) -> bytes:
        """The figures of all processes of this server."""
        return generate_latest(self._together())

    def _together(self) -> CollectorRegistry:
        if SHARED_FIGURES not in os.environ:
            return self._registry
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return together
