"""What the interface and the page refuse: requests from elsewhere, and bodies beyond the limits."""

import asyncio
import time
from contextlib import suppress
from urllib.parse import urlsplit

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from video_gc.serve.limits import Limits

LOCAL = ("127.0.0.1", "localhost", "::1")
"""The names of this machine for itself."""


class Guard:
    """Middleware of ASGI.

    local: 400 for a request that calls this machine by another name than `LOCAL`, 403 for one from
        a page of another host: a page from elsewhere in a browser here could otherwise reach the
        server by a name of its own, or send it a form.
    413 for the body of a POST request of more than `max_mb` and `spare` bytes, whether its length
    is announced or not; 408 for one that is not complete by the deadline in its state, or else
    after `timeout`.
    """

    def __init__(self, app: ASGIApp, limits: Limits, *, local: bool, spare: int = 0) -> None:
        self.app, self.limits, self.local = app, limits, local
        self.max_bytes = limits.max_bytes + spare

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Of ASGI."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            refusal = self._refusal(headers)
            if refusal is not None:
                return await refusal(scope, receive, send)
            if scope["method"] == "POST":
                late = time.monotonic() + self.limits.timeout
                receive = self._limited(receive, scope.get("state", {}).get("deadline", late))
        await self.app(scope, receive, send)

    def _refusal(self, headers: Headers) -> JSONResponse | None:
        if self.local and not _is_local(f"//{headers.get('host', '')}"):
            detail = f"the host of the request must be {' or '.join(LOCAL[:2])}, as in the address"
            return JSONResponse({"detail": detail}, 400)
        if self.local and not _is_local(headers.get("origin", f"//{LOCAL[0]}")):
            detail = "the request comes from a page of another host; send it from this machine"
            return JSONResponse({"detail": detail}, 403)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self.max_bytes:
            return JSONResponse({"detail": self._too_large}, 413)
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
            if size > self.max_bytes:
                raise HTTPException(413, self._too_large)
            complete = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        return limited


def _is_local(address: str) -> bool:
    with suppress(ValueError):  # it is no address
        return urlsplit(address).hostname in LOCAL
    return False
