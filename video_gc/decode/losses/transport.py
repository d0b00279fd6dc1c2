"""MPEG-TS: packets of equal size, counted per stream (ISO 13818-1, 2.4.3).

A counter that jumps is no damage where recordings were joined: there a picture ends, and a
programme table with a restarted counter and a start of decoding follow. Nor is it damage if a
picture ends and the next one follows in time.
"""

from dataclasses import dataclass, field

import numpy as np

from video_gc.decode.ffmpeg.source import Bytes
from video_gc.decode.losses.loss import Loss

SYNC, CLOCK = 0x47, 1 << 33
SHAPES = ((188, 0), (192, 4), (204, 0))
"""bytes of a packet, and those before its sync byte"""
BATCH, SURE = 8192, 4
"""packets processed together; consecutive sync bytes that locate packets"""
LOST = "packets of the stream are missing before or in it"
ERROR, BEGINS = 0x80, 0x40
NEW, RANDOM = 0x80, 0x40
KEYS = {
    "h264": lambda unit: unit & 31 in (5, 7),
    "hevc": lambda unit: unit >> 1 & 63 in (*range(16, 22), 32, 33),
    "mpeg1video": lambda unit: unit == 0xB3,
    "mpeg2video": lambda unit: unit == 0xB3,
    "mpeg4": lambda unit: unit in (0xB0, 0xB5),
}
"""codec → whether a unit with this first byte belongs to a start of decoding"""


@dataclass(frozen=True)
class _Jump:
    """A packet that does not continue the previous one."""

    place: int
    packet: bytes
    before: int
    previous: bytes
    hole: bool
    """whether there is something other than packets between them"""


@dataclass
class _Found:
    jumps: list[_Jump] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)
    """(N, 2): position and decoding time of each picture"""
    tables: list[tuple[int, int]] = field(default_factory=list)
    """position and counter of each programme table"""
    marked: list[int] = field(default_factory=list)
    """packets that the sender marked as wrong"""


def losses(file: Bytes, stream: int, codec: str) -> list[Loss] | None:
    """Gaps in the stream with this PID; None if no packets are found."""
    shape = next((s for s in SHAPES if _aligned(file, 0, *s)), None)
    if shape is None:
        return None
    found = _read(file, stream, *shape)
    pictures = np.concatenate([np.empty((0, 2), np.int64), *found.pictures])
    steps = np.diff(pictures[:, 1]) % CLOCK
    usual = float(np.median(steps)) if len(steps) else 0.0
    lost = [_judge(jump, found, pictures, usual, codec) for jump in found.jumps]
    for place in found.marked:
        start, end = _around(pictures, place)
        lost.append(Loss(int(start[0]), int(end[0]), "the sender marked an error", moves=False))
    return [loss for loss in lost if loss]


def _judge(
    jump: _Jump, found: _Found, pictures: np.ndarray, usual: float, codec: str
) -> Loss | None:
    now, following = _around(pictures, jump.before)
    if jump.packet[1] & BEGINS:
        following = pictures[np.searchsorted(pictures[:, 0], jump.place)]
    start, end = int(now[0]), int(following[0])
    # up to 3 fields per picture are usual for film on television
    follows = 0 < (following[1] - now[1]) % CLOCK < 1.75 * usual
    if not jump.packet[1] & BEGINS:
        return Loss(start, end, LOST, moves=not follows)
    ended = _is_stuffed(jump.previous)
    if _is_joined(jump, found.tables, ended) and _is_key(jump.packet, codec):
        return None
    if follows:
        return None if ended else Loss(start, end, LOST, moves=False)
    return Loss(end if ended else start, end, LOST)


def _around(pictures: np.ndarray, place: int) -> tuple[np.ndarray, np.ndarray]:
    """(position, time) of the picture that contains this position, and of the next one."""
    edge = np.array([[0, -1], [np.iinfo(np.int64).max, -1]])
    at = int(np.searchsorted(pictures[:, 0], place, side="right"))
    return (
        pictures[at - 1] if at else edge[0],
        pictures[at] if at < len(pictures) else edge[1],
    )


def _is_joined(jump: _Jump, tables: list[tuple[int, int]], ended: bool) -> bool:
    """Whether another recording begins at the packet: its table is the first to follow."""
    places = [place for place, _ in tables]
    at = int(np.searchsorted(places, jump.before))
    if at == len(tables) or not jump.before < places[at] < jump.place:
        return False
    counter = tables[at][1]
    anew = counter == 0 and jump.packet[3] & 15 == 0
    follows = at > 0 and counter == (tables[at - 1][1] + 1) % 16
    return anew or (ended and not jump.hole and not follows)


def _is_key(packet: bytes, codec: str) -> bool:
    if packet[3] & 0x20 and packet[4] and packet[5] & RANDOM:
        return True
    is_key = KEYS.get(codec, lambda unit: False)
    units = packet.split(b"\0\0\1")[2:]  # the first is the picture's head
    return any(is_key(unit[0]) for unit in units if unit)


