"""FFmpeg's decoder of one stream, packet by packet, with the damage that it finds."""

import re
import zlib
from typing import Any

import av

from video_gc.decode.ffmpeg.container import error_text
from video_gc.decode.frame_table.h264 import FrameNumbers
from video_gc.decode.losses.loss import Losses

SKIPS = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"})
"""Decoders that can skip single pictures that no other picture refers to; libdav1d cannot."""

CHECKS = dict.fromkeys(("mjpeg", "png", "apng"), "crccheck+explode")
CHECKS |= dict.fromkeys(("msmpeg4v1", "msmpeg4v2", "msmpeg4", "wmv1", "wmv2"), "bitstream+buffer")
"""Decoder → FFmpeg's `err_detect`. More flags call sound files damaged, or find nothing."""
HASHES = re.compile(rb"\x50\x01\x84[\x11\x31]\x00")
"""first bytes of an HEVC unit with an MD5 of the picture (ITU-T H.265, D.2.19)"""


class PacketDecoder:
    """Packets in, frames out.

    threads: frames decoded at a time. losses: of the file of the packets.
    """

    def __init__(self, context: Any, threads: int, losses: Losses) -> None:
        self.context, self.losses = context, losses
        context.copy_opaque = True  # links a frame to its packet
        context.thread_count = threads
        # threads per slice do not help, x264 writes one per picture; per frame they do from 720p
        context.thread_type = "FRAME" if threads > 1 else "NONE"
        self.name: str = context.codec.canonical_name
        self._skips = context.name in SKIPS
        sliced = context.name == "ffv1" and context.extradata  # version 3 or later
        self._slices = Slices() if sliced else None
        h264 = context.name == "h264"
        self._numbers = FrameNumbers(context.extradata) if h264 else None
        self._key: int | None = None

    def anew(self, context: Any) -> "PacketDecoder":
        """The same with a fresh decoder."""
        return PacketDecoder(context, self.context.thread_count, self.losses)

    def restart(self) -> None:
        """The next packet is a start of decoding."""
        self.context.flush_buffers()
        if self._numbers:
            self._numbers.restart()

    def decode(self, packet: Any, *, wanted: bool = True) -> tuple[list[Any], str | None]:
        """The frames that come out when a packet goes in, and their damage.

        packet: None after the last one, for the frames still inside.
        wanted: False if its frame is not needed: it is skipped if no other refers to it.
        """
        if not self.context.is_open and packet is not None:
            self.context.options = {**self.context.options, **self._checks(packet)}
        if self._skips and packet is not None:
            # while skipping is on, FFmpeg reports no undecodable H.264 picture
            needed = self._numbers and self._numbers.is_reference(memoryview(packet))
            self.context.skip_frame = "DEFAULT" if wanted or needed else "NONREF"
        try:
            frames, cause = self.context.decode(packet), None
        except (av.FFmpegError, ValueError) as error:
            frames, cause = [], error_text(error)
        return frames, cause or self._problem(packet)

    def _checks(self, first: Any) -> dict[str, str]:
        """Set the decoder's damage checks, as its first packet allows."""
        flags = CHECKS.get(self.context.name)
        if self.context.name == "hevc" and HASHES.search(memoryview(first)):
            flags = "crccheck+explode"
        return {"err_detect": flags} if flags else {}

    def _problem(self, packet: Any) -> str | None:
        if packet is None:
            return None
        if packet.is_corrupt and not self.losses.counted:
            return "it is cut short"
        if cause := self.losses.hit(packet.pos):
            return cause
        if self._slices and self._slices.are_damaged(bytes(packet)):
            return "the checksum of a slice is wrong"
        if self._numbers and self._lacks_a_picture(packet, self._numbers):
            return "a picture before it is missing"
        return None

    def _lacks_a_picture(self, packet: Any, numbers: FrameNumbers) -> bool:
        gap = numbers.follows_a_gap(memoryview(packet))
        if packet.is_keyframe:
            self._key = packet.pts
        early = None not in (packet.pts, self._key) and packet.pts < self._key
        return gap or (numbers.trimmed and early)


SIZE, BEHIND = 3, 8
"""bytes after a slice: its size, and optionally status and CRC"""
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""zlib counts bits from the right, FFV1 from the left"""
CLEAN = 0xFFFFFFFF
"""zlib's value for remainder 0, started with 0"""


class Slices:
    """Finds damaged pictures of an FFV1 stream by the checksums of its slices; FFmpeg's decoder
    compares them but does not report them (RFC 9043, 4.9).

    A picture ends with its last slice, and each slice with its size, in version 3 usually also with
    a status byte and a CRC over all of it, which leaves 0.

    Damage is reported only after one slice was right: a stream need not have checksums, and those
    of version 4 differ.
    """

    def __init__(self) -> None:
        self._checked = False

    def are_damaged(self, picture: bytes) -> bool:
        """Whether the picture cannot be as written."""
        right = [zlib.crc32(part.translate(MIRRORED), CLEAN) == CLEAN for part in _parts(picture)]
        self._checked |= any(right)
        return self._checked and not (right and all(right))


def _parts(picture: bytes) -> list[bytes]:
    """Its slices, each with the bytes after it; empty if they do not fill the picture."""
    found, end = list[bytes](), len(picture)
    while end > 0:
        place = end - BEHIND
        start = place - int.from_bytes(picture[max(place, 0) : place + SIZE], "big")
        if not 0 <= start < place:
            return []
        found.append(picture[start:end])
        end = start
    return found
