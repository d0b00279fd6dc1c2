"""What the decoder does not tell about an H.264 stream, read from the first bytes of its units.

Containers mark key frames at which decoding cannot begin: a recording with intra-refresh marks
pictures from which the picture is whole only some frames later. And a decoder fills the gap where a
picture is missing without a word. Sections are those of recommendation ITU-T H.264.
"""

from collections.abc import Iterator

SLICE, IDR, SEI, SPS, RECOVERY_POINT = 1, 5, 6, 7, 6
HEAD = 512  # bytes of a unit that are looked at
HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
"""profile_idc whose parameter sets hold the chroma format (7.3.2.1.1)"""


def unit_length_size(extradata: bytes | None) -> int:
    """How many bytes hold a unit's length (avcC, ISO 14496-15), 0 for start codes."""
    if extradata and len(extradata) > 4 and extradata[0] == 1:
        return (extradata[4] & 3) + 1
    return 0


def is_exact_start(packet: bytes | memoryview, length_size: int) -> bool:
    """Whether a packet that is marked as a key frame is one to begin at.

    It is with an IDR picture or a recovery point of 0 frames (D.2.8).
    """
    for unit in _units(packet, length_size):
        kind = unit[0] & 31
        if kind == IDR or (kind == SEI and _recovers_at_once(unit)):
            return True
        if SLICE <= kind < IDR:  # the picture itself: nothing that matters comes after it
            return False
    return False


class FrameNumbers:
    """Notices where a picture is missing that others refer to (frame_num, 7.4.3).

    extradata: of the stream; its parameter sets say how frame numbers are coded. Where they cannot
    be understood, or allow gaps, nothing is noticed.
    """

    def __init__(self, extradata: bytes | None) -> None:
        self._length_size = unit_length_size(extradata)
        self._bits: int | None = None
        self._planes = False
        self._last: int | None = None
        if extradata and self._length_size:
            self._read_parameters(extradata[8:])  # the first set of an avcC record
        elif extradata:
            for unit in _units(extradata, 0):
                if unit[0] & 31 == SPS:
                    self._read_parameters(unit)

    def restart(self) -> None:
        """Decoding begins anew, at a key frame."""
        self._last = None

    def follows_a_gap(self, packet: bytes | memoryview) -> bool:
        """Whether a picture that others refer to is missing between the last packet and this."""
        for unit in _units(packet, self._length_size):
            kind = unit[0] & 31
            if kind == SPS:
                self._read_parameters(unit)
            elif kind in (SLICE, IDR):
                return self._bits is not None and self._check(unit, self._bits)
        return False

    def _check(self, unit: bytes, bits: int) -> bool:
        try:
            reader = _Bits(unit[1:32])
            for _ in range(3):  # first_mb_in_slice, slice_type, pic_parameter_set_id
                reader.exponential()
            if self._planes:
                reader.take(2)
            number = reader.take(bits)
        except IndexError:
            return False
        last, size = self._last, 1 << bits
        if unit[0] >> 5 & 3 or last is None:  # nal_ref_idc: later ones may refer to it
            self._last = number
        # 0 and 1 also follow a picture that resets the count (memory management operation 5)
        return last is not None and number not in (last, (last + 1) % size, 0, 1)

    def _read_parameters(self, unit: bytes) -> None:
        self._bits = None
        try:
            reader = _Bits(unit[1:])
            profile = reader.take(8)
            reader.take(16)
            reader.exponential()
            self._planes = False
            if profile in HIGH_PROFILES:
                self._planes = reader.exponential() == 3 and bool(reader.take(1))
                reader.exponential(), reader.exponential(), reader.take(1)
                if reader.take(1):  # scaling lists
                    return
            bits = reader.exponential() + 4
            order = reader.exponential()
            if order == 0:
                reader.exponential()
            elif order == 1:
                return
            reader.exponential()
            if bits <= 16 and not reader.take(1):  # gaps_in_frame_num_value_allowed_flag
                self._bits = bits
        except IndexError:
            return


class _Bits:
    """Bits from the left, Exp-Golomb codes too (9.1). Raises IndexError at the end."""

    def __init__(self, coded: bytes) -> None:
        coded = coded.replace(b"\0\0\3", b"\0\0") if b"\0\0\3" in coded else coded
        self._value, self._left = int.from_bytes(coded, "big"), 8 * len(coded)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise IndexError
        taken = self._value >> self._left
        self._value &= (1 << self._left) - 1
        return taken

    def exponential(self) -> int:
        zeros = self._left - self._value.bit_length()
        return self.take(2 * zeros + 1) - 1


def _units(packet: bytes | memoryview, length_size: int) -> Iterator[bytes]:
    """The beginning of each unit of the packet."""
    if length_size:
        at, end = 0, len(packet) - length_size
        while at < end:
            length = int.from_bytes(packet[at : at + length_size], "big")
            at += length_size
            if length:
                yield bytes(packet[at : at + min(length, HEAD)])
            at += length
    else:
        whole = bytes(packet)
        at = whole.find(b"\0\0\1")
        while 0 <= at < len(whole) - 3:
            yield whole[at + 3 : at + 3 + HEAD]
            at = whole.find(b"\0\0\1", at + 3)


def _recovers_at_once(unit: bytes) -> bool:
    """Whether a SEI unit holds a recovery point with recovery_frame_cnt 0, coded as one 1 bit."""
    at = 1
    while at + 2 < len(unit):
        kind = size = 0
        while at < len(unit) and unit[at] == 255:
            kind, at = kind + 255, at + 1
        kind, at = kind + unit[at], at + 1
        while at < len(unit) and unit[at] == 255:
            size, at = size + 255, at + 1
        if at >= len(unit):
            return False
        size, at = size + unit[at], at + 1
        if kind == RECOVERY_POINT:
            return at < len(unit) and bool(unit[at] & 128)
        at += size
    return False
