"""Starts of decoding, and the number of frames in a packet, read from its first bytes.

A container's key flags and counts may be wrong. The first bytes of a picture say whether decoding
can begin there, and whether the packet is one frame. If a codec is unknown here and its pictures
may refer to each other, frames are decoded and counted from the start of the file.
"""

from collections.abc import Callable, Iterator
from typing import Any

from video_gc.decode.frame_table.h264 import H264Heads
from video_gc.decode.frame_table.h264_picture import reorder_depth
from video_gc.decode.frame_table.hevc import HevcHeads

Found = tuple[bool | None, int | None, int | None]
"""Facts read from a packet.

- Whether decoding can begin at it; None if it is too damaged to tell.
- How many frames it shows: 0, 1, or None if packets and frames may differ from here on: two frames
  in one packet, one in two, dropped ones, or replaced parameters, so that the start of decoding
  matters.
- Its turn, a number that rises in display order; None if the codec has none, or never reorders.
"""


class PacketHeads:
    """Reads the packets of one stream, in their order. context: of PyAV's stream.

    known: whether this codec can be read.
    """

    def __init__(self, context: Any) -> None:
        self._extradata = context.extradata
        self._read = _reader(context)
        self.known = self._read is not None

    def read(self, packet: Any) -> Found:
        """Facts of a PyAV packet."""
        if self._read is None:
            return False, None, None
        if packet.is_keyframe and packet.has_sidedata("new_extradata"):
            new = bytes(packet.get_sidedata("new_extradata"))
            if new and new != self._extradata:
                return False, None, None
        return self._read(memoryview(packet))


def _reader(context: Any) -> Callable[[memoryview], Found] | None:
    extradata, name = context.extradata, context.codec.canonical_name
    if name == "h264":
        return H264Heads(extradata, reorder_depth(context) > 0).read
    if name == "hevc":
        return HevcHeads(extradata).read
    if name == "mpeg4":
        return Mpeg4Heads(extradata).read
    if name in ("mpeg1video", "mpeg2video"):
        return MpegHeads().read
    if name in READERS:
        return READERS[name]
    return _every if context.codec.intra_only else None


class Mpeg4Heads:
    """MPEG-4 part 2 (ISO 14496-2, 6.2.3 and 6.2.5)."""

    def __init__(self, extradata: bytes | None) -> None:
        self._bits: int | None = None
        self._anchors = Anchors()
        self._read_layer(extradata or b"")

    def read(self, packet: memoryview) -> Found:
        """At an I-VOP."""
        data = bytes(packet)
        at = data.find(b"\0\0\1\xb6")
        if at < 0:
            self._anchors.lose()
            return None, 1, None
        self._read_layer(data[:at])
        if data.find(b"\0\0\1\xb6", at + 4) >= 0:  # packed: it also contains a B-VOP
            return False, None, None
        head = int.from_bytes(data[at + 4 : at + 20].ljust(16, b"\0"), "big")
        shown = 1 if self._bits is None else self._is_coded(f"{head:0128b}"[2:], self._bits)
        kind = data[at + 4] >> 6 if at + 4 < len(data) else 1
        return kind == 0, shown, self._anchors.turn(kind == 2) if shown else None

    def _is_coded(self, bits: str, size: int) -> int:
        """vop_coded, after modulo_time_base, vop_time_increment and two markers."""
        place = bits.find("0") + 2 + size + 1
        return int(bits[place : place + 1] != "0")

    def _read_layer(self, data: bytes) -> None:
        """The size of vop_time_increment, from a video object layer."""
        at = data.find(b"\0\0\1")
        while 0 <= at < len(data) - 4 and data[at + 3] >> 4 != 2:
            at = data.find(b"\0\0\1", at + 3)
        if not 0 <= at < len(data) - 4:
            return
        bits = "".join(f"{byte:08b}" for byte in data[at + 4 : at + 40])
        place = 9  # random_accessible_vol, video_object_type_indication
        place += 8 if bits[place : place + 1] == "1" else 1
        place += 20 if bits[place : place + 4] == "1111" else 4  # aspect_ratio_info
        if bits[place : place + 1] == "1":  # vol_control_parameters
            place += 4
            place += 79 if bits[place : place + 1] == "1" else 0  # vbv_parameters
        place += 1 + 2 + 1
        resolution = int(bits[place : place + 16] or "0", 2)
        self._bits = max((resolution - 1).bit_length(), 1)


class MpegHeads:
    """MPEG-1 and -2 (ISO 13818-2, 6.2)."""

    def __init__(self) -> None:
        self._anchors = Anchors()

    def read(self, packet: memoryview) -> Found:
        """Whether it is an I picture after a sequence header."""
        data = bytes(packet)
        at = data.find(b"\0\0\1\0")
        if not 0 <= at < len(data) - 5:
            self._anchors.lose()
            return None, 1, None
        header, kind = data.find(b"\0\0\1\xb3", 0, at) >= 0, data[at + 5] >> 3 & 7
        return header and kind == 1, 1, self._anchors.turn(kind == 3)


