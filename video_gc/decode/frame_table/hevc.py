"""Starts of decoding in an HEVC stream (sections of ITU-T H.265)."""

from dataclasses import dataclass

from video_gc.decode.frame_table.nal import Bits, ParameterSets, PictureOrder, is_whole, units

LEADING, INTRA, CRA, LAST_PICTURE = range(6, 10), range(16, 22), 21, 31
"""nal_unit_type (table 7-1)"""
BLA_WITH_LEADING, IDR = 16, (19, 20)
VPS, SPS, PPS = 32, 33, 34
SETS, NO_PICTURE, ENDS = range(VPS, PPS + 1), range(VPS, 48), (36, 37)


@dataclass
class Parameters:
    """Facts from parameter sets about slice headers."""

    planes: bool = False
    """colour planes are coded separately"""
    order_bits: int = 0
    """of slice_pic_order_cnt_lsb; 0 if unknown"""
    output_flag: bool = False
    extra_bits: int = 0


class HevcHeads:
    """Starts of decoding, and the frames of a packet; see packet_heads.py."""

    def __init__(self, extradata: bytes | None) -> None:
        self._length_size = _length_size(extradata)
        self._sets, self._parameters = ParameterSets(), Parameters()
        self._begun = self._ended = False
        self._order = PictureOrder()
        for unit in _sets_of(extradata, self._length_size):
            self._read_set(unit[0] >> 1 & 63, unit)

    def read(self, packet: bytes | memoryview) -> tuple[bool | None, int | None, int | None]:
        """True for an IDR, CRA or BLA picture.

        Pictures may be dropped at the end of a sequence and at no_output_of_prior_pics_flag, and
        pictures that lead a BLA picture are: then only decoding tells which frames exist.
        """
        unknown = self._ended
        picture: int | None = None
        beside, seen, turn, shown = True, False, None, 1
        for unit in units(packet, self._length_size):
            kind = unit[0] >> 1 & 63
            if len(unit) < 3 or unit[0] & 1 or unit[1] >> 3:  # of another layer
                self._ended = self._ended or kind in ENDS
            elif kind <= LAST_PICTURE:
                if picture is None:
                    picture = kind
                    drops = kind == BLA_WITH_LEADING or (kind in INTRA and unit[2] & 64 > 0)
                    unknown = unknown or (self._begun and drops)
                    shown, turn = self._read_head(unit, kind)
                    if not self._may_end(packet):
                        break
            elif kind in SETS:
                unknown = self._replaces(kind, unit) or unknown
            elif kind in ENDS:
                self._ended = True
            seen, beside = True, beside and kind in NO_PICTURE
        self._begun = self._begun or picture is not None
        if picture is not None:
            return picture in INTRA, None if unknown else shown, turn
        if not seen or not beside or not is_whole(packet, self._length_size):
            self._order.lose()
            return None, 1, None
        return False, None if unknown else 0, None

    def _may_end(self, packet: bytes | memoryview) -> bool:
        """Whether the packet may end with an end of sequence: a unit of two bytes."""
        kind = packet[len(packet) - 2] >> 1 & 63 if len(packet) > 2 else 0
        return kind in ENDS

    def _replaces(self, kind: int, unit: bytes) -> bool:
        self._read_set(kind, unit)
        try:
            number = Bits(unit[2:10]).exponential() if kind == PPS else 0
        except IndexError:
            return False
        return self._sets.replaces(kind, number, unit)

    def _read_set(self, kind: int, unit: bytes) -> None:
        """7.3.2.2 and 7.3.2.3."""
        reader, known = Bits(unit[2:]), self._parameters
        try:
            if kind == PPS:
                reader.exponential(), reader.exponential(), reader.take(1)
                known.output_flag, known.extra_bits = bool(reader.take(1)), reader.take(3)
            elif kind == SPS:
                reader.take(4)
                layers = reader.take(3)
                reader.take(1 + 96)  # the profile and level
                flags = [(reader.take(1), reader.take(1)) for _ in range(8 if layers else 0)]
                for profile, level in flags[:layers]:
                    reader.take(88 * profile + 8 * level)
                reader.exponential()
                known.planes = reader.exponential() == 3 and bool(reader.take(1))
                reader.exponential(), reader.exponential()
                if reader.take(1):  # conformance_window_flag
                    for _ in range(4):
                        reader.exponential()
                reader.exponential(), reader.exponential()
                known.order_bits = min(reader.exponential() + 4, 16)
        except IndexError:
            known.order_bits = 0

    def _read_head(self, unit: bytes, kind: int) -> tuple[int, int | None]:
        """pic_output_flag of a slice, and its turn (7.3.6.1)."""
        known, shown = self._parameters, 1
        if not known.order_bits:
            return shown, None
        reader = Bits(unit[2:32])
        try:
            if not reader.take(1):  # first_slice_segment_in_pic_flag: the beginning is lost
                return shown, None
            reader.take(kind in range(16, 24))
            reader.exponential(), reader.take(known.extra_bits), reader.exponential()
            if known.output_flag:
                shown = reader.take(1)
            reader.take(2 * known.planes)
            low = 0 if kind in IDR else reader.take(known.order_bits)
        except IndexError:
            return shown, None
        whole = kind > 15 or kind % 2 == 1  # others of its layer refer to it
        counts = whole and kind not in LEADING and unit[1] & 7 == 1
        return shown, self._order.turn(low, known.order_bits, kind in INTRA and kind != CRA, counts)


def _sets_of(extradata: bytes | None, length_size: int) -> list[bytes]:
    """Parameter sets in a stream's extradata (hvcC, ISO 14496-15), in either form."""
    if not extradata:
        return []
    if not length_size:
        return [unit for unit in units(extradata, 0) if len(unit) > 2]
    found, at = [], 23
    for _ in range(extradata[22]):
        count = int.from_bytes(extradata[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            found.append(extradata[at + 2 : at + 2 + size])
            at += 2 + size
    return [unit for unit in found if len(unit) > 2]


def _length_size(extradata: bytes | None) -> int:
    """Bytes of a unit's length field (hvcC, ISO 14496-15), 0 for start codes."""
    if extradata and len(extradata) > 22 and extradata[0] == 1:
        return (extradata[21] & 3) + 1
    return 0
