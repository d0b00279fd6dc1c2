"""Facts about an H.264 stream that the decoder hides, read from the first bytes of its units.

Containers mark key frames at which decoding cannot begin: a recording with intra-refresh marks
pictures from which the picture becomes whole only some frames later. And a decoder silently fills
the gap of a missing picture. Sections are those of ITU-T H.264.
"""

from dataclasses import dataclass

from video_gc.decode.frame_table.nal import (
    Bits,
    ParameterSets,
    PictureOrder,
    bare,
    is_whole,
    units,
)

SLICE, IDR, SEI, SPS, PPS, RECOVERY_POINT = 1, 5, 6, 7, 8, 6
NO_PICTURE = range(SEI, 13)
"""units besides the picture: parameters, notes, marks, filler"""
HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
"""profile_idc whose parameter sets hold the chroma format (7.3.2.1.1)"""
ONE = (b"\x01", b"\xe1")
"""number of parameter sets, after three reserved bits"""
LONGEST_CYCLE = 255
"""num_ref_frames_in_pic_order_cnt_cycle (7.4.2.1.1)"""


def unit_length_size(extradata: bytes | None) -> int:
    """Bytes of a unit's length field (avcC, ISO 14496-15), 0 for start codes."""
    if extradata and len(extradata) > 4 and extradata[0] == 1:
        return (extradata[4] & 3) + 1
    return 0


def only_set(extradata: bytes | None) -> bytes | None:
    """The sequence parameter set of an avcC record with exactly one."""
    if not extradata or not unit_length_size(extradata) or extradata[5:6] not in ONE:
        return None
    unit = extradata[8 : 8 + int.from_bytes(extradata[6:8], "big")]
    return unit if unit and unit[0] & 31 == SPS else None


@dataclass(frozen=True)
class Parameters:
    """Facts from a sequence parameter set about slice headers."""

    number_bits: int
    """of frame_num"""
    planes: bool
    """colour planes are coded separately"""
    gaps: bool
    """frame numbers may have gaps"""
    frames_only: bool
    """no picture is a single field"""
    order: int
    """pic_order_cnt_type"""
    order_bits: int
    """of pic_order_cnt_lsb"""
    chroma: int = 1
    """chroma_format_idc"""
    blocks: tuple[int, int] = (0, 0)
    """(height, width) of a frame, or height of a field, in macroblocks"""


class H264Heads:
    """Starts of decoding, and the frames of a packet; see packet_heads.py.

    reorders: whether display order may differ from the order of the file.
    """

    def __init__(self, extradata: bytes | None, reorders: bool = True) -> None:
        self._length_size = unit_length_size(extradata)
        self._sets, self._parameters = ParameterSets(), parameters_of(extradata)
        only = only_set(extradata)
        self._only = None if only is None else bare(only)
        self._reorders, self._order = reorders, PictureOrder()

    def read(self, packet: bytes | memoryview) -> tuple[bool | None, int | None, int | None]:
        """True for an IDR picture, or an exact recovery point of 0 frames (D.2.8)."""
        start = replaced = False
        beside, kind = True, 0
        for unit in units(packet, self._length_size):
            kind = unit[0] & 31
            if SLICE <= kind <= IDR:
                field, turn = self._read_head(unit, kind)
                return start or kind == IDR, None if replaced or field else 1, turn
            if kind == SEI:
                start = start or _recovers_at_once(unit)
            elif kind in (SPS, PPS):
                replaced = self._replaces(kind, unit) or replaced
            beside = beside and kind in NO_PICTURE
        if not kind or not beside or not is_whole(packet, self._length_size):
            self._order.lose()
            return None, 1, None
        return False, None if replaced else 0, None

    def _read_head(self, unit: bytes, kind: int) -> tuple[bool, int | None]:
        """Whether a slice belongs to one field (then two packets are one frame), and its turn."""
        known = self._parameters
        if known is None or (known.frames_only and not self._reorders):
            return False, None
        try:
            reader = _after_number(unit, known)[1]
            if not known.frames_only and reader.take(1):  # field_pic_flag
                return True, None
            if kind == IDR:
                reader.pass_exponential(1)  # idr_pic_id
            if known.order == 1:
                return False, None
            low = reader.take(known.order_bits)
        except IndexError:
            return False, None
        return False, self._order.turn(low, known.order_bits, kind == IDR, bool(unit[0] & 96))

    def _replaces(self, kind: int, unit: bytes) -> bool:
        if kind == SPS:
            self._parameters = read_parameters(unit)
            # `reorders` was read from the head's set, and this one may say something else
            if self._only is not None and bare(unit) != self._only:
                return True
        try:
            number = Bits(unit[4 if kind == SPS else 1 :][:8]).exponential()
        except IndexError:
            return False
        return self._sets.replaces(kind, number, unit)