class Anchors:
    """Display order: B pictures are shown at once, others when the next non-B picture comes."""

    def __init__(self) -> None:
        self._count = self._between = 0
        self._lost = False

    def lose(self) -> None:
        """A picture is damaged: the place of the next B pictures is unknown."""
        self._lost = True

    def turn(self, between: bool) -> int | None:
        """The turn of the next picture, None after a loss. between: it is a B picture."""
        if between:
            self._between += 1
            return None if self._lost else (self._count - 1 << 32) + self._between
        self._count, self._between, self._lost = self._count + 1, 0, False
        return self._count << 32


def _vp8(packet: memoryview) -> Found:
    """RFC 6386, 9.1."""
    start = not packet[0] & 1 and packet[3:6] == b"\x9d\x01\x2a"
    return start, packet[0] >> 4 & 1, None


def _vp9(packet: memoryview) -> Found:
    """VP9 bitstream specification, 6.2 and annex B."""
    kinds = [_vp9_frame(frame) for frame in _vp9_frames(packet)]
    shown = sum(shows for _, shows in kinds)
    return kinds[0][0], shown if shown < 2 else None, None


def _vp9_frames(packet: memoryview) -> Iterator[memoryview]:
    """The frames of a superframe."""
    last, end = packet[-1], len(packet)
    if last & 0xE0 == 0xC0:
        count, width = (last & 7) + 1, (last >> 3 & 3) + 1
        begin = end - 2 - count * width
        if begin > 0 and packet[begin] == last:
            at = 0
            for number in range(count):
                size = packet[begin + 1 + number * width :][:width]
                length = int.from_bytes(size, "little")
                if not 0 < length <= begin - at:
                    break
                yield packet[at : at + length]
                at += length
            if at:
                return
    yield packet


def _vp9_frame(frame: memoryview) -> tuple[bool | None, int]:
    """Whether it is a key frame, and whether it is shown."""
    bits = f"{frame[0]:08b}"
    place = 5 if bits[2:4] == "11" else 4
    if bits[:2] != "10":
        return None, 1
    if bits[place] == "1":  # show_existing_frame
        return False, 1
    bits += f"{frame[1]:08b}" if len(frame) > 1 else "0"
    return bits[place + 1] == "0", int(bits[place + 2] == "1")


OBU = (1, 2, 3, 4, 5, 6, 7, 8, 15)
"""kinds of AV1 units that are not reserved"""


def _av1(packet: memoryview) -> Found:
    """AV1 bitstream specification, 5.3 to 5.9: at a shown key frame with a sequence header."""
    header, still, kinds = False, False, []
    at = 0
    while at < len(packet):
        kind, extended, sized = packet[at] >> 3 & 15, packet[at] >> 2 & 1, packet[at] >> 1 & 1
        at += 1 + extended
        size = len(packet) - at
        if sized:
            size, at = _leb128(packet, at)
        if size > len(packet) - at or kind not in OBU:  # damaged
            return None, 1, None
        if kind == 1 and size:
            header, still = True, bool(packet[at] >> 3 & 1)
        elif kind in (3, 6) and size:
            kinds.append(packet[at] if not still else 0x10)
        at += size
    if not kinds:
        return False, 0, None
    shown = sum(bool(head & 0x90) for head in kinds)  # show_existing_frame or show_frame
    return header and kinds[0] & 0xF0 == 0x10, shown if shown < 2 else None, None


def _leb128(packet: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place in range(8):
        if at >= len(packet):
            break
        value |= (packet[at] & 127) << 7 * place
        at += 1
        if packet[at - 1] < 128:
            break
    return value, at


def _ffv1(packet: memoryview) -> Found:
    """RFC 9043: keyframe is the first bit of a range coder in its first state."""
    return int.from_bytes(packet[:2], "big") >= 0x7F80, 1, None


def _h263(packet: memoryview) -> Found:
    """ITU-T H.263, 5.1: an INTRA picture in the short form of the header."""
    head = int.from_bytes(bytes(packet[:6]).ljust(6, b"\0"), "big")
    small = head >> 26 == 32 and head >> 10 & 7 < 7
    return small and not head >> 9 & 1, 1, None


def _flv1(packet: memoryview) -> Found:
    """Sorenson's H.263 (SWF file format specification, Video)."""
    bits = "".join(f"{byte:08b}" for byte in packet[:9])
    place = 33 + {"000": 16, "001": 32}.get(bits[30:33], 0)
    return bits[place : place + 2] == "00", 1, None


def _two_bits(packet: memoryview) -> Found:
    """MSMPEG4 v2 and v3, WMV1: the picture's type comes first."""
    return packet[0] < 64, 1, None


def _one_bit(packet: memoryview) -> Found:
    """WMV2: the same in one bit."""
    return packet[0] < 128, 1, None


def _every(_packet: memoryview) -> Found:
    """A codec in which every picture is independent."""
    return True, 1, None


READERS: dict[str, Callable[[memoryview], Found]] = {
    "png": _every,
    "vp8": _vp8,
    "vp9": _vp9,
    "av1": _av1,
    "ffv1": _ffv1,
    "h263": _h263,
    "flv1": _flv1,
    "msmpeg4v2": _two_bits,
    "msmpeg4v3": _two_bits,
    "wmv1": _two_bits,
    "wmv2": _one_bit,
}
