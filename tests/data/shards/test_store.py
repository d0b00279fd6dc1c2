"""Ranges of files elsewhere: what is kept of them, and what a server's answers mean."""

import http.server
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from video_gc.data.shards import store
from video_gc.data.shards.store import StoreError, fetch_file, file_version, read_range

pytest.importorskip("aiohttp")
pytest.importorskip("diskcache")


class Shelf(http.server.BaseHTTPRequestHandler):
    """One file, whole or a range of it; `answers` are given first."""

    content, tag, asked = b"", "1", list[str]()
    answers: list[int] = []  # noqa: RUF012

    def do_GET(self) -> None:
        Shelf.asked.append(self.command)
        if self.answers:
            self.send_error(self.answers.pop(0))
            return
        start, _, end = self.headers.get("Range", "bytes=0-999999")[6:].partition("-")
        part = self.content[int(start) : int(end) + 1]
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", self.tag)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(part)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the file's folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(store, "PAUSES", (0.01,) * 3)
    Shelf.content, Shelf.tag = b"AAAABBBB", "1"
    Shelf.answers.clear()
    forget()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shelf) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
    forget()


def forget() -> None:
    """As a new process."""
    for kept in (store._system, store._version, store.Kept.of_process):
        kept.cache_clear()


def test_a_range_is_kept_until_its_file_changes(root: str) -> None:
    assert read_range(root, "a.tar", 0, 4) == b"AAAA"
    Shelf.content = b"CCCCBBBB"
    assert read_range(root, "a.tar", 0, 4) == b"AAAA"  # the tag is the same
    Shelf.tag = "2"
    before = file_version(root, "a.tar")
    forget()
    assert read_range(root, "a.tar", 0, 4) == b"CCCC"
    Shelf.tag = "3"
    assert file_version(root, "a.tar") != before


def test_a_cache_that_fails_costs_time_alone(
    root: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import diskcache

    def locked(*_: Any, **__: Any) -> None:
        raise sqlite3.OperationalError("database is locked")

    for name in ("get", "set"):
        monkeypatch.setattr(diskcache.Cache, name, locked)
    assert [read_range(root, "a.tar", 4, 4) for _ in range(2)] == [b"BBBB"] * 2
    assert capsys.readouterr().err.count("nothing is kept (database is locked)") == 1


def test_a_limit_that_is_no_number_is_named(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(store.CACHE_GB, "20GB")
    with pytest.raises(StoreError, match=r"VIDEO_GC_CACHE_GB \('20GB'\) must be a number, of GB"):
        read_range(root, "a.tar", 0, 4)


@pytest.mark.parametrize(("status", "requests"), [(429, 3), (503, 3), (404, 1)])
def test_what_passes_is_asked_again(root: str, status: int, requests: int) -> None:
    Shelf.asked.clear()
    Shelf.answers[:] = [status] * 2
    if requests == 1:
        with pytest.raises(StoreError, match=r"cannot be read"):
            fetch_file(root, "a.tar")
    else:
        assert fetch_file(root, "a.tar") == b"AAAABBBB"
    assert len(Shelf.asked) == requests
