"""Where decoding of an HEVC stream can begin (sections of recommendation ITU-T H.265)."""

from video_gc.decode.nal import Bits, ParameterSets, is_whole, units

RASL, INTRA, BLA_WITH_LEADING, LAST_PICTURE = (8, 9), range(16, 22), 16, 31
"""nal_unit_type (table 7-1)"""
SETS, NO_PICTURE, ENDS = range(32, 35), range(32, 48), (36, 37)


class HevcStarts:
    """Where decoding can begin, and how many frames a packet shows; see starts.py."""

    def __init__(self, extradata: bytes | None) -> None:
        self._length_size = _length_size(extradata)
        self._sets = ParameterSets()
        self._begun = self._ended = False

    def read(self, packet: bytes | memoryview) -> tuple[bool | None, int | None]:
        """At an IDR, CRA or BLA picture.

        Pictures may be dropped at the end of a sequence, at no_output_of_prior_pics_flag, and those
        that lead a BLA picture are: then only decoding tells which frames there are.
        """
        unknown = self._ended
        picture: int | None = None
        beside = True
        for unit in units(packet, self._length_size):
            kind = unit[0] >> 1 & 63
            if len(unit) < 3 or unit[0] & 1 or unit[1] >> 3:  # of another layer
                self._ended = self._ended or kind in ENDS
            elif kind <= LAST_PICTURE:
                if picture is None:
                    picture = kind
                    drops = kind == BLA_WITH_LEADING or (kind in INTRA and unit[2] & 64 > 0)
                    unknown = unknown or (self._begun and drops)
                    if not self._may_end(packet):
                        break
            elif kind in SETS:
                unknown = self._replaces(kind, unit) or unknown
            elif kind in ENDS:
                self._ended = True
            beside = beside and kind in NO_PICTURE
        self._begun = self._begun or picture is not None
        if picture is not None:
            return picture in INTRA, None if unknown else 1
        if not beside or not is_whole(packet, self._length_size):
            return None, 1
        return False, None if unknown else 0

    def _may_end(self, packet: bytes | memoryview) -> bool:
        """Whether the packet may close with an end of sequence: a unit of two bytes."""
        kind = packet[len(packet) - 2] >> 1 & 63 if len(packet) > 2 else 0
        return kind in ENDS

    def _replaces(self, kind: int, unit: bytes) -> bool:
        body = unit[2:]
        try:
            if kind == 32:
                number = body[0] >> 4
            elif kind == 34:
                number = Bits(body[:8]).exponential()
            else:
                number = 0
        except IndexError:
            return False
        return self._sets.replaces(kind, number, unit)


def _length_size(extradata: bytes | None) -> int:
    """How many bytes hold a unit's length (hvcC, ISO 14496-15), 0 for start codes."""
    if extradata and len(extradata) > 22 and extradata[0] == 1:
        return (extradata[21] & 3) + 1
    return 0
