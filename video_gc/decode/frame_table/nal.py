"""The units of H.264 and HEVC, and the bits in them (ITU-T H.264, 7.3 and 9.1)."""

from collections.abc import Iterator

HEAD = 512  # bytes read from a unit


def units(packet: bytes | memoryview, length_size: int) -> Iterator[bytes]:
    """The beginning of each unit of the packet.

    length_size: bytes of a unit's length field, 0 for start codes.
    """
    if length_size:
        at, end = 0, len(packet) - length_size
        while at < end:
            length = int.from_bytes(packet[at : at + length_size], "big")
            at += length_size
            if not length:  # zeros in place of a picture
                return
            yield bytes(packet[at : at + min(length, HEAD)])
            at += length
    else:
        whole = bytes(packet)
        at = whole.find(b"\0\0\1")
        while 0 <= at < len(whole) - 3:
            yield whole[at + 3 : at + 3 + HEAD]
            at = whole.find(b"\0\0\1", at + 3)


def is_whole(packet: bytes | memoryview, length_size: int) -> bool:
    """Whether the units fill the packet exactly, with no sign of damaged lengths."""
    at = 0
    if not length_size:
        return bytes(packet[:4]).lstrip(b"\0")[:1] == b"\1"
    while at + length_size <= len(packet):
        at += length_size + int.from_bytes(packet[at : at + length_size], "big")
    return at == len(packet)


class Bits:
    """Bits from the left, and Exp-Golomb codes (9.1). Raises IndexError at the end."""

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

    def pass_exponential(self, count: int) -> None:
        """Skip this many ue(v)."""
        value, left = self._value, self._left
        for _ in range(count):
            left -= 2 * (left - value.bit_length()) + 1
            if left < 0:
                raise IndexError
            value &= (1 << left) - 1
        self._value, self._left = value, left

    def signed(self) -> int:
        """se(v)."""
        code = self.exponential()
        return (code + 1) // 2 if code % 2 else -(code // 2)

    def at_stop(self) -> bool:
        """Whether nothing but the stop bit and zeros follow (7.3.2.11)."""
        return self._left > 0 and self._value == 1 << self._left - 1


class ParameterSets:
    """Finds a parameter set that replaces another one with its number.

    Then a picture's meaning depends on where decoding began.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], bytes] = {}

    def replaces(self, kind: int, number: int, unit: bytes) -> bool:
        """Whether this unit differs from the first of its kind and number."""
        own = bare(unit)
        return self._known.setdefault((kind, number), own) != own


def bare(unit: bytes) -> bytes:
    """The beginning of a parameter set, without what follows it."""
    return unit[:HEAD].partition(b"\0\0\1")[0].rstrip(b"\0")


class PictureOrder:
    """Display order from the low bits of order counts (H.264 8.2.1, H.265 8.3.1).

    Without any bits, display order is the order of the file.
    """

    def __init__(self) -> None:
        self._epoch = self._high = self._low = 0
        self._lost = False

    def lose(self) -> None:
        """A picture is damaged: the base of the next counts is unknown."""
        self._lost = True

    def turn(self, low: int, bits: int, anew: bool, counts: bool) -> int | None:
        """A number that rises in display order; None after a loss.

        anew: counting begins here. counts: the next picture counts from this one.
        """
        if anew:
            self._epoch, self._high, self._low = self._epoch + 1, 0, 0
            self._lost = False
        if self._lost:
            return None
        if not bits:
            self._low += 1
            return (self._epoch << 40) + self._low
        high, half = self._high, 1 << bits - 1
        if not anew:
            if self._low - low >= half:
                high += 2 * half
            elif low - self._low > half:
                high -= 2 * half
        if counts:
            self._high, self._low = high, low
        return (self._epoch << 40) + high + low
