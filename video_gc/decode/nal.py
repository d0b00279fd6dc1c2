"""The units that H.264 and HEVC consist of, and the bits in them (ITU-T H.264, 7.3 and 9.1)."""

from collections.abc import Iterator

HEAD = 512  # bytes of a unit that are looked at


def units(packet: bytes | memoryview, length_size: int) -> Iterator[bytes]:
    """The beginning of each unit of the packet.

    length_size: bytes that hold a unit's length, 0 for start codes.
    """
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


def is_whole(packet: bytes | memoryview, length_size: int) -> bool:
    """Whether the units fill the packet exactly: nothing hints at damage of their lengths."""
    at = 0
    if not length_size:
        return bytes(packet[:4]).lstrip(b"\0")[:1] == b"\1"
    while at + length_size <= len(packet):
        at += length_size + int.from_bytes(packet[at : at + length_size], "big")
    return at == len(packet)


class Bits:
    """Bits from the left, Exp-Golomb codes too (9.1). Raises IndexError at the end."""

    def __init__(self, coded: bytes) -> None:
        coded = coded.replace(b"\0\0\3", b"\0\0") if b"\0\0\3" in coded else coded
        self._value, self._left = int.from_bytes(coded, "big"), 8 * len(coded)

    def take(self, count: int) -> int:
        """The next bits as a number."""
        self._left -= count
        if self._left < 0:
            raise IndexError
        taken = self._value >> self._left
        self._value &= (1 << self._left) - 1
        return taken

    def exponential(self) -> int:
        """ue(v)."""
        zeros = self._left - self._value.bit_length()
        return self.take(2 * zeros + 1) - 1

    def signed(self) -> int:
        """se(v)."""
        code = self.exponential()
        return (code + 1) // 2 if code % 2 else -(code // 2)


class ParameterSets:
    """Notices a parameter set that replaces another one of its number.

    What a decoder then makes of a picture depends on where it began.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], bytes] = {}

    def replaces(self, kind: int, number: int, unit: bytes) -> bool:
        """Whether this unit differs from the first of its kind and number."""
        own = unit.partition(b"\0\0\1")[0].rstrip(b"\0")  # what follows it is no part of it
        return self._known.setdefault((kind, number), own) != own