class FrameNumbers:
    """Finds gaps where a picture that others refer to is missing (frame_num, 7.4.3).

    extradata: of the stream; its parameter sets say how frame numbers are coded. If they cannot be
    parsed, or allow gaps, nothing is reported.
    """

    def __init__(self, extradata: bytes | None) -> None:
        self._length_size = unit_length_size(extradata)
        self._parameters = parameters_of(extradata)
        self._last: int | None = None
        self._begun = False
        self.trimmed = False
        """whether the last start of decoding came after a gap: frames shown before it cannot be
        trusted, and nothing else is wrong"""

    def restart(self) -> None:
        """Decoding restarts at a key frame."""
        self._last, self._begun, self.trimmed = None, False, False

    def is_reference(self, packet: bytes | memoryview) -> bool:
        """Whether others may refer to this picture, as far as is known."""
        heads = (unit[0] for unit in units(packet, self._length_size))
        return next((head >> 5 & 3 > 0 for head in heads if head & 31 in (SLICE, IDR)), True)

    def follows_a_gap(self, packet: bytes | memoryview) -> bool:
        """Whether a picture that this one refers to is missing between the last packet and this."""
        start = False
        for unit in units(packet, self._length_size):
            kind = unit[0] & 31
            if kind == SPS:
                self._parameters = read_parameters(unit)
            elif kind == SEI:
                start = start or _recovers_at_once(unit)
            elif kind in (SLICE, IDR):
                known = self._parameters
                gap = known is not None and not known.gaps and self._check(unit, known)
                if start or kind == IDR:
                    self.trimmed = gap
                # pictures stored after a start and shown before it may have been trimmed off
                sound, self._begun = start or self._begun, start
                return gap and not sound
        return False

    def _check(self, unit: bytes, known: Parameters) -> bool:
        try:
            number, _ = _after_number(unit, known)
        except IndexError:
            return False
        last, size = self._last, 1 << known.number_bits
        if unit[0] >> 5 & 3 or last is None:  # nal_ref_idc: later ones may refer to it
            self._last = number
        # 0 and 1 also follow a picture that resets frame_num (memory management operation 5)
        return last is not None and number not in (last, (last + 1) % size, 0, 1)


def parameters_of(extradata: bytes | None) -> Parameters | None:
    """The first parameter set in a stream's extradata, in either form."""
    if not extradata:
        return None
    if unit_length_size(extradata):
        return read_parameters(extradata[8:])  # the first set of an avcC record
    sets = [unit for unit in units(extradata, 0) if unit[0] & 31 == SPS]
    return read_parameters(sets[-1]) if sets else None


def read_parameters(unit: bytes) -> Parameters | None:
    """7.3.2.1.1; None if it cannot be parsed."""
    return parse_parameters(Bits(unit[1:]))


def parse_parameters(reader: Bits) -> Parameters | None:
    """The same; the reader is left after frame_mbs_only_flag."""
    try:
        profile = reader.take(8)
        reader.take(16)
        reader.exponential()
        planes, chroma = False, 1
        if profile in HIGH_PROFILES:
            chroma = reader.exponential()
            planes = chroma == 3 and bool(reader.take(1))
            reader.exponential(), reader.exponential(), reader.take(1)
            if reader.take(1):
                _pass_scaling_lists(reader, 12 if chroma == 3 else 8)
        bits, order_bits = reader.exponential() + 4, 0
        order = reader.exponential()
        if order == 0:
            order_bits = reader.exponential() + 4
        elif order == 1:
            reader.take(1), reader.signed(), reader.signed()
            cycle = reader.exponential()
            if cycle > LONGEST_CYCLE:
                return None
            for _ in range(cycle):
                reader.signed()
        reader.exponential()
        gaps = bool(reader.take(1))
        width, height = reader.exponential() + 1, reader.exponential() + 1
        if bits > 16 or order_bits > 16:
            return None
        whole = bool(reader.take(1))
        return Parameters(bits, planes, gaps, whole, order, order_bits, chroma, (height, width))
    except IndexError:
        return None


def _pass_scaling_lists(reader: Bits, count: int) -> None:
    """7.3.2.1.1.1."""
    for number in range(count):
        if reader.take(1):
            last = following = 8
            for _ in range(16 if number < 6 else 64):
                if following:
                    following = (last + reader.signed()) % 256
                last = following or last


def _after_number(unit: bytes, known: Parameters) -> tuple[int, Bits]:
    """frame_num of a slice, and the reader after it (7.3.3)."""
    reader = Bits(unit[1:24])
    reader.pass_exponential(3)  # first_mb_in_slice, slice_type, pic_parameter_set_id
    if known.planes:
        reader.take(2)
    return reader.take(known.number_bits), reader


def _recovers_at_once(unit: bytes) -> bool:
    """Whether a SEI unit contains an exact recovery point with recovery_frame_cnt 0: bits 1, 1."""
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
            return at < len(unit) and unit[at] & 192 == 192
        at += size
    return False