def _is_stuffed(packet: bytes) -> bool:
    """Whether a packet is padded, as the last packet of a picture is."""
    if not packet[3] & 0x20:
        return False
    length = packet[4]
    if not length:
        return True
    flags, at = packet[5], 6
    at += 6 * (flags >> 4 & 1) + 6 * (flags >> 3 & 1) + (flags >> 2 & 1)
    for bit in (1, 0):  # private data, extension
        if flags >> bit & 1 and at < len(packet):
            at += 1 + packet[at]
    return 5 + length > at


def _aligned(file: Bytes, place: int, size: int, offset: int) -> bool:
    """Whether there are packets here."""
    head = file.at(place, SURE * size)
    syncs = head[offset::size]
    return len(syncs) > 0 and all(sync == SYNC for sync in syncs)


def _read(file: Bytes, stream: int, size: int, offset: int) -> _Found:
    found = _Found()
    place, hole = 0, False
    last: tuple[int, bytes] | None = None
    while place + size <= file.size:
        content = file.at(place, min(BATCH * size, file.size - place))
        packets = np.frombuffer(content, np.uint8)[: len(content) // size * size]
        packets = packets.reshape(-1, size)[:, offset:]
        bad = np.flatnonzero(packets[:, 0] != SYNC)
        good = int(bad[0]) if len(bad) else len(packets)
        last, hole = _batch(packets[:good], place, size, stream, (last, hole), found)
        place += good * size
        if len(bad):
            hole = True
            place = _next(file, place + 1, size, offset)
    return found


def _next(file: Bytes, place: int, size: int, offset: int) -> int:
    """Position of the next packets; the end of the file if there are none."""
    while place < file.size:
        window = file.at(place, SURE * size + 4096)
        row = np.frombuffer(window, np.uint8) == SYNC
        inside = len(row) - (SURE - 1) * size - offset
        if inside <= 0:
            break
        hits = np.logical_and.reduce([row[offset + k * size :][:inside] for k in range(SURE)])
        if hits.any():
            return place + int(hits.argmax())
        place += inside
    return file.size


def _batch(
    packets: np.ndarray,
    place: int,
    size: int,
    stream: int,
    before: tuple[tuple[int, bytes] | None, bool],
    found: _Found,
) -> tuple[tuple[int, bytes] | None, bool]:
    """Process consecutive packets. before: the stream's last packet, and whether a hole follows it.
    Returns the same for the next packets."""
    last, hole = before
    pids = (packets[:, 1] & 0x1F).astype(int) << 8 | packets[:, 2]
    tables = np.flatnonzero(pids == 0)
    found.tables += [(place + size * int(at), int(packets[at, 3] & 15)) for at in tables]
    own = np.flatnonzero(pids == stream)
    if not len(own):
        return last, hole
    mine, places = packets[own], place + size * own
    payload, adapted = mine[:, 3].astype(int) >> 4 & 1, (mine[:, 3] & 0x20) > 0
    counters = mine[:, 3].astype(int) & 15
    flags = np.where(adapted & (mine[:, 4] > 0), mine[:, 5], 0)
    ahead = np.concatenate([[counters[0] - payload[0] if last is None else last[1][3] & 15],
                            counters[:-1]])  # fmt: skip
    jumps = ((ahead + payload - counters) % 16 != 0) & (flags & NEW == 0)
    jumps[0] |= hole and last is not None
    for at in np.flatnonzero(jumps):
        earlier = last if at == 0 else (int(places[at - 1]), mine[at - 1].tobytes())
        assert earlier is not None
        before_it, previous = earlier
        jump = _Jump(
            int(places[at]), mine[at].tobytes(), before_it, previous, bool(at == 0 and hole)
        )
        found.jumps.append(jump)
    found.marked += places[mine[:, 1] & ERROR > 0].tolist()
    begins = np.flatnonzero(mine[:, 1] & BEGINS)
    skipped = 4 + np.where(adapted, 1 + mine[:, 4].astype(int), 0)[begins]
    found.pictures.append(np.stack([places[begins], _times(mine[begins], skipped)], 1))
    return (int(places[-1]), mine[-1].tobytes()), False


def _times(packets: np.ndarray, skipped: np.ndarray) -> np.ndarray:
    """Decoding time in 1/90000 s of each picture that begins; -1 without a picture or time."""
    columns = np.minimum(skipped[:, None] + np.arange(19), packets.shape[1] - 1)
    heads = np.take_along_axis(packets, columns, 1).astype(np.int64)
    has, both = heads[:, 7] >> 7 & 1, heads[:, 7] >> 6 & 1
    at = np.where(both, 14, 9)[:, None] + np.arange(5)
    a, b, c, d, e = np.take_along_axis(heads, at, 1).T
    time = (a >> 1 & 7) << 30 | b << 22 | c >> 1 << 15 | d << 7 | e >> 1
    return np.where(has > 0, time, -1)
