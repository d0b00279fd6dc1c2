"""The gate of the server: a request that is too large, too slow or one too many goes no further."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from video_gc.serve.limits import Limits
from video_gc.serve.service import Service

RETRY = 5
"""Seconds after which a refused client may try again."""
LOCAL = ("127.0.0.1", "localhost", "::1")
"""The names of this machine for itself."""
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
        ):
            yield GaugeMetricFamily(f"video_gc_{name}", meaning, value)


class Gate:
    """Limits of POST requests. Sets `request.state.deadline`, of `time.monotonic`.

    local: 400 for a request that calls this machine by another name than `LOCAL`: a page from
        elsewhere in a browser here could otherwise reach the server by a name of its own.
    413 for a body of more than `max_mb`, whether its length is announced or not; 408 for one that
    is not complete after `timeout`; 503 with Retry-After if `queue` requests are inside.
    """

    def __init__(
        self, app: ASGIApp, limits: Limits, inside: Inside, metrics: Metrics, *, local: bool
    ) -> None:
        self.app, self.limits, self.inside, self.metrics = app, limits, inside, metrics
        self.local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Of ASGI."""
        if scope["type"] == "http" and self.local and not _is_local(Headers(scope=scope)):
            detail = f"the host of the request must be {' or '.join(LOCAL[:2])}, as in the address"
            return await JSONResponse({"detail": detail}, 400)(scope, receive, send)
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        started, status = time.monotonic(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                return await refusal(scope, receive, watched)
            self.inside.count += 1
            try:
                deadline = started + self.limits.timeout
                scope.setdefault("state", {})["deadline"] = deadline
                await self.app(scope, self._limited(receive, deadline), watched)
            finally:
                self.inside.count -= 1
        finally:
            self.metrics.answered(status, time.monotonic() - started)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > self.limits.max_bytes:
            return JSONResponse({"detail": self._too_large}, 413)
        if self.inside.count >= self.limits.queue:
            detail = f"{self.limits.queue} requests are in work or waiting; try again in {RETRY} s"
            return JSONResponse({"detail": detail}, 503, {"Retry-After": str(RETRY)})
        return None

    @property
    def _too_large(self) -> str:
        return (
            f"the request is larger than {self.limits.max_mb:g} MiB (--max-mb); send a smaller or "
            "shorter video"
        )

    def _limited(self, receive: Receive, deadline: float) -> Receive:
        """`receive`, until the body is complete, within the limits."""
        size, complete = 0, False

        async def limited() -> Message:
            nonlocal size, complete
            if complete:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), deadline - time.monotonic())
            except TimeoutError:
                detail = f"the request was not complete after {self.limits.timeout:g} s (--timeout)"
                raise HTTPException(408, f"{detail}; send a smaller video") from None
            size += len(message.get("body", b""))
            if size > self.limits.max_bytes:
                raise HTTPException(413, self._too_large)
            complete = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        return limited


def _is_local(headers: Headers) -> bool:
    with suppress(ValueError):  # it is no host
        return urlsplit(f"//{headers.get('host', '')}").hostname in LOCAL
    return False
