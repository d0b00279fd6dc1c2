"""The gate of the server: requests are counted, and one too many goes no further."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from video_gc.serve.limits import Limits
from video_gc.serve.service import Service

RETRY = 5
"""Seconds after which a refused client may try again."""
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Of the histogram of latencies, in seconds."""


@dataclass
class Inside:
    """The requests that are being answered."""

    count: int = 0


class Metrics:
    """What `GET /metrics` tells, in a registry of its own."""

    def __init__(self, service: Service, inside: Inside) -> None:
        self.service, self.inside, self.registry = service, inside, CollectorRegistry()
        self.requests = Counter(
            "video_gc_requests", "POST requests, by status", ["status"], registry=self.registry
        )
        self.latency = Histogram(
            "video_gc_request_seconds",
            "seconds of a POST request",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.registry.register(self)

    def answered(self, status: int, seconds: float) -> None:
        """Count a request."""
        self.requests.labels(status).inc()
        self.latency.observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """The registry calls this for the values of the moment."""
        batches = self.service.batches
        yield CounterMetricFamily("video_gc_windows", "windows scored", batches.scored)
        yield CounterMetricFamily("video_gc_batches", "calls of the network", batches.calls)
        for name, meaning, value in (
            ("requests_inside", "requests accepted and not yet answered", self.inside.count),
            ("windows_waiting", "windows that wait for the network", batches.waiting),
            ("decoders", "processes that can decode", self.service.decoders.alive),
        ):
            yield GaugeMetricFamily(f"video_gc_{name}", meaning, value)


class Gate:
    """Counts POST requests. Sets `request.state.deadline`, of `time.monotonic`.

    503 with Retry-After if `queue` requests are inside.
    """

    def __init__(self, app: ASGIApp, limits: Limits, inside: Inside, metrics: Metrics) -> None:
        self.app, self.limits, self.inside, self.metrics = app, limits, inside, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Of ASGI."""
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        started, status = time.monotonic(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if self.inside.count >= self.limits.queue:
                return await self._full(scope, receive, watched)
            self.inside.count += 1
            try:
                scope.setdefault("state", {})["deadline"] = started + self.limits.timeout
                await self.app(scope, receive, watched)
            finally:
                self.inside.count -= 1
        finally:
            self.metrics.answered(status, time.monotonic() - started)

    @property
    def _full(self) -> JSONResponse:
        detail = f"{self.limits.queue} requests are in work or waiting; try again in {RETRY} s"
        return JSONResponse({"detail": detail}, 503, {"Retry-After": str(RETRY)})
