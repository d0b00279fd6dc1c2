"""Ranges of files on a disk or elsewhere, with retries and a bounded cache on this machine.

The cache is diskcache's: several processes may use it, the least recently used ranges go first, and
a killed process leaves it sound. Credentials come from the environment, as the library of each
storage expects them.
"""

import os
import re
import sqlite3
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from video_gc.extras import install_line, need
from video_gc.progress import say
from video_gc.shipped import cache_folder

PROTOCOLS = ("file", "http", "https", "s3", "gs", "gcs", "az", "abfs", "hdfs", "sftp", "hf")
"""Of addresses that are read."""
PROTOCOL = "[A-Za-z][A-Za-z0-9+.-]*"
"""What stands before the :// of an address."""
ADDRESS = re.compile(f"{PROTOCOL}://")
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each further attempt."""
LONG = 2.0
"""Seconds of a pause that is said."""
FINAL = (FileNotFoundError, PermissionError, NotImplementedError, ValueError)
"""Errors that another attempt does not change."""
BUSY = (408, 425, 429)
"""Answers of HTTP below 500 that pass."""
VERSIONS = ("ETag", "Content-MD5", "Digest", "Last-Modified", "size")
"""What an HTTP server may say of a file that changes with it."""
CACHE_GB = "VIDEO_GC_CACHE_GB"
"""Variable of the environment: most GB of the cache (20); 0: none."""


class StoreError(Exception):
    """The place of the shards cannot be read: no fault of a video, so it ends the run."""


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether it is an address, such as s3://bucket/kinetics, and no path."""
    return ADDRESS.match(os.fspath(path)) is not None


def check_address(address: str) -> None:
    """Raise ValueError for an address of another kind than `PROTOCOLS`, or a chain of several.

    fsspec also knows some that read other files, or put the environment into their requests.
    """
    if address.split("://")[0].lower() not in PROTOCOLS:
        raise ValueError(f"no address that is read; valid: {', '.join(PROTOCOLS)}")
    if "::" in address:
        raise ValueError("a chain of addresses (::) is not read")


def read_range(root: str, name: str, offset: int, size: int) -> bytes:
    """Some bytes of the file `name` in a folder or at an address. Raises StoreError."""
    if not is_address(root):
        return _read_here(os.path.join(root, name), offset, size)
    kept = Kept.of_process(os.getpid())
    key = f"{root}/{name}@{_version(root, name, os.getpid())}:{offset}+{size}" if kept else ""
    found = kept.get(key) if kept else None
    if found is None or len(found) != size:
        found = _fetched(root, name, offset, offset + size)
        if len(found) != size:
            raise StoreError(
                f"{root}/{name}: ends before byte {offset + size}; it is not the shard of this "
                "index: upload both again"
            )
        if kept:
            kept.set(key, found)
    return found


def fetch_file(root: str, name: str) -> bytes:
    """A whole file at an address. Raises StoreError."""
    return _fetched(root, name, None, None)


def file_version(root: str, name: str) -> str:
    """A text that changes when a file at an address does. Raises StoreError."""

    def look(system: Any, path: str) -> str:
        system.invalidate_cache()
        if root.lower().startswith("http"):  # fsspec takes its files for unchanging
            about = system.info(path)
            return str([about.get(name) for name in VERSIONS])
        return str(system.ukey(path))

    return str(_tried(root, name, look))


def _read_here(file: str, offset: int, size: int) -> bytes:
    try:
        with open(file, "rb") as stream:
            stream.seek(offset)
            found = stream.read(size)
    except OSError as error:
        raise StoreError(f"{file}: cannot be read ({error.strerror})") from error
    if len(found) != size:
        raise StoreError(
            f"{file}: ends before byte {offset + size}; it is not the shard of this index: "
            "run video-gc prepare shards again"
        )
    return found


def _fetched(root: str, name: str, start: int | None, end: int | None) -> bytes:
    return bytes(
        _tried(root, name, lambda system, path: system.cat_file(path, start=start, end=end))
    )


def _tried(root: str, name: str, ask: Any) -> Any:
    """`ask(file system, path)`, with growing pauses."""
    error: Exception = StoreError()
    for pause in (*PAUSES, None):
        try:
            system, base = _system(root, os.getpid())
            return ask(system, f"{base}/{name}")
        except ImportError as missing:
            raise ImportError(f"{root}: {missing}; {install_line('shards')}") from missing
        except Exception as met:  # every storage has its own errors
            error = met
            if is_final(error):
                break
        if pause is not None:
            if pause >= LONG:
                say(
                    f"{root}/{name}: {first_line(error)}; asked again in {pause:g} s",
                    style="yellow",
                )
            time.sleep(pause)
    raise StoreError(
        f"{root}/{name}: cannot be read ({first_line(error)}); check the address, and that the "
        "credentials are in the environment; rerun the command to resume"
    ) from error


def is_final(error: Exception) -> bool:
    """Whether another attempt would not help. Of HTTP, "not found" may hide any cause."""
    cause = error.__cause__
    status = getattr(cause, "status", None if cause else 404)
    answer = getattr(cause, "response", None)
    if isinstance(answer, dict):  # of botocore
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    passes = status is None or status >= 500 or status in BUSY
    return isinstance(error, FINAL) and not passes


def first_line(error: Exception) -> str:
    """Of the first error, which knows why; its kind, if it has no text."""
    first = error.__cause__ or error
    return (str(first).strip() or type(first).__name__).splitlines()[0]


@cache
def _system(root: str, process: int) -> tuple[Any, str]:
    """The file system of an address, of this process: connections do not survive a fork."""
    check_address(root)
    import fsspec

    return fsspec.core.url_to_fs(root, skip_instance_cache=True)


@cache
def _version(root: str, name: str, process: int) -> str:
    """Of a shard, once a process: what is kept of a shard that was replaced is not used."""
    return file_version(root, name)


class Kept:
    """The ranges that this machine keeps; a run goes on without it if its disk fails."""

    def __init__(self, limit: float) -> None:
        need("shards", "diskcache", by="data of another place")
        import diskcache

        self._said = False
        self._errors = (OSError, sqlite3.Error, diskcache.Timeout)
        self._cache: Any = self._safely(
            lambda: diskcache.Cache(
                str(cache_folder("shards") / "ranges"),
                size_limit=int(limit * 1e9),
                eviction_policy="least-recently-used",
            )
        )

    @staticmethod
    @cache
    def of_process(process: int) -> "Kept | None":
        """The cache of this process; None if nothing is to be kept.

        Raises StoreError for a limit that is no number, ImportError if the library is missing.
        """
        given = os.environ.get(CACHE_GB, "20")
        try:
            limit = float(given)
        except ValueError:
            raise StoreError(f"{CACHE_GB} ({given!r}) must be a number, of GB") from None
        return Kept(limit) if limit > 0 else None

    def get(self, key: str) -> bytes | None:
        """The bytes of a range, if they are kept."""
        found = None if self._cache is None else self._safely(lambda: self._cache.get(key))
        return found if isinstance(found, bytes) else None

    def set(self, key: str, content: bytes) -> None:
        """Keep the bytes of a range."""
        if self._cache is not None:
            self._safely(lambda: self._cache.set(key, content))

    def _safely(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except self._errors as error:
            if not self._said:
                self._said = True
                say(
                    f"{cache_folder('shards')}: nothing is kept ({first_line(error)})",
                    style="yellow",
                )
            return None
