"""A client of the server; test files that import it are skipped without the extra."""

import time
from collections.abc import Callable

import pytest

from video_gc.serve.limits import NEEDED

for library in NEEDED["serve"]:
    pytest.importorskip(library, reason='an extra: pip install "video_gc[serve]"')

import httpx2  # noqa: E402 - it may be missing

Served = Callable[..., str]
"""Limits → the address of a server with them."""
HOSTILE = '<img src=x onerror=alert(1)>"\u202e'
"""A name that a page must not read as markup."""


def client() -> httpx2.Client:
    return httpx2.Client(timeout=60, trust_env=False)


def post(address: str, content: bytes, name: str = "v.mp4", **query: object) -> httpx2.Response:
    with client() as own:
        return own.post(f"{address}/predict", files={"file": (name, content)}, params=query)


def get(url: str) -> httpx2.Response:
    with client() as own:
        return own.get(url)


def until(true: Callable[[], bool]) -> None:
    """Wait for it, at most a minute."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
