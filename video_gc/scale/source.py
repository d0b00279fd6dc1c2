"""A listed file, opened in the decoder's process: from a disk, or from where fsspec reads."""

from collections.abc import Iterator

import fsspec
import numpy as np

from video_gc.decode.reader import DecodeError, decode_error
from video_gc.deploy.contract import Contract
from video_gc.predict.decoders import ReadLimits, Windows, read_windows
from video_gc.subprocess_call import heartbeat

CHUNK = 1 << 20
"""Bytes between two signs of life."""


class TooManyBytesError(DecodeError):
    """A file elsewhere has more bytes than are accepted."""


def read_listed(
    source: str, contract: Contract, limits: ReadLimits, overlap: float, max_mb: float
) -> Iterator[Windows | np.ndarray | int]:
    """As `read_windows`, for a path or an address.

    max_mb: largest file of an address, in MiB; it is read whole, into memory.
    Raises as `read_windows`, and TooManyBytesError.
    """
    if "://" not in source:
        yield from read_windows(source, contract, limits, overlap)
        return
    try:
        content = fetch(source, max_mb)
    except Exception as error:  # of any file system
        raise decode_error(source, error) from error
    yield from read_windows(content, contract, limits, overlap)


def fetch(address: str, max_mb: float) -> bytes:
    """The bytes at an address. Raises TooManyBytesError, and what its file system raises."""
    content, most = bytearray(), int(max_mb * (1 << 20))
    with fsspec.open(address, "rb", block_size=CHUNK, cache_type="readahead") as stream:
        while chunk := stream.read(CHUNK):
            heartbeat()
            content += chunk
            if len(content) > most:
                raise TooManyBytesError(
                    address, f"the file is larger than {max_mb:g} MiB (--max-mb)"
                )
    return bytes(content)
