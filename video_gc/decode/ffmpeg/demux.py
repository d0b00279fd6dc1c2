"""The packets of one stream: one door to PyAV's demuxer."""

from collections.abc import Iterator
from typing import Any


def stream_packets(container: Any, stream: Any) -> Iterator[Any]:
    """The packets of `stream` from where the container stands, without empty ones.

    Raises what FFmpeg raises.
    """
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except IndexError:
        # At the end PyAV flushes each stream that it was asked for, and looks that up in an array
        # made at the beginning: where a stream was found later, it reads behind the array, and may
        # ask for a stream that its list lacks. Every packet has been given by then.
        return
