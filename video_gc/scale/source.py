"""A listed file, opened in the decoder's process: from a disk, or from where fsspec reads."""

import re
import time
from collections.abc import Iterator

import fsspec
import numpy as np

from video_gc.data.shards.store import PROTOCOL, check_address, first_line, is_address, is_final
from video_gc.decode.reader import DecodeError
from video_gc.deploy.contract import Contract
from video_gc.predict.decoders import ReadLimits, Windows, read_windows
from video_gc.subprocess_call import heartbeat

CHUNK = 1 << 20
"""Bytes between two signs of life."""
PAUSES = (1, 4)
"""Seconds before each further attempt: a storage may be busy."""
ADDRESSES = re.compile(rf"{PROTOCOL}://[^\s'\")]+")


class TooManyBytesError(DecodeError):
    """A file elsewhere has more bytes than are accepted."""


def read_listed(
    source: str, contract: Contract, limits: ReadLimits, overlap: float, max_mb: float
) -> Iterator[Windows | np.ndarray | int]:
    """As `read_windows`, for a path or an address.

    max_mb: largest file of an address, in MiB; it is read whole, into memory.
    Raises as `read_windows`, and TooManyBytesError.
    """
    if not is_address(source):
        yield from read_windows(source, contract, limits, overlap)
        return
    yield from read_windows(fetch(source, max_mb), contract, limits, overlap)


def fetch(address: str, max_mb: float) -> bytes:
    """The bytes at an address, asked for up to three times.

    Raises DecodeError, without the address, which may hold a password; TooManyBytesError.
    """
    for pause in (*PAUSES, None):
        try:
            return _read(address, max_mb)
        except DecodeError:
            raise
        except Exception as error:  # of any file system
            if pause is None or is_final(error):
                raise DecodeError("the address", _cause(error, address)) from None
            for _ in range(pause):
                heartbeat()
                time.sleep(1)
    raise AssertionError


def _read(address: str, max_mb: float) -> bytes:
    check_address(address)
    system, path = fsspec.core.url_to_fs(address)
    content, most = bytearray(), max_mb * (1 << 20)
    too_large = TooManyBytesError(
        "the address", f"the file is larger than {max_mb:g} MiB (--max-mb)"
    )
    with system.open(path, "rb", block_size=CHUNK) as stream:
        if (getattr(stream, "size", None) or 0) > most:
            raise too_large
        while chunk := stream.read(CHUNK):
            heartbeat()
            content += chunk
            if len(content) > most:
                raise too_large
    return bytes(content)


def _cause(error: Exception, address: str) -> str:
    """An error in a line, without the address, which may have spaces, or others."""
    kind = type(error.__cause__ or error).__name__
    text = first_line(error).replace(address, "the address")
    said = kind if text == kind else f"{kind}: {ADDRESSES.sub('the address', text)}"
    return f"cannot be fetched ({said})"
